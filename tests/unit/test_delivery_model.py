"""A model of brokers, tables and workers that die: each record ends in each table exactly once."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from test_delivery import Record

from infra.kafka.reading import Fetched
from processors.heatmap.cuts import Cut
from schemas.errors import LpstreamError, Retryable
from streams.heatmap.bucket import Bucket, BucketWork, Retry
from streams.heatmap.delivery import MOST_HELD, QUIET_S, Delivery
from streams.heatmap.lanes import Lanes
from streams.runtime import metrics
from streams.transports.slices import Slice
from streams.transports.slices import cut as sliced

TABLES = ("views", "clicks", "bands")
CUTS = [Cut(1), Cut(2), Cut(3), Cut(50), Cut(2, 2_000, 0), Cut(50, 7_000, 1_000)]
FEW = 3  # workers with this cut hold few records in memory
TURNS = 25
LAST_MS = 60_000


@dataclass
class Place:
    """A partition at the broker, with its committed offset and stored rows."""

    records: list[Record]
    end: int
    head: int = 0
    committed: tuple[int, str] | None = None
    base: int | None = None
    covered: set[int] = field(default_factory=set)
    inserts: int = 0
    lossy: bool = False
    tables: dict[str, dict[str, list[int]]] = field(default_factory=lambda: {table: {} for table in TABLES})

    def half_stored(self) -> bool:
        """Return whether a table has, or may soon have, uncommitted records."""
        begin = self.committed[0] if self.committed else 0
        stored = (offset for tokens in self.tables.values() for offsets in tokens.values() for offset in offsets)
        return self.inserts > 0 or any(offset >= begin for offset in stored)

    def passed_by_retention(self) -> bool:
        return self.committed is not None and self.committed[0] < self.head


class World:
    """The stores. Every step waits for a permit, so that workers can die between any two steps."""

    def __init__(self, logs: list[list[tuple[int, int, bool]]]) -> None:
        self.places = {TP("heatmap.events", number): place_of(log) for number, log in enumerate(logs)}
        self.permits = asyncio.Semaphore(0)
        self.faults: deque[str] = deque()

    async def step(self, change: Callable[[], None], error: type[Exception], *, may_fail: bool = True) -> None:
        await self.permits.acquire()
        fault = self.faults.popleft() if self.faults and may_fail else ""
        if fault == "refused":
            raise error
        change()
        if fault == "answer lost":
            await self.permits.acquire()
            raise error


class Worker:
    """A delivery with its lanes; the worker itself is the fake consumer."""

    def __init__(self, world: World, cut: Cut) -> None:
        self.world, self.cut, self.now = world, cut, 0.0
        self.epoch, self.fetches, self.fenced, self.flowing = 1, 0, False, True
        self.boundaries: dict[TP, int] = {}
        self.stretches: dict[tuple[TP, int, int], int] = {}
        self.positions: dict[TP, int] = {}
        self.fatal: list[LpstreamError] = []
        self.delivery = Delivery(
            self,
            self.open_work,
            cut=cut,
            skew_s=1.0,
            on_fatal=self.fatal.append,
            most_held=2 if cut.records == FEW else MOST_HELD,
            clock=lambda: self.now,
            sleep=self.sleep,
        )
        self.lanes = Lanes(self.delivery.on_slice, lambda tp: None, lambda tp: None, self.fault)
        self.seek_committed()

    def fault(self, error: Exception) -> None:
        raise AssertionError("a lane has stopped") from error

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    def seek_committed(self) -> None:
        for tp, place in self.world.places.items():
            self.positions[tp] = place.committed[0] if place.committed else place.head

    def fetch(self, tp: TP, offsets: int, hand_out: int = 1_000) -> None:
        """Fetch that many offsets (records or markers) and hand out at most `hand_out` slices."""
        place = self.world.places[tp]
        begin = max(self.positions[tp], place.head)
        following = self.positions[tp] = min(begin + offsets, place.end)
        if begin < following:
            self.fetches += 1
            records: list[Any] = [record for record in place.records if begin <= record.offset < following]
            for part in list(sliced(tp, self.epoch, self.fetches, Fetched(begin, records, following)))[:hand_out]:
                self.lanes.put(part)

    def rebalance(self) -> None:
        self.epoch += 1
        self.boundaries.clear()
        self.seek_committed()

    async def open_work(self, part: Slice, boundary: int, earliest: int) -> Callable[[int], BucketWork]:
        await self.world.step(lambda: None, Retryable)
        return lambda at_ms: Work(self)

    # -- the consumer ----------------------------------------------------------------------------------

    def current(self, epoch: int) -> bool:
        return self.owns(epoch) and self.flowing

    def owns(self, epoch: int) -> bool:
        return epoch == self.epoch

    def complete(self, tp: TP, next_offset: int, epoch: int) -> bool:
        if self.owns(epoch):
            self.boundaries[tp] = next_offset
        return self.owns(epoch)

    async def commit_boundary(self, tp: TP) -> bool:
        place, boundary, epoch = self.world.places[tp], self.boundaries.get(tp), self.epoch

        def commit() -> None:
            if self.fenced or boundary is None or epoch != self.epoch:
                raise Retryable("fenced")
            place.base = boundary if place.base is None else place.base
            place.covered.update(range(self.stretches.get((tp, epoch, boundary), boundary), boundary))
            place.committed = boundary, self.cut.metadata

        try:
            # No fault where records were lost: test_delivery_faults.py covers a lost answer there.
            await self.world.step(commit, Retryable, may_fail=not place.passed_by_retention())
        except Retryable:
            return False
        return True

    async def committed(self, tp: TP) -> tuple[int, str] | None:
        await asyncio.sleep(0)
        return self.world.places[tp].committed

    async def earliest(self, tp: TP) -> int:
        await asyncio.sleep(0)
        return self.world.places[tp].head

    def rewind(self, tp: TP, offset: int) -> int:
        self.positions[tp] = offset
        return self.fetches

    def end(self, tp: TP) -> int:
        return self.world.places[tp].end

    def brake(self, tps: set[TP]) -> None:
        raise AssertionError("every record of this model can be decoded")


class Work:
    """Rows of a bucket: the offsets of its records."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.epoch = worker.epoch
        self.offsets: list[int] = []

    def add(self, records: list[Any], number: int) -> None:
        self.offsets += [record.offset for record in records if record.value]

    def braked(self) -> bool:
        return False

    def held(self) -> int:
        return len(self.offsets)

    async def store(self, bucket: Bucket, retry: Retry) -> None:
        place = self.worker.world.places[bucket.tp]

        async def insert(tokens: dict[str, list[int]]) -> None:
            def store_once() -> None:
                tokens.setdefault(bucket.token, self.offsets)

            await self.worker.world.step(store_once, RuntimeError)

        place.inserts += 1
        try:
            for tokens in place.tables.values():
                if self.offsets:
                    await retry("clickhouse", partial(insert, tokens))
        finally:
            place.inserts -= 1
        self.worker.stretches[bucket.tp, self.epoch, bucket.last + 1] = bucket.begin


def place_of(log: list[tuple[int, int, bool]]) -> Place:
    """Return a partition from (offsets to skip before the record, ms after the last record, is a tick)."""
    records, offset, now = [], 0, 20_000
    for hole, step, tick in [*log, (0, LAST_MS, True)]:
        offset, now = offset + hole, max(now + step, 0)
        records.append(Record(offset, now, b"" if tick else b"x"))
        offset += 1
    return Place(records, offset)


async def turn() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class Play:
    """A run of the model: each act is a method, chosen by its name."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.tps = list(world.places)
        self.worker = Worker(world, CUTS[0])
        self.zombies = False

    def may_die(self) -> bool:
        """Return whether no partition is half stored while retention deletes its records.

        Stored but uncommitted records would then count as lost and stored, or twice. This model leaves that limit out.
        """
        return not any(place.passed_by_retention() and place.half_stored() for place in self.world.places.values())

    async def kill_all(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def fetch(self, a: int, b: int) -> None:
        self.worker.fetch(self.tps[a % len(self.tps)], 1 + b * b // 4)

    async def fetch_and_lose(self, a: int, b: int) -> None:
        tp = self.tps[a % len(self.tps)]
        self.worker.fetch(tp, 1 + b, hand_out=a // 3)
        if b % 2:
            place = self.world.places[tp]
            self.worker.positions[tp] = place.committed[0] if place.committed else place.head

    async def permit(self, a: int, b: int) -> None:
        for _ in range(1 + a * b // 2):
            self.world.permits.release()

    async def fail(self, a: int, b: int) -> None:
        self.world.faults.extend(["", "refused", "answer lost"][(a + at * b) % 3] for at in range(3))

    async def rebalance(self, a: int, b: int) -> None:
        if self.may_die():
            self.worker.rebalance()

    async def crash(self, a: int, b: int) -> None:
        if self.may_die():
            await self.kill_all()
            self.zombies = False
            self.worker = Worker(self.world, CUTS[(a + b) % len(CUTS)])

    async def live_on_unknown(self, a: int, b: int) -> None:
        """Keep the worker alive as a zombie after its partitions moved to another worker."""
        if not any(place.passed_by_retention() for place in self.world.places.values()):
            self.worker.fenced = self.zombies = True
            self.worker = Worker(self.world, CUTS[(a + b) % len(CUTS)])

    async def stop(self, a: int, b: int) -> None:
        self.worker.flowing = False
        stopping = asyncio.create_task(self.worker.delivery.finish(3_600))
        await self.permit(a, b)
        await turn()
        await self.let_die()
        assert not stopping.done() or not any(state.storing for state in self.worker.delivery.partitions.values())
        await self.crash(a, b)

    async def quiet(self, a: int, b: int) -> None:
        self.worker.now += QUIET_S
        self.worker.delivery.commit_quiet()

    async def retention(self, a: int, b: int) -> None:
        place = self.world.places[self.tps[a % len(self.tps)]]
        head = begin = place.committed[0] if place.committed else place.head
        if a > 3 and not place.half_stored() and not self.zombies:
            head = min(begin + b, place.end - 1)
            place.lossy = place.lossy or head > begin
        place.head = max(place.head, head)

    async def let_die(self) -> None:
        while not self.may_die():
            self.world.permits.release()
            await turn()

    async def end(self, cut: Cut) -> None:
        """Let a last worker read everything without faults."""
        self.world.faults.clear()
        await self.let_die()
        await self.kill_all()
        self.world.permits = asyncio.Semaphore(1_000_000)
        worker = Worker(self.world, cut)
        async with asyncio.timeout(250):
            while any(worker.positions[tp] < place.end for tp, place in self.world.places.items()):
                for tp in self.tps:
                    worker.fetch(tp, 1_000)
                await worker.lanes.join()
        await worker.delivery.settle()
        worker.now += QUIET_S
        worker.delivery.commit_quiet()
        await worker.delivery.settle()
        assert worker.fatal == []
        await self.kill_all()


def lost(tp: TP) -> float:
    return metrics.LOST.labels(str(tp.partition))._value.get()


async def play(logs: list[Any], acts: list[tuple[str, int, int]], last_cut: Cut) -> None:
    world = World(logs)
    before = {tp: lost(tp) for tp in world.places}
    run = Play(world)
    for name, a, b in acts:
        await getattr(run, name)(a, b)
        await turn()
    await run.end(last_cut)
    for tp, place in world.places.items():
        assert place.committed is not None
        # A quiet partition whose commit has another cut commits with its first bucket.
        assert place.committed[0] == place.end or place.committed[1] != last_cut.metadata
        uncovered = set(range(place.base or 0, place.committed[0])) - place.covered
        # A worker counts a loss before the commit. If it dies in between, the next worker counts the loss again.
        named = lost(tp) - before[tp]
        assert named >= len(uncovered) if uncovered else named == 0
        assert place.lossy or not uncovered
        counted = Counter(record.offset for record in place.records if record.value and record.offset in place.covered)
        for table, tokens in place.tables.items():
            assert Counter(offset for offsets in tokens.values() for offset in offsets) == counted, table


def test_a_loss_is_counted_again_if_the_worker_dies_before_commit() -> None:
    acts = [("fetch", 0, 0), ("permit", 1, 2), ("retention", 4, 1), ("rebalance", 0, 0), ("fetch", 0, 3)]
    logs = [[(0, 0, False)]]
    before = lost(TP("heatmap.events", 0))
    asyncio.run(play(logs, acts, CUTS[0]))
    assert lost(TP("heatmap.events", 0)) - before == 2


ACTS = ["fetch"] * 5 + ["permit"] * 4
ACTS += ["fetch_and_lose", "fail", "rebalance", "crash", "live_on_unknown", "stop", "quiet", "retention"]
STEPS_MS = [0, 1, 700, 2_500, 5_000, 9_000, -700, -4_000, -12_000]
LOGS = st.lists(
    st.lists(st.tuples(st.sampled_from([0, 0, 0, 1, 3]), st.sampled_from(STEPS_MS), st.booleans()), max_size=24),
    min_size=1,
    max_size=3,
)


@settings(max_examples=100)
@given(
    LOGS,
    st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 7), st.integers(0, 7)), max_size=50),
    st.sampled_from(CUTS),
)
def test_each_record_is_in_each_table_exactly_once(
    logs: list[Any], acts: list[tuple[str, int, int]], last_cut: Cut
) -> None:
    asyncio.run(play(logs, acts, last_cut))
