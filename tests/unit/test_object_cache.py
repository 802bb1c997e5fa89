"""The edge's object cache: one read for concurrent requests, and no caching of missing objects."""

import asyncio
from typing import cast

import pytest
from prometheus_client import REGISTRY

from infra.s3.objects import Objects, StoredObject
from schemas.errors import Retryable
from streams.edge.site.object_cache import FRESH_S, PATIENCE_S, STALE_S, CachedObject, ObjectCache


class Counting:
    """A fake object store that counts its reads."""

    def __init__(self, found: StoredObject | None) -> None:
        self.found, self.reads = found, 0
        self.away = self.hanging = False

    async def get(self, key: str) -> StoredObject | None:
        self.reads += 1
        await asyncio.sleep(PATIENCE_S * 1.3 if self.hanging else 0.01)
        if self.away or self.hanging:
            raise Retryable("away")
        return self.found


PAGE = StoredObject(b"page", "text/html", "1")


class Clock:
    """A clock that a test sets, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def stale() -> float:
    return REGISTRY.get_sample_value("lpstream_edge_stale_total") or 0.0


def body(found: CachedObject | None) -> bytes:
    assert found is not None
    return found.object.body


async def test_concurrent_requests_share_one_read() -> None:
    store = Counting(PAGE)
    cache = ObjectCache(cast(Objects, store))
    found = await asyncio.gather(*(cache.get("pages/a") for _ in range(50)))
    assert [body(one) for one in found] == [b"page"] * 50
    assert body(await cache.get("pages/a")) == b"page"
    assert store.reads == 1


async def test_a_missing_object_is_read_again() -> None:
    store = Counting(None)
    cache = ObjectCache(cast(Objects, store))
    assert await cache.get("pages/a") is None
    store.found = PAGE
    assert body(await cache.get("pages/a")) == b"page"


async def test_a_store_error_reaches_all_readers_and_is_not_cached() -> None:
    store = Counting(PAGE)
    store.away = True
    cache = ObjectCache(cast(Objects, store))
    results = await asyncio.gather(*(cache.get("pages/a") for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in results] == [Retryable] * 5
    store.away = False
    assert body(await cache.get("pages/a")) == b"page"


async def test_a_cancelled_reader_does_not_cancel_the_shared_read() -> None:
    store = Counting(PAGE)
    cache = ObjectCache(cast(Objects, store))
    first, second = asyncio.create_task(cache.get("pages/a")), asyncio.create_task(cache.get("pages/a"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert body(await second) == b"page"
    assert store.reads == 1


@pytest.mark.parametrize("how", ["away", "hanging"])
async def test_a_stale_object_is_served_while_the_store_is_down(how: str) -> None:
    store, clock, before = Counting(PAGE), Clock(), stale()
    cache = ObjectCache(cast(Objects, store), clock)
    await cache.get("pages/a")
    setattr(store, how, True)
    clock.now = FRESH_S + 1
    found = await asyncio.gather(*(cache.get("pages/a") for _ in range(5)))
    assert [body(one) for one in found] == [b"page"] * 5
    assert [one.age_s for one in found if one] == [FRESH_S + 1] * 5
    assert store.reads == 2
    await cache.get("pages/a")
    assert store.reads == 2, "a store that is down is not read for every visitor"
    assert stale() - before == 6
    await asyncio.sleep(PATIENCE_S * 0.4)  # let the hanging read end
    setattr(store, how, False)
    store.found = StoredObject(b"newer", "text/html", "2")
    clock.now += FRESH_S
    newer = await cache.get("pages/a")
    assert (body(newer), newer and newer.age_s) == (b"newer", 0)


async def test_a_stale_object_expires_after_an_hour_or_a_removal() -> None:
    store, clock = Counting(PAGE), Clock()
    cache = ObjectCache(cast(Objects, store), clock)
    await cache.get("pages/a")
    store.away = True
    for clock.now in (FRESH_S, STALE_S / 2, STALE_S - 1):
        assert body(await cache.get("pages/a")) == b"page"
    clock.now = STALE_S
    with pytest.raises(Retryable):
        await cache.get("pages/a")
    store.away = False
    assert body(await cache.get("pages/a")) == b"page"
    store.found = None
    clock.now += FRESH_S
    assert await cache.get("pages/a") is None
    store.away = True
    with pytest.raises(Retryable):
        await cache.get("pages/a")
