"""Lanes: slices wait by partition, so that a partition whose bucket is on its way holds up no other."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from faust.types import TP

from streams.transports.slices import Slice

# A lane with slices of so many fetches, or so many slices, is not fetched for. It may grow by what a fetch under way
# brings; a fetch brings 1 MB of a partition.
MOST_FETCHES = 3
MOST_WAITING = 8


class Lanes:
    """Hands each partition's slices to `take` in order, partitions beside each other.

    `hold` and `release` stop and continue the fetching of a partition. `on_fault` gets an error that `take` raised:
    the lane has stopped then, and the worker must end.
    """

    def __init__(
        self,
        take: Callable[[Slice], Awaitable[None]],
        hold: Callable[[TP], None],
        release: Callable[[TP], None],
        on_fault: Callable[[Exception], None],
    ) -> None:
        self._take = take
        self._hold = hold
        self._release = release
        self._on_fault = on_fault
        self._waiting: dict[TP, deque[Slice]] = {}
        self._tasks: dict[TP, asyncio.Task[None]] = {}

    def put(self, part: Slice) -> None:
        """Append a slice to its partition's lane; never waits."""
        tp = part.tp
        lane = self._waiting.setdefault(tp, deque())
        lane.append(part)
        if len(lane) >= MOST_WAITING or len({waiting.fetch for waiting in lane}) >= MOST_FETCHES:
            self._hold(tp)
        if tp not in self._tasks:
            self._tasks[tp] = asyncio.create_task(self._run(tp, lane))

    async def _run(self, tp: TP, lane: deque[Slice]) -> None:
        try:
            while lane:
                part = lane.popleft()
                if len(lane) < MOST_WAITING // 2:
                    self._release(tp)
                await self._take(part)
        except Exception as error:  # noqa: BLE001 - a fault of ours: without an end, the partition would stand still
            self._on_fault(error)
            return
        del self._tasks[tp], self._waiting[tp]

    async def join(self) -> None:
        """Wait until no slice waits."""
        while running := [task for task in self._tasks.values() if not task.done()]:
            await asyncio.wait(running)

    async def close(self) -> None:
        """Drop the slices that wait: nothing of them is committed."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
