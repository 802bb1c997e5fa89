"""Published objects that were read a moment ago: a crowd is one read, and a store that is away stops no visitor."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from cachetools import TTLCache

from infra.s3.objects import Objects, StoredObject
from infra.single_flight import SingleFlight
from schemas.errors import Retryable
from streams.runtime import metrics

FRESH_S, KEPT_BYTES = 10.0, 32 * 2**20
# as long as `Cache-Control` lets any cache before this one keep a page; HTTP calls it stale-if-error (RFC 5861)
STALE_S = 3_600.0
PATIENCE_S = 1.0


class CachedObject(NamedTuple):
    """An object, and how many seconds ago it was read: the `Age` of HTTP (RFC 9111, section 5.1)."""

    object: StoredObject
    age_s: float


@dataclass(slots=True)
class _Kept:
    """`asked_at` is when the store was last asked, whether it answered or not; both in s of the shelf's clock."""

    object: StoredObject
    read_at: float
    asked_at: float


class ObjectCache:
    """Answers from what was read in the last ten seconds, far less than `Cache-Control` lets any cache keep a page.

    While the store does not answer, what was read in the last hour is given. What is not there is asked for each
    time: it may come.
    """

    def __init__(self, objects: Objects, clock: Callable[[], float] = time.monotonic) -> None:
        self._objects = objects
        self._clock = clock
        self._kept: TTLCache[str, _Kept] = TTLCache(KEPT_BYTES, STALE_S, clock, lambda one: len(one.object.body))
        self._reading: SingleFlight[CachedObject | None] = SingleFlight()

    async def get(self, key: str) -> CachedObject | None:
        """As Objects.get; who asks while it is being read waits for that."""
        kept = self._kept.get(key)
        if kept is not None and self._clock() - kept.asked_at < FRESH_S:
            return self._shelved(kept)
        reading = asyncio.shield(self._reading.task(key, lambda: self._read(key)))
        if kept is None:
            return await reading
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await reading
        except (Retryable, TimeoutError):
            kept.asked_at = self._clock()
            return self._shelved(kept)

    async def _read(self, key: str) -> CachedObject | None:
        found = await self._objects.get(key)
        if found is None:
            self._kept.pop(key, None)
            return None
        if len(found.body) <= KEPT_BYTES:
            now = self._clock()
            self._kept[key] = _Kept(found, now, now)
        return CachedObject(found, 0.0)

    def _shelved(self, kept: _Kept) -> CachedObject:
        age_s = self._clock() - kept.read_at
        if age_s >= FRESH_S:
            metrics.STALE.inc()
        return CachedObject(kept.object, age_s)
