"""Pictures of published pages, their preview for social networks and their thumbnail, drawn when first asked for.

Drawing one page's pictures takes 40 ms of a processor, twenty times what the page itself takes, and most are never
looked at. So a page leaves what they are drawn from beside it in the object store; the edge draws, in a process of
its own, and keeps what it drew.
"""

import asyncio
import re
from typing import Literal

from infra.s3.objects import Objects, StoredObject
from infra.single_flight import SingleFlight
from schemas.copywriting import Copy
from schemas.generation import GenerationRequest, Model, decode_model
from streams.pictures.drawing import DrawingProcess

Kind = Literal["og", "small"]
IMMUTABLE = "public, max-age=31536000, immutable"
NAME = re.compile(r"card-(?P<lp_id>[A-Za-z0-9_][A-Za-z0-9._-]{0,127})-(?P<kind>og|small)\.png")


class Source(Model):
    """What a page's pictures are drawn from."""

    request: GenerationRequest
    copy_: Copy
    template: str


def source_key(lp_id: str) -> str:
    """Where the source lies."""
    return f"pages/{lp_id}/source.json"


def card_key(lp_id: str, kind: Kind) -> str:
    """Where a picture lies, and under which name the edge serves it."""
    return f"assets/card-{lp_id}-{kind}.png"


def draw(source: bytes, kind: Kind) -> bytes:
    """The picture, PNG."""
    from processors.pages.page import (  # not in the edge's own process: it brings fonts and templates
        og_image,
        thumbnail,
    )

    found = decode_model(Source, source)
    work = og_image if kind == "og" else thumbnail
    return work(found.request, found.copy_, found.template)


class Cards:
    """Draws what is asked for and not there yet, each once, in the process given."""

    def __init__(self, objects: Objects, process: DrawingProcess) -> None:
        self._objects = objects
        self._process = process
        self._drawing: SingleFlight[StoredObject | None] = SingleFlight()

    async def get(self, name: str) -> StoredObject | None:
        """The picture by the name under which it is served; None when there is no such page."""
        key = f"assets/{name}"
        if (found := await self._objects.get(key)) is not None:
            return found
        return await asyncio.shield(self._drawing.task(key, lambda: self._make(name, key)))

    async def _make(self, name: str, key: str) -> StoredObject | None:
        match = NAME.fullmatch(name)
        source = None if match is None else await self._objects.get(source_key(match["lp_id"]))
        if match is None or source is None:
            return None
        kind: Kind = "og" if match["kind"] == "og" else "small"
        body = await self._process.run(draw, source.body, kind)
        await self._objects.put(key, body, "image/png", IMMUTABLE)
        if await self._objects.get(source_key(match["lp_id"])) is None:  # the page was erased meanwhile
            await self._objects.delete([key])
        return await self._objects.get(key)
