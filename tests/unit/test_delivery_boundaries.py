"""Boundaries: holes in the log, lost records, the cut of a commit, quiet partitions, and a stop."""

import asyncio

import pytest
from test_delivery import TP0, TP1, Consumer, Record, World, cut, log_of, world_of

from processors.heatmap.cuts import Cut
from streams.heatmap.delivery import QUIET_S
from streams.runtime import metrics


@pytest.fixture
def world() -> World:
    return world_of(Consumer())


async def test_offsets_without_records_are_no_loss(world: World) -> None:
    """Offsets 1, 3 and 4 are transaction markers; offset 6 is an aborted record."""
    await world.read([Record(0, 1_000), Record(2, 1_001)], following=4)
    await world.read([Record(5, 6_000)], begin=4, following=7)
    assert world.consumer.rewinds == []
    assert world.store.stored == [("heatmap.events:0:0-2:1000", [0, 2])]
    assert world.consumer.commits == [(TP0, 3)]


async def test_a_fetch_of_markers_alone_moves_the_position(world: World) -> None:
    await world.read([Record(0, 1_000)])
    await world.read([], begin=1, following=9)
    await world.read([Record(9, 6_000)])
    assert world.consumer.rewinds == []
    assert world.store.stored == [("heatmap.events:0:0-0:1000", [0])]


async def test_a_gap_between_two_fetches_causes_a_rewind(world: World) -> None:
    await world.read([Record(0, 1_000)], following=2)
    await world.read([Record(5, 1_001)], begin=4)
    assert world.consumer.rewinds == [(TP0, 0)]


async def test_records_deleted_by_retention_are_counted_as_lost(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.consumer.first = 7
    before = metrics.LOST.labels("0")._value.get()
    await world.read([Record(7, 1_000), Record(8, 6_000)])
    assert metrics.LOST.labels("0")._value.get() - before == 7
    assert "7 records or markers were deleted before they were counted" in caplog.text
    assert world.store.stored == [("heatmap.events:0:7-7:1000", [7])]


async def test_a_log_that_became_shorter_stops_the_worker(world: World) -> None:
    await world.read([Record(offset, 1_000) for offset in range(5)])
    world.consumer.log_end = 3
    await world.read([Record(0, 90_000)])
    assert "deleted and created again" in str(world.fatal[0])
    assert world.store.stored == []


async def test_the_first_bucket_uses_the_cut_of_the_commit() -> None:
    consumer = Consumer(metadata=Cut(records=2).metadata)
    world = world_of(consumer, Cut(records=3))
    await world.read(log_of(*([1_000] * 9)))
    assert [offsets for _, offsets in world.store.stored] == [[0, 1], [2, 3, 4], [5, 6, 7]]


async def test_the_first_bucket_uses_the_windows_of_the_commit() -> None:
    consumer = Consumer(metadata=Cut(records=10, window_ms=2_000, phase_ms=0).metadata)
    world = world_of(consumer)
    await world.read(log_of(500, 1_999, 2_000, 4_999, 5_000))
    await world.read([Record(5, 11_000)])
    assert [offsets for _, offsets in world.store.stored] == [[0, 1], [2, 3], [4]]


async def test_a_commit_of_the_first_release_keeps_its_leading_tick() -> None:
    world = world_of(Consumer(metadata="lpstream"))
    await world.read([Record(0, 1_000, b""), Record(1, 1_001), Record(2, 6_000, b""), Record(3, 6_001)])
    await world.read([Record(4, 12_000)])
    assert world.store.stored == [("heatmap.events:0:0-1:1000", [1]), ("heatmap.events:0:3-3:6001", [3])]


async def test_a_quiet_partition_commits_past_its_ticks(world: World) -> None:
    await world.read(log_of(1_000))
    await world.read([Record(1, 6_000, value=b"")])
    world.delivery.commit_quiet()
    await world.delivery.settle()
    assert world.consumer.commits == [(TP0, 1)]
    world.clock.now = QUIET_S
    world.delivery.commit_quiet()
    await world.delivery.settle()
    assert world.consumer.commits == [(TP0, 1), (TP0, 2)]
    await world.read([Record(2, 12_000), Record(3, 18_000)])
    assert world.store.stored[1:] == [("heatmap.events:0:2-2:12000", [2])]


async def test_a_stop_finishes_started_inserts_and_starts_no_others(world: World) -> None:
    world.store.open.clear()
    for tp, records in ((TP0, log_of(1_000, 6_000)), (TP1, log_of(1_000))):
        for part in cut(tp, 1, 1, records):
            await world.delivery.on_slice(part)
    await asyncio.sleep(0)
    world.consumer.flowing = False
    for part in cut(TP0, 1, 2, [Record(2, 12_000)]):
        await world.delivery.on_slice(part)
    stopping = asyncio.create_task(world.delivery.finish(5.0))
    await asyncio.sleep(0.01)
    assert not stopping.done()
    world.store.open.set()
    assert await stopping == 0
    assert world.store.stored == [("heatmap.events:0:0-0:1000", [0])]
    assert world.consumer.commits == [(TP0, 1)]


async def test_a_stop_gives_up_after_its_timeout(world: World) -> None:
    world.store.open.clear()
    for part in cut(TP0, 1, 1, log_of(1_000, 6_000)):
        await world.delivery.on_slice(part)
    await asyncio.sleep(0)
    assert await world.delivery.finish(0.01) == 1
    assert world.consumer.commits == []


def test_slices_end_at_five_second_boundaries() -> None:
    parts = cut(TP0, 1, 1, log_of(1_000, 4_999, 5_000, 9_999, 10_000), following=7)
    assert [(part.begin, part.next, part.bucket) for part in parts] == [(0, 2, 0), (2, 4, 1), (4, 7, 2)]


def test_each_partition_has_its_own_slice_boundaries() -> None:
    parts = cut(TP1, 1, 1, log_of(1_000, 1_909, 1_910, 6_909, 6_910))
    assert [(part.begin, part.next, part.bucket) for part in parts] == [(0, 2, 0), (2, 4, 1), (4, 5, 2)]
