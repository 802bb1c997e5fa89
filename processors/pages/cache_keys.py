"""Keys of cached copy: functions of the copy fields and of the template and prompt versions only."""

import hashlib
import json
from collections.abc import Iterable
from itertools import combinations
from math import comb
from typing import Any

from processors.pages.facts import known
from schemas.copywriting import GIVEN, CopyFields

SHORT = 16
MOST_OF_A_SIZE = 200  # all pairs of 20 keywords, and all subsets of 9
# the facts, and the groups of contacts, that a model's copy may speak of
SHARED = (*GIVEN, "contact", "reach")


def shared(fields: CopyFields) -> CopyFields:
    """Return the fields that a model's copy depends on.

    It speaks of no particular way of contact and of no address. So pages share copy whichever of these they give.
    """
    return fields.model_copy(update={"given": shared_given(fields.given)})


def shared_given(given: Iterable[str]) -> list[str]:
    """Return the given facts, and "contact" and "reach" instead of the ways of contact."""
    names = known(given)
    return [name for name in SHARED if name in names]


def key_of(fields: CopyFields, template_version: int, prompt_version: int) -> str:
    """Return the SHA-256 of the canonical JSON of the shared fields and both versions."""
    return _digest([shared(fields).model_dump(mode="json"), template_version, prompt_version])


def pattern_of(fields: CopyFields) -> str:
    """Return the digest of industry, purpose, tone and locale, which near copy shares: 16 hex digits."""
    return _digest([fields.industry, fields.purpose, fields.tone, fields.locale])[:SHORT]


def near_names(fields: CopyFields, tenant_id: str) -> list[str]:
    """Return the names under which to look for copy that may be lent to these fields, best first.

    There is a name for the keywords and for each smaller set of them: such copy has no keyword that the customer did
    not type, whichever tenant it was made for. The last name is for copy that was made for the same tenant. Of many
    keywords, the sizes with more than MOST_OF_A_SIZE sets are left out.
    """
    pattern, words = pattern_of(fields), fields.keywords
    sizes = [size for size in range(len(words), -1, -1) if comb(len(words), size) <= MOST_OF_A_SIZE]
    subsets = [subset for size in sizes for subset in combinations(words, size)]
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
