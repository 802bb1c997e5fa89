"""A cached copy: what a model wrote for one set of copy fields, slots unfilled."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.copywriting import Copy, CopyFields
from schemas.generation import Model, Warning_


class CachedCopy(Model):
    """`key` names the copy fields and versions, `pattern` the industry, purpose, tone and locale alone.

    `fields` is what it was written of; None in copy from before it was kept, which is lent to no other page.
    """

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    key: str
    pattern: str
    fields: CopyFields | None = None
    copy_: Annotated[Copy, Field(alias="copy")]
    warnings: tuple[Warning_, ...] = ()
    made_ms: int
    model: str
