"""Published objects that were asked for a moment ago: a crowd that comes at once is one read of the store."""

import asyncio

from cachetools import TTLCache

from infra.objects import Objects, StoredObject
from infra.once import Once

KEPT_S, KEPT_BYTES = 10.0, 32 * 2**20


class Shelf:
    """Keeps what was read for ten seconds, far less than `Cache-Control` lets any cache before it keep a page.

    What is not there is asked for each time: it may come.
    """

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._kept: TTLCache[str, StoredObject] = TTLCache(KEPT_BYTES, KEPT_S, getsizeof=lambda one: len(one.body))
        self._reading: Once[StoredObject | None] = Once()

    async def get(self, key: str) -> StoredObject | None:
        """As Objects.get; who asks while it is being read waits for that."""
        if (found := self._kept.get(key)) is not None:
            return found
        return await asyncio.shield(self._reading.task(key, lambda: self._read(key)))

    async def _read(self, key: str) -> StoredObject | None:
        found = await self._objects.get(key)
        if found is not None and len(found.body) <= KEPT_BYTES:
            self._kept[key] = found
        return found
