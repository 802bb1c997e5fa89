"""Steps of a rebuild.

The bulk pass has the workers' sums, and the follower stores the workers' buckets.
"""

import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from aiokafka import TopicPartition
from beacons import some_beacons
from faust.types import TP
from rebuilding import LogOf, visit
from test_delivery import CUT, TP0, Consumer, Record, Store, Work, cut

from infra.kafka.reading import Fetched
from processors.heatmap.cuts import Cut
from processors.heatmap.tallies import WINDOWS
from streams.heatmap.agent import HeatmapBucket
from streams.heatmap.bucket import BucketWork
from streams.heatmap.delivery import Delivery
from streams.heatmap.identities import Identities
from streams.operate.bulk import Bulk, Stretch
from streams.operate.follower import Follower, LiveTables
from streams.operate.marks import Mark
from streams.runtime.settings import load_settings

PLACE = TopicPartition("heatmap.events", 0)
DAY_MS = 86_400_000


def minutes_of_beacons() -> list[Record]:
    """Return 60 beacons, retries of every third, and a late retry after 40 minutes, which counts again."""
    bodies = [msgspec.json.encode(one) for one in some_beacons("bulk", 30)][:60]
    start = 1_700_000_000_000
    records = [Record(at, start + at * 900, body) for at, body in enumerate(bodies)]
    records += [Record(100 + at, start + 60_000 + at * 900, body) for at, body in enumerate(bodies[::3])]
    return [*records, Record(200, start + 2_400_000 + 60_000, bodies[0]), Record(201, start + 2_500_000, b"no beacon")]


def test_a_bulk_stretch_has_the_same_sums_as_slices() -> None:
    records = minutes_of_beacons()
    whole, known = Stretch(0, "whole"), Identities()
    whole.add(records, 0, known)
    sliced, other = Stretch(0, "sliced"), Identities()
    for part in cut(TP0, 0, 0, records):
        sliced.add(part.records, 0, other)
    assert whole.fold.beacons == sliced.fold.beacons == 61
    assert whole.rejected == 1
    assert {name: rows.to_pylist() for name, rows in whole.fold.tables().items()} == {
        name: rows.to_pylist() for name, rows in sliced.fold.tables().items()
    }
    assert known.known == other.known


class Tables:
    """A ClickHouse that keeps the pageviews of each window and number of days late."""

    def __init__(self) -> None:
        self.pageviews: Counter[tuple[int, int]] = Counter()

    async def insert(self, table: str, rows: pa.Table, token: str) -> None:
        if table == WINDOWS:
            for row in rows.to_pylist():
                self.pageviews[row["window_start"] * 1000, row["days_late"]] += row["pageviews"]


async def rebuilt(place: TopicPartition, records: list[Any], worker_cut: Cut, size: int) -> Counter[tuple[int, int]]:
    """Return the pageviews that the bulk pass inserts."""
    tables: Any = Tables()
    log: Any = LogOf(place, records, size)
    await Bulk(tables, lambda: None).read(log, {}, {place: Mark(0, worker_cut)})
    return tables.pageviews  # type: ignore[no-any-return]


async def counted(place: TopicPartition, records: list[Any], worker_cut: Cut) -> Counter[tuple[int, int]]:
    """Return the pageviews that a worker inserts."""
    tables: Any = Tables()
    stores: Any = LiveTables(load_settings(), tables)
    identities, work = Identities(), partial(HeatmapBucket, stores)

    async def open_work(*_: object) -> Callable[[int], BucketWork]:
        return partial(work, identities)

    delivery = Delivery(
        Consumer(metadata=worker_cut.metadata), open_work, cut=worker_cut, skew_s=1.0, on_fatal=pytest.fail
    )
    for part in cut(TP(*place), 1, 1, [*records, Record(len(records), 2 * MIDNIGHT, b"end")]):
        await delivery.on_slice(part)
    await delivery.settle()
    return tables.pageviews  # type: ignore[no-any-return]


MIDNIGHT = 20_000 * DAY_MS


async def test_a_bucket_around_midnight_gets_the_workers_days_late() -> None:
    records = [visit(0, MIDNIGHT - 1_500, MIDNIGHT - 3_000), visit(1, MIDNIGHT + 1_000, MIDNIGHT - 2_000)]
    for size in (1, 2):
        found = await rebuilt(TopicPartition("heatmap.events", 1), records, Cut(50_000), size)
        assert found == {(MIDNIGHT - 5_000, 0): 2}
        found = await rebuilt(TopicPartition("heatmap.events", 0), records, Cut(50_000), size)
        assert found == {(MIDNIGHT - 5_000, 0): 1, (MIDNIGHT - 5_000, 1): 1}


@pytest.mark.parametrize("seed", range(12))
async def test_the_bulk_pass_counts_days_late_as_workers_do(seed: int) -> None:
    """Times go back, ticks are between the beacons, and buckets end by each of the bounds."""
    pick = random.Random(seed)
    place = TopicPartition("heatmap.events", seed % 3)
    worker_cut = Cut(pick.choice([3, 7, 50_000]), rule=pick.choice([1, 2]), most_bytes=pick.choice([1_000, 2**23]))
    time, records = MIDNIGHT - pick.choice([15_000, 40_000]), list[Any]()
    for number in range(150):
        time += pick.choice([-3_000, -1, 0, 100, 700, 700, 1_000, pick.choice([1_000, 5_000])])
        record = visit(number, time, time - pick.choice([0, 2_000, 9_000]))
        records.append(record if pick.random() > 0.2 else Record(number, time, b""))
    expected = await counted(place, records, worker_cut)
    assert await rebuilt(place, records, worker_cut, pick.choice([1, 10, 200])) == expected


async def delivered(records: list[Record], worker_cut: Cut) -> list[str]:
    """Return the tokens under which a worker stores the records."""
    store, consumer = Store(), Consumer(metadata=worker_cut.metadata)
    delivery = Delivery(consumer, store.open_work, cut=CUT, skew_s=1.0, on_fatal=pytest.fail)
    for part in cut(TP0, 1, 1, records):
        await delivery.on_slice(part)
    await delivery.settle()
    return [token for token, _ in store.stored]


def follower_of(store: Store, worker_cut: Cut) -> Follower:
    return Follower(PLACE, Mark(0, worker_cut), lambda at_ms: Work(store))


@pytest.mark.parametrize("worker_cut", [CUT, Cut(records=3), Cut(records=10, window_ms=7_000, rule=1)])
async def test_a_follower_stores_the_same_buckets_as_workers(worker_cut: Cut) -> None:
    times = [at * 700 + (at // 9) * 9_000 for at in range(60)]
    records = [Record(at, time, b"" if at % 7 == 3 else b"x") for at, time in enumerate(times)]
    store = Store()
    await follower_of(store, worker_cut).take(Fetched(0, records, 60), Mark(60, CUT), one=False)
    expected = await delivered(records, worker_cut)
    assert len(expected) > 3
    assert [token for token, _ in store.stored] == expected


async def test_a_follower_stores_no_bucket_before_the_worker() -> None:
    store, records = Store(), [Record(at, at * 1_000) for at in range(30)]
    follower = follower_of(store, CUT)
    await follower.take(Fetched(0, records, 30), Mark(0, CUT), one=True)
    assert (follower.whole, store.stored) == (True, [])
    await follower.close(Mark(5, CUT))
    assert [offsets for _, offsets in store.stored] == [list(range(5))]


async def test_a_follower_closes_a_bucket_at_the_workers_commit() -> None:
    store, records = Store(), [Record(at, at * 1_000) for at in range(3)]
    follower = follower_of(store, CUT)
    assert follower.is_before(Mark(3, CUT))
    await follower.take(Fetched(0, records, 3), Mark(3, CUT), one=False)
    await follower.close(Mark(3, CUT))
    assert [offsets for _, offsets in store.stored] == [[0, 1, 2]]
    assert not follower.is_before(Mark(3, CUT))


async def test_a_follower_stops_where_the_worker_stopped() -> None:
    store, records = Store(), [Record(900, 0), Record(901, 9_000)]
    follower = follower_of(store, CUT)
    await follower.take(Fetched(900, records, 902), Mark(0, CUT), one=True)
    assert follower.stuck
    assert store.stored == []
