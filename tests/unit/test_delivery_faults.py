"""Regression tests for faults in the delivery, each with its smallest input."""

import asyncio
from typing import Any

import pytest
from faust.types import TP
from test_delivery import TP0, TP1, Consumer, Record, World, cut, log_of, world_of
from test_transport import Broker, Thread, slices_of_fetch

from processors.heatmap.cuts import Cut
from streams.heatmap.delivery import QUIET_S
from streams.heatmap.partition_gauges import PartitionGauges
from streams.runtime import metrics
from streams.runtime.settings import Settings
from streams.workers.app import build_app


async def test_a_quiet_commit_keeps_the_cut_of_a_partly_stored_bucket() -> None:
    """The previous worker cut after 2 records, stored offsets 1 to 2 in some tables, and died.

    This worker has read a tick, then waits a minute for ClickHouse with a bucket of another partition.
    """
    world = world_of(Consumer(metadata=Cut(records=2).metadata))
    await world.read([Record(0, 1_000, b"")])
    world.clock.now = QUIET_S
    world.delivery.commit_quiet()
    await world.delivery.settle()
    await world.read([Record(1, 1_001), Record(2, 1_002), Record(3, 1_003), Record(4, 12_000)])
    assert world.store.stored[0] == ("heatmap.events:0:1-2:1001", [1, 2])


def test_slices_of_decreasing_times_do_not_depend_on_fetches() -> None:
    records = log_of(10_000, 3_000, 10_500)
    whole = [(part.begin, part.bucket) for part in cut(TP0, 1, 1, records)]
    split = [(part.begin, part.bucket) for start in range(3) for part in cut(TP0, 1, 1, records[start : start + 1])]
    assert whole == split


async def test_tokens_of_decreasing_times_do_not_depend_on_fetches() -> None:
    records = log_of(10_000, 3_000, 10_500, 20_000)
    tokens = []
    for step in (1, 3):
        world = world_of(Consumer())
        for start in range(0, len(records), step):
            await world.read(records[start : start + step])
        tokens.append([token for token, _ in world.store.stored])
    assert tokens[0] == tokens[1]


async def test_a_loss_is_counted_when_its_commits_answer_is_lost(world: World) -> None:
    world.consumer.first = 7
    commit = world.consumer.commit_boundary
    answers = [False]

    async def loses_its_first_answer(tp: TP) -> bool:
        done = await commit(tp)
        return answers.pop() if answers else done

    world.consumer.commit_boundary = loses_its_first_answer  # type: ignore[method-assign]
    before = metrics.LOST.labels("0")._value.get()
    await world.read([Record(7, 1_000), Record(8, 6_000)])
    assert metrics.LOST.labels("0")._value.get() - before == 7


async def test_a_rewind_is_dropped_when_its_epoch_ends(world: World) -> None:
    await world.read(log_of(1_000, 1_001))
    committed = world.consumer.committed

    async def rebalanced_meanwhile(tp: TP) -> tuple[int, str] | None:
        world.consumer.epoch = 2
        return await committed(tp)

    world.consumer.committed = rebalanced_meanwhile  # type: ignore[method-assign]
    await world.read([Record(9, 1_002)])
    assert world.consumer.rewinds == []


class StrictThread(Thread):
    """A thread that refuses to seek unassigned partitions, as aiokafka does."""

    async def seek_wait(self, places: dict[TP, int]) -> None:
        self.failures = int(not places.keys() <= self.assigned)
        await super().seek_wait(places)


async def test_a_rewind_of_a_revoked_partition_does_not_stop_reading() -> None:
    consumer = build_app(Settings(), "heatmap").consumer
    consumer._thread, consumer.flow_active, consumer.sleep = StrictThread(assigned={TP1}), True, asyncio.sleep
    consumer._wait_next_records = Broker([{TP1: [Record(5, 1_000)]}]).fetch
    consumer.rewind(TP0, 3)
    async with asyncio.timeout(0.5):
        assert await slices_of_fetch(consumer) == [(1, 5, 6)]


async def test_a_commit_of_a_newer_release_does_not_block_partitions(world: World) -> None:
    committed = world.consumer.committed

    async def newer(tp: TP) -> tuple[int, str] | None:
        return (0, "lpstream rule=3 records=10") if tp == TP1 else await committed(tp)

    world.consumer.committed = newer  # type: ignore[method-assign]
    agent = asyncio.create_task(world.read(log_of(1_000), tp=TP1))
    await asyncio.wait([agent], timeout=0.05)
    stuck = not agent.done()
    agent.cancel()
    await asyncio.gather(agent, return_exceptions=True)
    assert not stuck or world.fatal, "the slice was neither skipped nor fatal to the worker"


class Watched(Consumer):
    """A fake consumer for the gauges: everything is fetched, and the log ends at 10."""

    def assignment(self) -> set[TP]:
        return {TP0}

    def highwater(self, tp: TP) -> int:
        return 10

    def fetch_position(self, tp: TP) -> int:
        return 10

    def committed_boundary(self, tp: TP) -> int | None:
        return None


def age() -> float:
    return float(metrics.COMMIT_AGE.labels("0")._value.get())


async def test_a_rewind_does_not_reset_the_commit_age() -> None:
    consumer = Watched(log_end=10)
    world = world_of(consumer)
    now = [0.0]
    gauges = PartitionGauges(lambda: now[0])
    await world.read(log_of(*[1_000] * 9))
    gauges.update(consumer, world.delivery)
    now[0] = 100.0
    committed = consumer.committed

    async def looked_at_meanwhile(tp: TP) -> tuple[int, str] | None:
        gauges.update(consumer, world.delivery)
        return await committed(tp)

    consumer.committed = looked_at_meanwhile  # type: ignore[method-assign]
    await world.read([Record(9, 1_000)], begin=9)
    await world.read([Record(15, 1_000)])
    gauges.update(consumer, world.delivery)
    assert age() == 100.0


async def test_the_commit_age_of_a_braked_partition_grows() -> None:
    consumer = Watched(log_end=901)
    consumer.highwater = lambda tp: 901  # type: ignore[method-assign]
    consumer.commits.append((TP0, 900))
    world = world_of(consumer)
    now = [0.0]
    gauges = PartitionGauges(lambda: now[0])
    await world.read([Record(900, 1_000)])
    assert consumer.braked == {TP0}
    gauges.update(consumer, world.delivery)
    now[0] = 100.0
    gauges.update(consumer, world.delivery)
    assert age() == 100.0


async def test_the_commit_age_restarts_when_a_partition_returns() -> None:
    consumer = Watched(log_end=10)
    world = world_of(consumer)
    now = [0.0]
    gauges = PartitionGauges(lambda: now[0])
    await world.read(log_of(1_000))
    gauges.update(consumer, world.delivery)
    consumer.assignment = set  # type: ignore[method-assign]
    gauges.update(consumer, world.delivery)
    now[0] = 3_600.0
    consumer.assignment = lambda: {TP0}  # type: ignore[method-assign]
    gauges.update(consumer, world.delivery)
    assert age() == 0.0


async def test_a_commit_answer_is_ignored_after_its_epoch() -> None:
    consumer: Any = build_app(Settings(), "heatmap").consumer

    class Slow(Thread):
        async def commit(self, offsets: dict[TP, int]) -> bool:
            consumer._forget()
            return True

    consumer._thread = Slow()
    await consumer._commit({TP0: 7})
    assert consumer.committed_boundary(TP0) is None


@pytest.fixture
def world() -> World:
    return world_of(Consumer())
