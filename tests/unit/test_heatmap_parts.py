"""A bucket's rows are inserted in parts; every attempt has the same parts and tokens."""

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pyarrow as pa
from beacons import some_beacons
from test_delivery import TP0, Record

from infra.kafka.reading import Fetched
from processors.heatmap.cuts import Cut
from schemas.errors import Retryable
from streams.heatmap.agent import HeatmapBucket, Stores, folding_thread
from streams.heatmap.bucket import Bucket
from streams.heatmap.identities import Identities
from streams.transports.slices import cut as sliced

NOW_MS = 1_795_451_375_000
BODIES = [msgspec.json.encode(beacon) for beacon in some_beacons("parts", 40)]


class Tables:
    """A fake ClickHouse that keeps the first insert of each token.

    The answers of calls in `lost` are lost.
    """

    def __init__(self, lost: set[int]) -> None:
        self.lost = lost
        self.calls = 0
        self.rows: dict[tuple[str, str], list[Any]] = {}

    async def insert(self, table: str, rows: pa.Table, token: str) -> None:
        self.calls += 1
        self.rows.setdefault((table, token), rows.to_pylist())
        if self.calls in self.lost:
            raise Retryable("the answer is lost")


async def again(store: str, call: Callable[[], Awaitable[Any]]) -> Any:
    while True:
        try:
            return await call()
        except Retryable:
            await asyncio.sleep(0)


async def stored(step: int, tables: Tables, part_rows: int) -> None:
    """Store the bucket of a log that is fetched `step` records at a time."""
    stores: Any = SimpleNamespace(
        clickhouse=tables, folding=folding_thread(), links=SimpleNamespace(keep=lambda *_: None), settings=None
    )
    stores.next_part = lambda parts: Stores.next_part(stores, parts)
    work = HeatmapBucket(stores, Identities(), NOW_MS)
    bucket = Bucket(TP0, Cut(records=10_000, part_rows=part_rows), 0, 0, 0, NOW_MS, work, 0.0)
    records: list[Any] = [Record(offset, NOW_MS, body) for offset, body in enumerate(BODIES)]
    for at in range(0, len(records), step):
        some = records[at : at + step]
        (part,) = sliced(TP0, 1, 1, Fetched(at, some, at + len(some)))
        bucket.index = part.bucket
        assert bucket.take(part, some) == len(some)
    await work.store(bucket, again)
    stores.folding.shutdown()


async def test_parts_do_not_depend_on_fetches_or_lost_answers() -> None:
    whole, parts, repeated = Tables(set()), Tables(set()), Tables({1, 3, 4, 9})
    await stored(40, whole, 10**9)
    await stored(40, parts, 20)
    await stored(7, repeated, 20)
    await stored(3, repeated, 20)  # another worker stores the bucket again
    assert parts.rows == repeated.rows
    assert len(parts.rows) > len(whole.rows) + 5
    for (table, token), rows in whole.rows.items():
        mine = [
            row for (name, one), some in parts.rows.items() if name == table for row in some if one.startswith(token)
        ]
        assert sorted(map(str, mine)) == sorted(map(str, rows))
