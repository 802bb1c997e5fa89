"""Keys of cached copy: functions of the copy fields and of the template and prompt versions only."""

import hashlib
import json
from itertools import combinations
from typing import Any

from schemas.copywriting import CopyFields

SHORT = 16


def key_of(fields: CopyFields, template_version: int, prompt_version: int) -> str:
    """Return the SHA-256 of the canonical JSON of the normalised fields and both versions."""
    return _digest([fields.model_dump(mode="json"), template_version, prompt_version])


def pattern_of(fields: CopyFields) -> str:
    """Return the digest of industry, purpose, tone and locale, which near copy shares: 16 hex digits."""
    return _digest([fields.industry, fields.purpose, fields.tone, fields.locale])[:SHORT]


def near_names(fields: CopyFields, tenant_id: str) -> list[str]:
    """Return the names under which to look for copy that may be lent to these fields, best first.

    There is a name for the keywords and for each smaller set of them: such copy has no keyword that the customer did
    not type, whichever tenant it was made for. The last name is for copy that was made for the same tenant.
    """
    pattern, words = pattern_of(fields), fields.keywords
    subsets = [subset for size in range(len(words), -1, -1) for subset in combinations(words, size)]
    return [f"{pattern}:words:{_digest(subset)[:SHORT]}" for subset in subsets] + [_of_tenant(pattern, tenant_id)]


def near_names_of(fields: CopyFields, tenant_id: str) -> list[str]:
    """Return the names under which to store copy of these fields and tenant for use by other pages."""
    names = near_names(fields, tenant_id)
    return [names[0], names[-1]]


def _of_tenant(pattern: str, tenant_id: str) -> str:
    return f"{pattern}:tenant:{tenant_id}"


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
