"""The new rendering of published pages, after the public address or the templates have changed.

A page's `source.json` has its request and copy, so no model is asked, and its words stay. Pictures and snippet have
relative addresses. The canonical address, the preview for social networks and the structured data are absolute.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from infra.s3.objects import Objects
from processors.pages.brief import brief_of_page
from processors.pages.page import Asset, integrate, optimise, pictures
from schemas.errors import DecodeError, Refused
from schemas.generation import decode_model
from schemas.plan import Brief, Source
from streams.generation.publish import PAGE_CACHE
from streams.pictures.cards import IMMUTABLE, card_key
from streams.pictures.screenshots import shots_of
from streams.pictures.stored import html_key, html_of, source_of

AT_ONCE = 8

Say = Callable[[str], None]


@dataclass(slots=True)
class Rerendered:
    """The result: the number of pages read, ids of changed pages, and problems: a page and the reason."""

    pages: int = 0
    changed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return the result as a dict for JSON output."""
        return asdict(self)


class Rerender:
    """The rendering of pages for a public address. With `dry_run` nothing is written."""

    def __init__(self, objects: Objects, base_url: str, *, dry_run: bool = False, say: Say = lambda _: None) -> None:
        self._objects = objects
        self._base_url = base_url
        self._dry_run = dry_run
        self._say = say
        self._stored: set[str] = set()
        self._result = Rerendered()

    async def run(self, lp_ids: Sequence[str]) -> Rerendered:
        """Render the pages, AT_ONCE at a time, and write those that differ.

        It is safe to run again after an interruption.
        """
        for start in range(0, len(lp_ids), AT_ONCE):
            await asyncio.gather(*(self._one(lp_id) for lp_id in lp_ids[start : start + AT_ONCE]))
            self._say(f"{self._result.pages} of {len(lp_ids)} pages, {len(self._result.changed)} changed")
        return self._result

    async def _one(self, lp_id: str) -> None:
        source, stored = await asyncio.gather(source_of(self._objects, lp_id), html_of(self._objects, lp_id))
        if stored is None:
            return  # erased, or not yet published
        self._result.pages += 1
        try:
            if source is None:
                raise Refused("its source.json is missing")
            page = decode_model(Source, source.body)
            body, brief = await asyncio.to_thread(rendered, page, lp_id, self._base_url)
        except (DecodeError, Refused) as error:
            self._result.problems.append(f"{lp_id}: {error}")
            return
        if body == stored.body:
            return
        self._result.changed.append(lp_id)
        if not self._dry_run:
            key = html_key(lp_id, variant=page.request.variant is not None)
            await self._replace(lp_id, key, stored.body, body, brief)

    async def _replace(self, lp_id: str, key: str, old: bytes, new: bytes, brief: Brief) -> None:
        await asyncio.gather(*(self._put(item) for item in pictures(brief) if item.key not in self._stored))
        await self._objects.put(key, new, "text/html; charset=utf-8", PAGE_CACHE)
        # screenshots are stored under the page's hash: nothing would find those of the old page again
        gone = await self._objects.names(shots_of(old))
        if await source_of(self._objects, lp_id) is None:  # the page was erased meanwhile
            gone.append(key)
        await self._objects.delete(gone)

    async def _put(self, item: Asset) -> None:
        self._stored.add(item.key)
        await self._objects.put(item.key, item.body, item.content_type, IMMUTABLE)


def rendered(source: Source, lp_id: str, base_url: str) -> tuple[bytes, Brief]:
    """Return a page as published at `base_url`, in the design that it has, and its brief."""
    brief = brief_of_page(source)
    og_key = card_key(lp_id, "og")
    html = integrate(source.request, brief, source.copy_, source.uploads, lp_id=lp_id, base_url=base_url, og_key=og_key)
    return optimise(html), brief
