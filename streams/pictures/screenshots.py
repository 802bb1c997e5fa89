"""Screenshots of published pages: read from the object store, or taken once and stored there.

The object key contains a hash of the page's bytes, so a changed page gets a new screenshot. A separate process takes
them. It gets the page's files and has no access to anything else.
"""

import asyncio
import hashlib
import logging
from typing import Literal

from cachetools import TTLCache

from infra.redis.line import RedisLine
from infra.redis.locks import FlightLocks
from infra.s3.objects import Objects
from infra.screenshots import PageFiles, assets_in, find_chromium, take
from infra.single_flight import SingleFlight
from processors.pictures.maps import LEAST, MOST_W
from schemas.errors import LpstreamError, Refused, Retryable
from streams.pictures.drawing import DrawingProcess
from streams.pictures.stored import html_of
from streams.runtime import metrics

log = logging.getLogger(__name__)

VERSION = 2
WITHIN_S, HOLD_S, POLL_S = 10.0, 40.0, 0.25
MOST_SCREEN_H = 2_400
FAILED_S, MOST_FAILED = 600, 10_000
PRIVATE = "private, max-age=31536000, immutable"
Missing = Literal["no_shot_foreign", "no_shot_browser", "no_shot_late", "no_shot_failed"]


def shots_of(html: bytes) -> str:
    """Return the prefix of the object keys of a page's screenshots."""
    return f"shots/{hashlib.sha256(html).hexdigest()[:24]}-"


class Shots:
    """The screenshots of pages. `chromium` is the setting: `auto`, `off`, or a path."""

    def __init__(self, objects: Objects, line: RedisLine, process: DrawingProcess, chromium: str) -> None:
        self._objects = objects
        self._locks = FlightLocks(line)
        self._process = process
        self._chromium = find_chromium(chromium)
        self._taking: SingleFlight[bytes] = SingleFlight()
        self._failed: TTLCache[str, bool] = TTLCache(MOST_FAILED, FAILED_S)

    async def get(self, lp_id: str, width: int, viewport_h: int) -> bytes | Missing:
        """Return a PNG of the page at that width, or why there is none; wait at most WITHIN_S for a new one.

        Sizes come from beacons and are not trusted: they are clamped to the sizes of real screens.
        """
        width = min(max(width, LEAST), MOST_W)
        viewport_h = min(max(viewport_h, LEAST), MOST_SCREEN_H)
        try:
            page = await html_of(self._objects, lp_id)
            if page is None:
                return "no_shot_foreign"
            key = f"{shots_of(page.body)}{width}x{viewport_h}-{VERSION}.png"
            if (stored := await self._objects.get(key)) is not None:
                return stored.body
        except Refused:
            return "no_shot_foreign"
        except LpstreamError as error:
            log.warning("screenshot of page %s is not available: %s", lp_id, error)
            return "no_shot_late"
        if self._chromium is None:
            return "no_shot_browser"
        if key in self._failed:
            return "no_shot_failed"
        return await self._wait(key, lp_id, page.body, width, viewport_h)

    async def _wait(self, key: str, lp_id: str, html: bytes, width: int, viewport_h: int) -> bytes | Missing:
        task = self._taking.task(key, lambda: self._once(key, lp_id, html, width, viewport_h))
        await asyncio.wait({task}, timeout=WITHIN_S)
        if not task.done():
            return "no_shot_late"
        try:
            return task.result()
        except LpstreamError as error:
            log.warning("screenshot %s failed: %s", key, error)
            metrics.SHOTS.labels("failed").inc()
            if not isinstance(error, Retryable):
                self._failed[key] = True
            return "no_shot_failed"

    async def _once(self, key: str, lp_id: str, html: bytes, width: int, viewport_h: int) -> bytes:
        """Take the screenshot, or wait for it if another process takes it."""

        async def look() -> bytes | None:
            stored = await self._objects.get(key)
            return None if stored is None else stored.body

        return await self._locks.once(
            key, look, lambda: self._take(key, lp_id, html, width, viewport_h), hold_s=HOLD_S, poll_s=POLL_S
        )

    async def _take(self, key: str, lp_id: str, html: bytes, width: int, viewport_h: int) -> bytes:
        assets = {}
        for name in assets_in(html):
            if (stored := await self._objects.get(name)) is not None:
                assets[name] = (stored.body, stored.content_type)
        body = await self._process.run(take, PageFiles(html, assets), width, viewport_h, self._chromium or "")
        metrics.SHOTS.labels("taken").inc()
        await self._objects.put(key, body, "image/png", PRIVATE)
        page = await html_of(self._objects, lp_id)
        if page is None or page.body != html:  # no erasure of the page would find the screenshot
            await self._objects.delete([key])
            raise Refused(f"page {lp_id} was erased or changed meanwhile")
        return body
