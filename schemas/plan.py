"""The plan of a request, which its steps carry, the brief inside it, and the source of a page."""

from typing import Annotated

from pydantic import Field

from schemas.copywriting import Copy, CopyFields
from schemas.generation import CacheLayer, GenerationRequest, Model
from schemas.uploads import Uploads

Name = Annotated[str, Field(max_length=32, pattern=r"^[a-z][a-z0-9_]*$")]
Names = Annotated[tuple[Name, ...], Field(max_length=20)]
# the sections that end with a call to action, beside the first and the last
CALLS = ("benefits", "price")


class Brief(Model):
    """The values that a request's words decide. They are resolved once, so that all steps agree.

    `trade` is the line of business, `kind` the kind of shop within it (a bakery), and `reason` says why. `template` is
    the name of the page's design, and `drawings` has the name of the drawing for each role. `groups` are the section
    groups of the copy, the hero's first. The request is bounded, so the brief is bounded, too. Variants may have an
    `order` of sections of their own, and calls to action in other sections (`calls`).
    """

    fields: CopyFields
    trade: Name
    kind: Name | None = None
    reason: Annotated[str, Field(max_length=100)]
    purpose: Name
    template: Name
    groups: Annotated[tuple[Name, ...], Field(max_length=10)]
    drawings: Annotated[dict[Name, Name], Field(max_length=10)]
    order: Names = ()
    calls: Names = CALLS


class Made(Model):
    """The copy of a page and its look: everything that a variant may change.

    `order` is empty if the template's order of sections is used.
    """

    copy_: Copy
    template: str
    order: Names = ()
    calls: Names = CALLS


class Source(Made):
    """The source of a page, stored beside it: its pictures, new renderings and variants are made from it."""

    request: GenerationRequest
    uploads: Uploads = Uploads()


class Plan(Model):
    """The state of a request that its steps and their results carry, so that a worker looks up nothing.

    `uploads` are the customer's own pictures. Points in time are ms UTC. `cache` is the layer in which copy was found,
    `cache_ms` the time that the lookup took. `parent` is set for a variant.
    """

    request: GenerationRequest
    brief: Brief
    uploads: Uploads = Uploads()
    created_ms: int
    deadline_ms: int
    validate_ms: int
    cache: CacheLayer = "miss"
    cache_ms: int | None = None
    parent: Made | None = None
