"""The edge's shelf: one read for a crowd, and nothing kept that is not there. The store counts its reads."""

import asyncio
from typing import cast

import pytest

from infra.objects import Objects, StoredObject
from schemas.errors import Retryable
from streams.edge.shelf import Shelf


class Counting:
    """Stands for the store, which cannot be asked how often it was read."""

    def __init__(self, found: StoredObject | None) -> None:
        self.found, self.reads, self.away = found, 0, False

    async def get(self, key: str) -> StoredObject | None:
        self.reads += 1
        await asyncio.sleep(0.01)
        if self.away:
            raise Retryable("away")
        return self.found


PAGE = StoredObject(b"page", "text/html", "1")


async def test_a_crowd_is_one_read() -> None:
    store = Counting(PAGE)
    shelf = Shelf(cast(Objects, store))
    assert await asyncio.gather(*(shelf.get("pages/a") for _ in range(50))) == [PAGE] * 50
    assert await shelf.get("pages/a") == PAGE
    assert store.reads == 1


async def test_what_is_missing_is_asked_for_again() -> None:
    store = Counting(None)
    shelf = Shelf(cast(Objects, store))
    assert await shelf.get("pages/a") is None
    store.found = PAGE
    assert await shelf.get("pages/a") == PAGE


async def test_a_store_that_is_away_is_told_to_all_and_tried_again() -> None:
    store = Counting(PAGE)
    store.away = True
    shelf = Shelf(cast(Objects, store))
    told = await asyncio.gather(*(shelf.get("pages/a") for _ in range(5)), return_exceptions=True)
    assert [type(one) for one in told] == [Retryable] * 5
    store.away = False
    assert await shelf.get("pages/a") == PAGE


async def test_a_reader_that_goes_away_does_not_take_the_page_from_others() -> None:
    store = Counting(PAGE)
    shelf = Shelf(cast(Objects, store))
    first, second = asyncio.create_task(shelf.get("pages/a")), asyncio.create_task(shelf.get("pages/a"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == PAGE
    assert store.reads == 1
