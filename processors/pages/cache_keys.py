"""Names of cached copy: a function of the copy fields and of what turns them into copy, and of nothing else."""

import hashlib
import json
from itertools import combinations
from typing import Any

from schemas.copywriting import CopyFields

SHORT = 16


def key_of(fields: CopyFields, template_version: int, prompt_version: int) -> str:
    """SHA-256 of the canonical JSON of the fields, which are normalised already, and both versions."""
    return _digest([fields.model_dump(mode="json"), template_version, prompt_version])


def pattern_of(fields: CopyFields) -> str:
    """What copy that is near has in common: industry, purpose, tone, locale. 16 hex digits."""
    return _digest([fields.industry, fields.purpose, fields.tone, fields.locale])[:SHORT]


def near_names(fields: CopyFields, tenant_id: str) -> list[str]:
    """Under which names copy that may be lent to these fields is found, the best first.

    One for the keywords themselves and one for each smaller set of them: such copy holds no word that the asker has
    not typed, whoever it was made for. The last name is of copy that was made for the same tenant.
    """
    pattern, words = pattern_of(fields), fields.keywords
    sets = [one for size in range(len(words), -1, -1) for one in combinations(words, size)]
    return [f"{pattern}:words:{_digest(one)[:SHORT]}" for one in sets] + [_of_tenant(pattern, tenant_id)]


def near_names_of(fields: CopyFields, tenant_id: str) -> list[str]:
    """Under which names copy that was made of these fields for the tenant is found by others."""
    names = near_names(fields, tenant_id)
    return [names[0], names[-1]]


def _of_tenant(pattern: str, tenant_id: str) -> str:
    return f"{pattern}:tenant:{tenant_id}"


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
