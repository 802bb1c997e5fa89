"""Slices wait by partition: order within a partition, none waits for another, and fetching stops where many wait."""

import asyncio
from typing import Any

from test_delivery import TP0, TP1, Consumer, Record, World, cut, world_of

from streams.heatmap.lanes import MOST_WAITING, Lanes
from streams.transports.slices import Slice


class Line:
    """Lanes before a take that can be held up by partition; keeps what it is asked to do."""

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


async def test_a_partition_that_waits_holds_up_no_other() -> None:
    line = Line()
    line.open[1].set()
    line.put(TP0, 0, 1)
    line.put(TP1, 0, 1)
    await asyncio.sleep(0.01)
    assert line.taken == [(1, 0), (1, 1)]
    line.open[0].set()
    await line.lanes.join()
    assert line.taken[2:] == [(0, 0), (0, 1)]


async def test_a_long_lane_is_not_fetched_for_until_half_of_it_is_taken() -> None:
    line = Line()
    line.put(TP0, *range(MOST_WAITING))
    await asyncio.sleep(0)
    assert line.asked == [("hold", 0)]
    line.open[0].set()
    await line.lanes.join()
    assert line.asked[:2] == [("hold", 0), ("release", 0)]
    assert line.taken == [(0, offset) for offset in range(MOST_WAITING)]


async def test_a_lane_with_much_of_the_log_is_not_fetched_for() -> None:
    line = Line()
    for fetch in range(3):
        line.lanes.put(Slice(TP0, 1, fetch, 0, [], fetch, fetch + 1))
    assert line.asked == [("hold", 0)]
    await line.lanes.close()


async def test_an_error_of_ours_ends_the_worker_instead_of_stopping_one_partition() -> None:
    line = Line()
    line.put(TP0, 99, 1)
    await asyncio.sleep(0.01)
    assert [str(fault) for fault in line.faults] == ["a fault of ours"]
    assert line.taken == []


async def test_closing_drops_what_waits() -> None:
    line = Line()
    line.put(TP0, 0, 1)
    await line.lanes.close()
    line.open[0].set()
    await asyncio.sleep(0.01)
    assert line.taken == []


async def test_buckets_of_other_partitions_are_stored_while_one_cannot_be() -> None:
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
