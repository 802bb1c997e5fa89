"""Names of cached copy: a function of the copy fields and of what turns them into copy, and of nothing else."""

import hashlib
import json
from typing import Any

from schemas.copywriting import CopyFields

SHORT = 16


def key_of(fields: CopyFields, template_version: int, prompt_version: int) -> str:
    """SHA-256 of the canonical JSON of the fields, which are normalised already, and both versions."""
    return _digest([fields.model_dump(mode="json"), template_version, prompt_version])


def pattern_of(fields: CopyFields) -> str:
    """What copy that is near has in common: industry, purpose, tone, locale. 16 hex digits."""
    return _digest([fields.industry, fields.purpose, fields.tone, fields.locale])[:SHORT]


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
