"""The edge's shelf: one read for a crowd, and nothing kept that is not there. The store counts its reads."""

import asyncio
from typing import cast

import pytest
from prometheus_client import REGISTRY

from infra.s3.objects import Objects, StoredObject
from schemas.errors import Retryable
from streams.edge.site.object_cache import FRESH_S, PATIENCE_S, STALE_S, CachedObject, ObjectCache


class Counting:
    """Stands for the store, which cannot be asked how often it was read."""

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
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def stale() -> float:
    return REGISTRY.get_sample_value("lpstream_edge_stale_total") or 0.0


def body(found: CachedObject | None) -> bytes:
    assert found is not None
    return found.object.body


async def test_a_crowd_is_one_read() -> None:
    store = Counting(PAGE)
    shelf = ObjectCache(cast(Objects, store))
    found = await asyncio.gather(*(shelf.get("pages/a") for _ in range(50)))
    assert [body(one) for one in found] == [b"page"] * 50
    assert body(await shelf.get("pages/a")) == b"page"
    assert store.reads == 1


async def test_what_is_missing_is_asked_for_again() -> None:
    store = Counting(None)
    shelf = ObjectCache(cast(Objects, store))
    assert await shelf.get("pages/a") is None
    store.found = PAGE
    assert body(await shelf.get("pages/a")) == b"page"


async def test_a_store_that_is_away_is_told_to_all_and_tried_again() -> None:
    store = Counting(PAGE)
    store.away = True
    shelf = ObjectCache(cast(Objects, store))
    told = await asyncio.gather(*(shelf.get("pages/a") for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in told] == [Retryable] * 5
    store.away = False
    assert body(await shelf.get("pages/a")) == b"page"


async def test_a_reader_that_goes_away_does_not_take_the_page_from_others() -> None:
    store = Counting(PAGE)
    shelf = ObjectCache(cast(Objects, store))
    first, second = asyncio.create_task(shelf.get("pages/a")), asyncio.create_task(shelf.get("pages/a"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert body(await second) == b"page"
    assert store.reads == 1


@pytest.mark.parametrize("how", ["away", "hanging"])
async def test_what_was_read_in_the_last_hour_is_given_while_the_store_is_away(how: str) -> None:
    store, clock, before = Counting(PAGE), Clock(), stale()
    shelf = ObjectCache(cast(Objects, store), clock)
    await shelf.get("pages/a")
    setattr(store, how, True)
    clock.now = FRESH_S + 1
    found = await asyncio.gather(*(shelf.get("pages/a") for _ in range(5)))
    assert [body(one) for one in found] == [b"page"] * 5
    assert [one.age_s for one in found if one] == [FRESH_S + 1] * 5
    assert store.reads == 2
    await shelf.get("pages/a")
    assert store.reads == 2, "a store that is away is not asked by every visitor"
    assert stale() - before == 6
    await asyncio.sleep(PATIENCE_S * 0.4)  # the read that hangs ends as well
    setattr(store, how, False)
    store.found = StoredObject(b"newer", "text/html", "2")
    clock.now += FRESH_S
    newer = await shelf.get("pages/a")
    assert (body(newer), newer and newer.age_s) == (b"newer", 0)


async def test_nothing_is_given_after_an_hour_or_after_it_was_removed() -> None:
    store, clock = Counting(PAGE), Clock()
    shelf = ObjectCache(cast(Objects, store), clock)
    await shelf.get("pages/a")
    store.away = True
    for clock.now in (FRESH_S, STALE_S / 2, STALE_S - 1):
        assert body(await shelf.get("pages/a")) == b"page"
    clock.now = STALE_S
    with pytest.raises(Retryable):
        await shelf.get("pages/a")
    store.away = False
    assert body(await shelf.get("pages/a")) == b"page"
    store.found = None
    clock.now += FRESH_S
    assert await shelf.get("pages/a") is None
    store.away = True
    with pytest.raises(Retryable):
        await shelf.get("pages/a")
