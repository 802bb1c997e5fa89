"""The delivery rules on a log in memory.

When buckets are cut, stored, committed, retried and dropped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from faust.types import TP

from infra.kafka.reading import Fetched
from processors.heatmap.cuts import Cut
from schemas.errors import LpstreamError, Refused, Retryable
from streams.heatmap.bucket import Bucket, BucketWork, Retry
from streams.heatmap.delivery import Delivery
from streams.transports.slices import LOG_APPEND_TIME, Slice
from streams.transports.slices import cut as sliced

TP0 = TP("heatmap.events", 0)
TP1 = TP("heatmap.events", 1)


@dataclass
class Record:
    offset: int
    timestamp: int
    value: bytes = b"x"
    timestamp_type: int = LOG_APPEND_TIME
    key: bytes | None = None


CUT = Cut(records=10)


def log_of(*timestamps: int) -> list[Record]:
    return [Record(offset, timestamp) for offset, timestamp in enumerate(timestamps)]


def cut(
    tp: TP, epoch: int, fetch: int, records: list[Any], begin: int | None = None, following: int | None = None
) -> list[Slice]:
    """Return the slices of a fetch; without `begin` and `following` it covers its records only."""
    begin = records[0].offset if begin is None else begin
    following = records[-1].offset + 1 if following is None else following
    return list(sliced(tp, epoch, fetch, Fetched(begin, records, following)))


@dataclass
class Consumer:
    """A fake of streams.transports.slices.Consumer; tests/guarantees run the real consumer."""

    epoch: int = 1
    boundary: dict[TP, int] = field(default_factory=dict)
    commits: list[tuple[TP, int]] = field(default_factory=list)
    rewinds: list[tuple[TP, int]] = field(default_factory=list)
    braked: set[TP] = field(default_factory=set)
    refuse_commits: int = 0
    fetch: int = 0
    first: int = 0
    metadata: str = CUT.metadata
    flowing: bool = True
    log_end: int = 1_000

    def current(self, epoch: int) -> bool:
        return self.owns(epoch) and self.flowing

    def owns(self, epoch: int) -> bool:
        return epoch == self.epoch

    def end(self, tp: TP) -> int:
        return self.log_end

    def complete(self, tp: TP, next_offset: int, epoch: int) -> bool:
        if not self.owns(epoch):
            return False
        self.boundary[tp] = next_offset
        return True

    async def commit_boundary(self, tp: TP) -> bool:
        if self.refuse_commits:
            self.refuse_commits -= 1
            return False
        self.commits.append((tp, self.boundary[tp]))
        return True

    async def committed(self, tp: TP) -> tuple[int, str] | None:
        offsets = [offset for committed, offset in self.commits if committed == tp]
        return (offsets[-1] if offsets else 0), self.metadata

    async def earliest(self, tp: TP) -> int:
        return self.first

    def rewind(self, tp: TP, offset: int) -> int:
        self.rewinds.append((tp, offset))
        return self.fetch

    def brake(self, tps: set[TP]) -> None:
        self.braked |= tps


class Store:
    """A store of buckets that can fail a number of times, or run `meanwhile` during an insert."""

    def __init__(self) -> None:
        self.stored: list[tuple[str, list[int]]] = []
        self.failures: list[Exception] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self.open = asyncio.Event()
        self.open.set()
        self.held: dict[TP, asyncio.Event] = {}

    async def open_work(self, part: Slice, boundary: int, earliest: int) -> Callable[[int], BucketWork]:
        return lambda at_ms: Work(self)


class Work:
    def __init__(self, store: Store) -> None:
        self.store_ = store
        self.offsets: list[int] = []

    def add(self, records: list[Any], number: int) -> None:
        self.offsets += [record.offset for record in records if record.value]

    def held(self) -> int:
        return len(self.offsets)

    def braked(self) -> bool:
        return any(offset >= 900 for offset in self.offsets)

    async def store(self, bucket: Bucket, retry: Retry) -> None:
        async def insert() -> None:
            await self.store_.open.wait()
            if held := self.store_.held.get(bucket.tp):
                await held.wait()
            self.store_.meanwhile()
            if self.store_.failures:
                raise self.store_.failures.pop(0)
            self.store_.stored.append((bucket.token, list(self.offsets)))

        if self.offsets:
            await retry("store", insert)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class World:
    consumer: Consumer
    store: Store
    clock: Clock
    delivery: Delivery
    fatal: list[LpstreamError]

    async def read(
        self,
        records: list[Record],
        tp: TP = TP0,
        epoch: int = 1,
        begin: int | None = None,
        following: int | None = None,
    ) -> None:
        self.consumer.fetch += 1
        for part in cut(tp, epoch, self.consumer.fetch, records, begin, following):
            await self.delivery.on_slice(part)
        await self.delivery.settle()


@pytest.fixture
def world() -> World:
    return world_of(Consumer())


def world_of(consumer: Consumer, cut: Cut = CUT) -> World:
    store, clock = Store(), Clock()
    fatal: list[LpstreamError] = []
    delivery = Delivery(
        consumer, store.open_work, cut=cut, skew_s=1.0, on_fatal=fatal.append, clock=clock, sleep=clock.sleep
    )
    return World(consumer, store, clock, delivery, fatal)


async def test_a_bucket_ends_before_the_first_record_of_a_later_bucket(world: World) -> None:
    await world.read(log_of(1_000, 4_999, 5_000))
    assert world.store.stored == [("heatmap.events:0:0-1:1000", [0, 1])]
    assert world.consumer.commits == [(TP0, 2)]


async def test_a_record_two_buckets_back_cuts_the_bucket(world: World) -> None:
    await world.read(log_of(10_000, 5_000, 10_001))
    assert world.store.stored == []
    await world.read([Record(3, 4_999)])
    assert world.store.stored == [("heatmap.events:0:0-2:10000", [0, 1, 2])]


async def test_a_bucket_ends_after_n_records_regardless_of_fetches(world: World) -> None:
    records = log_of(*([1_000] * 25))
    await world.read(records[:7])
    await world.read(records[7:25])
    assert [offsets for _, offsets in world.store.stored] == [list(range(10)), list(range(10, 20))]
    assert world.consumer.commits == [(TP0, 10), (TP0, 20)]


async def test_tokens_do_not_depend_on_the_sizes_of_fetches(world: World) -> None:
    records = log_of(*range(0, 60_000, 700))
    tokens = []
    for step in (1, 3, 50):
        world = world_of(Consumer(), Cut(records=4))
        for start in range(0, len(records), step):
            await world.read(records[start : start + step])
        tokens.append(world.store.stored)
    assert tokens[0] == tokens[1] == tokens[2]
    assert len(tokens[0]) > 10


async def test_a_failed_insert_is_retried_with_its_token_before_a_commit(
    world: World,
) -> None:
    world.store.failures = [Retryable("away"), Refused("table is not there", 60), RuntimeError("surprise")]
    seen: list[list[tuple[TP, int]]] = []
    world.store.meanwhile = lambda: seen.append(list(world.consumer.commits))
    await world.read(log_of(1_000, 6_000))
    assert seen == [[], [], [], []]
    assert world.store.stored == [("heatmap.events:0:0-0:1000", [0])]
    assert world.consumer.commits == [(TP0, 1)]
    assert world.clock.now == pytest.approx(0.1 + 0.2 + 0.4)


async def test_a_refused_commit_is_retried_without_a_second_insert(world: World) -> None:
    world.consumer.refuse_commits = 3
    await world.read(log_of(1_000, 6_000))
    assert len(world.store.stored) == 1
    assert world.consumer.commits == [(TP0, 1)]


async def test_a_partition_revoked_during_a_retry_is_dropped_at_once(world: World) -> None:
    world.store.failures = [Retryable("away")] * 1_000

    def revoke() -> None:
        if len(world.store.failures) < 995:
            world.consumer.epoch = 2

    world.store.meanwhile = revoke
    await world.read(log_of(1_000, 6_000))
    assert world.store.stored == []
    assert world.consumer.commits == []
    assert world.delivery.partitions == {}


async def test_a_revoke_after_the_insert_leaves_the_commit_to_the_next_owner(world: World) -> None:
    def revoke() -> None:
        world.consumer.epoch = 2

    world.store.meanwhile = revoke
    await world.read(log_of(1_000, 6_000))
    assert len(world.store.stored) == 1
    assert world.consumer.commits == []
    world.store.meanwhile = lambda: None
    await world.read(log_of(1_000, 6_000), epoch=2)
    assert world.store.stored[0] == world.store.stored[1]
    assert world.consumer.commits == [(TP0, 1)]


async def test_a_new_epoch_drops_open_buckets_without_storing_them(world: World) -> None:
    await world.read(log_of(1_000, 1_001))
    world.consumer.epoch = 2
    await world.read(log_of(1_000, 1_001, 1_002, 6_000), epoch=2)
    assert world.store.stored == [("heatmap.events:0:0-2:1000", [0, 1, 2])]


async def test_a_slice_of_an_old_epoch_is_ignored(world: World) -> None:
    world.consumer.epoch = 2
    await world.read(log_of(1_000, 6_000), epoch=1)
    assert world.store.stored == []


async def test_a_gap_in_a_slice_causes_a_rewind_to_the_boundary(world: World) -> None:
    records = log_of(1_000, 1_001, 1_002, 1_003, 6_000)
    await world.read(records[:2])
    await world.read(records[3:])
    assert world.consumer.rewinds == [(TP0, 0)]
    assert world.store.stored == []
    await world.read(records)
    assert world.store.stored == [("heatmap.events:0:0-3:1000", [0, 1, 2, 3])]


async def test_slices_fetched_before_a_rewind_cause_no_second_rewind(world: World) -> None:
    records = log_of(1_000, 1_001, 1_002, 1_003, 6_000)
    await world.read(records[:1])
    world.consumer.fetch += 1
    for part in cut(TP0, 1, world.consumer.fetch, records[2:4]):
        await world.delivery.on_slice(part)
        await world.delivery.on_slice(part)
    assert world.consumer.rewinds == [(TP0, 0)]
    await world.read(records)
    assert world.store.stored == [("heatmap.events:0:0-3:1000", [0, 1, 2, 3])]


async def test_records_that_were_already_read_are_skipped(world: World) -> None:
    records = log_of(1_000, 1_001, 6_000)
    await world.read(records)
    await world.read(records[:1])
    await world.read([Record(3, 12_000)])
    assert [offsets for _, offsets in world.store.stored] == [[0, 1], [2]]


async def test_partitions_do_not_mix(world: World) -> None:
    await world.read(log_of(1_000))
    await world.read(log_of(1_000, 6_000), tp=TP1)
    assert world.consumer.commits == [(TP1, 1)]


async def test_an_insert_blocks_its_own_partition_only(world: World) -> None:
    world.store.open.clear()
    for tp, records in ((TP0, log_of(1_000, 6_000)), (TP1, log_of(1_000, 6_000))):
        for part in cut(tp, 1, 1, records):
            await world.delivery.on_slice(part)
    third = asyncio.create_task(world.delivery.on_slice(cut(TP0, 1, 2, [Record(2, 12_000)])[0]))
    await asyncio.sleep(0.01)
    assert not third.done()
    assert world.store.stored == []
    world.clock.now = 60.0
    assert world.delivery.overdue() == []
    world.store.open.set()
    await third
    await world.delivery.settle()
    assert [token.rpartition(":")[0].partition(":")[2] for token, _ in world.store.stored] == [
        "0:0-0",
        "1:0-0",
        "0:1-1",
    ]
    assert world.consumer.commits == [(TP0, 1), (TP1, 1), (TP0, 2)]


async def test_a_rewind_starts_after_the_bucket_being_stored(world: World) -> None:
    world.store.open.clear()
    records = log_of(1_000, 6_000, 6_001, 6_002, 11_000)
    for part in cut(TP0, 1, 1, records[:2]):
        await world.delivery.on_slice(part)
    world.consumer.fetch = 2
    late = asyncio.create_task(world.delivery.on_slice(cut(TP0, 1, 2, records[3:4])[0]))
    await asyncio.sleep(0.01)
    world.store.open.set()
    await late
    assert world.consumer.commits == [(TP0, 1)]
    assert world.consumer.rewinds == [(TP0, 1)]
    await world.read(records[1:])
    assert [offsets for _, offsets in world.store.stored] == [[0], [1, 2, 3]]


async def test_close_drops_buckets_that_are_being_stored(world: World) -> None:
    world.store.open.clear()
    for part in cut(TP0, 1, 1, log_of(1_000, 6_000)):
        await world.delivery.on_slice(part)
    await world.delivery.close()
    assert world.store.stored == []
    assert world.consumer.commits == []


async def test_an_open_bucket_requests_a_tick_every_skew_interval(world: World) -> None:
    await world.read(log_of(1_000))
    await world.read([Record(0, 1_000, value=b"")], tp=TP1)
    world.clock.now = 4.9
    assert world.delivery.overdue() == []
    world.clock.now = 5.1
    assert [bucket.tp for bucket in world.delivery.overdue()] == [TP0]
    assert world.delivery.overdue() == []
    world.clock.now = 6.2
    assert [bucket.tp for bucket in world.delivery.overdue()] == [TP0]


async def test_a_tick_closes_a_bucket_and_is_not_counted(world: World) -> None:
    await world.read(log_of(1_000))
    await world.read([Record(1, 6_000, value=b"")])
    assert world.store.stored == [("heatmap.events:0:0-0:1000", [0])]
    await world.read([Record(2, 12_000, value=b"")])
    assert len(world.store.stored) == 1
    assert world.consumer.commits == [(TP0, 1)]


async def test_cancellation_is_not_swallowed(world: World) -> None:
    async def cancelled() -> Awaitable[None]:
        raise asyncio.CancelledError

    world.store.failures = [asyncio.CancelledError()]  # type: ignore[list-item]
    with pytest.raises(asyncio.CancelledError):
        await world.read(log_of(1_000, 6_000))
    assert world.consumer.commits == []
