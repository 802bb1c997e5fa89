"""Lanes of slices.

Ordered within a partition, independent across partitions, with backpressure on fetching.
"""

import asyncio
from typing import Any

from test_delivery import TP0, TP1, Consumer, Record, World, cut, world_of

from streams.heatmap.lanes import MOST_WAITING, Lanes
from streams.transports.slices import Slice


class LanesRun:
    """Lanes with a consumer that can block a partition; records slices, holds and releases."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []
        self.asked: list[tuple[str, int]] = []
        self.faults: list[Exception] = []
        self.open = {0: asyncio.Event(), 1: asyncio.Event()}
        self.lanes = Lanes(
            self.take,
            lambda tp: self.asked.append(("hold", tp.partition)),
            lambda tp: self.asked.append(("release", tp.partition)),
            self.faults.append,
        )

    async def take(self, part: Slice) -> None:
        if part.begin == 99:
            raise ValueError("a fault of ours")
        await self.open[part.tp.partition].wait()
        self.taken.append((part.tp.partition, part.begin))

    def put(self, tp: Any, *offsets: int) -> None:
        for offset in offsets:
            self.lanes.put(Slice(tp, 1, 1, 0, [], offset, offset + 1))


async def test_a_blocked_partition_does_not_block_others() -> None:
    run = LanesRun()
    run.open[1].set()
    run.put(TP0, 0, 1)
    run.put(TP1, 0, 1)
    await asyncio.sleep(0.01)
    assert run.taken == [(1, 0), (1, 1)]
    run.open[0].set()
    await run.lanes.join()
    assert run.taken[2:] == [(0, 0), (0, 1)]


async def test_fetching_resumes_when_half_of_a_full_lane_is_taken() -> None:
    run = LanesRun()
    run.put(TP0, *range(MOST_WAITING))
    await asyncio.sleep(0)
    assert run.asked == [("hold", 0)]
    run.open[0].set()
    await run.lanes.join()
    assert run.asked[:2] == [("hold", 0), ("release", 0)]
    assert run.taken == [(0, offset) for offset in range(MOST_WAITING)]


async def test_fetching_stops_for_a_lane_with_many_fetches() -> None:
    run = LanesRun()
    for fetch in range(3):
        run.lanes.put(Slice(TP0, 1, fetch, 0, [], fetch, fetch + 1))
    assert run.asked == [("hold", 0)]
    await run.lanes.close()


async def test_an_unexpected_error_stops_the_worker() -> None:
    run = LanesRun()
    run.put(TP0, 99, 1)
    await asyncio.sleep(0.01)
    assert [str(fault) for fault in run.faults] == ["a fault of ours"]
    assert run.taken == []


async def test_close_drops_waiting_slices() -> None:
    run = LanesRun()
    run.put(TP0, 0, 1)
    await run.lanes.close()
    run.open[0].set()
    await asyncio.sleep(0.01)
    assert run.taken == []


async def test_a_stuck_store_does_not_block_other_partitions() -> None:
    world: World = world_of(Consumer())
    stuck = world.store.held[TP0] = asyncio.Event()
    lanes = Lanes(world.delivery.on_slice, lambda tp: None, lambda tp: None, lambda error: None)
    for tp in (TP0, TP1):
        for fetch, second in enumerate((1, 6, 11, 16)):
            for part in cut(tp, 1, fetch, [Record(fetch, second * 1_000)]):
                lanes.put(part)
    await asyncio.sleep(0.05)
    assert [token for token, _ in world.store.stored] == [
        "heatmap.events:1:0-0:1000",
        "heatmap.events:1:1-1:6000",
        "heatmap.events:1:2-2:11000",
    ]
    stuck.set()
    await lanes.join()
    await world.delivery.settle()
    assert world.consumer.commits[3:] == [(TP0, 1), (TP0, 2), (TP0, 3)]
