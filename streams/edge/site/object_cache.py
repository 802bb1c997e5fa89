"""A cache of published objects. Many visitors cause one read; a store outage stops no visitor."""

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
# stale-if-error (RFC 5861), as long as `Cache-Control` lets a cache in front of this one keep a page
STALE_S = 3_600.0
PATIENCE_S = 1.0


class CachedObject(NamedTuple):
    """An object and the seconds since it was read, HTTP's `Age` (RFC 9111, section 5.1)."""

    object: StoredObject
    age_s: float


@dataclass(slots=True)
class _Entry:
    """A cached object. The store was last asked, with or without an answer, at `asked_at`.

    Times are seconds of the cache's clock.
    """

    object: StoredObject
    read_at: float
    asked_at: float


class ObjectCache:
    """A cache that answers from reads of the last FRESH_S, far less than `Cache-Control` allows.

    While the store does not answer, the cache returns objects that were read in the last hour. Missing objects are not
    cached, because they may appear.
    """

    def __init__(self, objects: Objects, clock: Callable[[], float] = time.monotonic) -> None:
        self._objects = objects
        self._clock = clock
        self._entries: TTLCache[str, _Entry] = TTLCache(KEPT_BYTES, STALE_S, clock, lambda item: len(item.object.body))
        self._reading: SingleFlight[CachedObject | None] = SingleFlight()

    async def get(self, key: str) -> CachedObject | None:
        """Return the object, as Objects.get does. Concurrent calls for a key share one read."""
        entry = self._entries.get(key)
        if entry is not None and self._clock() - entry.asked_at < FRESH_S:
            return self._cached(entry)
        reading = self._reading.run(key, lambda: self._read(key))
        if entry is None:
            return await reading
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await reading
        except (Retryable, TimeoutError):
            entry.asked_at = self._clock()
            return self._cached(entry)

    async def _read(self, key: str) -> CachedObject | None:
        found = await self._objects.get(key)
        if found is None:
            self._entries.pop(key, None)
            return None
        if len(found.body) <= KEPT_BYTES:
            now = self._clock()
            self._entries[key] = _Entry(found, now, now)
        return CachedObject(found, 0.0)

    def _cached(self, entry: _Entry) -> CachedObject:
        age_s = self._clock() - entry.read_at
        if age_s >= FRESH_S:
            metrics.STALE.inc()
        return CachedObject(entry.object, age_s)
