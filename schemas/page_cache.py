"""Cached copy: the texts that a model wrote for one set of copy fields, with unfilled slots."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.copywriting import Copy, CopyFields
from schemas.generation import Model, Warning_


class CachedCopy(Model):
    """An entry of the copy cache.

    `key` is computed from the copy fields and the versions, `pattern` from industry, purpose, tone and locale only.
    `fields` are the copy fields that it was written for. Entries of older releases have None there, and no other page
    may use them.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    key: str
    pattern: str
    fields: CopyFields | None = None
    copy_: Annotated[Copy, Field(alias="copy")]
    warnings: tuple[Warning_, ...] = ()
    made_ms: int
    model: str
