"""The preview picture for social networks and the thumbnail of a page, drawn at the first request.

Drawing both takes 40 ms of CPU time, twenty times as long as the page itself, and most are never requested. So
publishing stores the source of the pictures beside the page. The edge draws them in a separate process and stores them.
"""

import re
from typing import Literal

from infra.s3.objects import Objects, StoredObject
from infra.single_flight import SingleFlight
from schemas.generation import decode_model
from schemas.plan import Source
from streams.pictures.drawing import DrawingProcess
from streams.pictures.stored import source_of

Kind = Literal["og", "small"]
IMMUTABLE = "public, max-age=31536000, immutable"
NAME = re.compile(r"card-(?P<lp_id>[A-Za-z0-9_][A-Za-z0-9._-]{0,127})-(?P<kind>og|small)\.png")


def card_key(lp_id: str, kind: Kind) -> str:
    """Return the object key of a picture, which is also the path that the edge serves."""
    return f"assets/card-{lp_id}-{kind}.png"


def draw(source: bytes, kind: Kind, own: bytes | None) -> bytes:
    """Draw the picture and return it as PNG. `own` is the customer's own picture."""
    from processors.pages.page import (  # not in the edge's main process: it loads fonts and templates
        og_image,
        thumbnail,
    )

    page = decode_model(Source, source)
    render = og_image if kind == "og" else thumbnail
    return render(page.request, page.copy_, page.template, own)


class Cards:
    """The cards of pages: a missing card is drawn once, in the drawing process, and stored."""

    def __init__(self, objects: Objects, process: DrawingProcess) -> None:
        self._objects = objects
        self._process = process
        self._drawing: SingleFlight[StoredObject | None] = SingleFlight()

    async def get(self, name: str) -> StoredObject | None:
        """Return the picture with this file name; None if there is no such page."""
        key = f"assets/{name}"
        if (stored := await self._objects.get(key)) is not None:
            return stored
        return await self._drawing.run(key, lambda: self._make(name, key))

    async def _make(self, name: str, key: str) -> StoredObject | None:
        match = NAME.fullmatch(name)
        source = None if match is None else await source_of(self._objects, match["lp_id"])
        if match is None or source is None:
            return None
        kind: Kind = "og" if match["kind"] == "og" else "small"
        own = await self._own_picture(source.body)
        body = await self._process.run(draw, source.body, kind, own)
        await self._objects.put(key, body, "image/png", IMMUTABLE)
        if await source_of(self._objects, match["lp_id"]) is None:  # the page was erased meanwhile
            await self._objects.delete([key])
        return await self._objects.get(key)

    async def _own_picture(self, source: bytes) -> bytes | None:
        """Return a file of the page's own picture; None if it has none."""
        upload = decode_model(Source, source).uploads.picture
        if upload is None:
            return None
        files = [file.key for file in upload.pictures if file.suffix == "webp"]
        stored = await self._objects.get(files[min(1, len(files) - 1)])
        return None if stored is None else stored.body
