"""A cached copy: what a model wrote for one set of copy fields, slots unfilled."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.copywriting import Copy
from schemas.generation import Model, Warning_


class CachedCopy(Model):
    """`key` names the copy fields and versions, `pattern` the industry, purpose, tone and locale alone."""

    schema_: Annotated[Literal[1], Field(alias="schema")] = 1
    key: str
    pattern: str
    copy_: Annotated[Copy, Field(alias="copy")]
    warnings: tuple[Warning_, ...] = ()
    made_ms: int
    model: str
