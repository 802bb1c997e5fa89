"""Lanes: one queue of slices for each partition, so that a waiting partition does not delay others."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from faust.types import TP

from streams.transports.slices import Slice

# The partition of a lane with slices of this many fetches, or with this many slices, is not fetched. The lane may
# still grow by the fetch under way, which brings 1 MB of a partition.
MOST_FETCHES = 3
MOST_WAITING = 8


class Lanes:
    """The lanes of a worker: `take` gets each partition's slices in order, partitions concurrently.

    `hold` and `release` stop and continue the fetching of a partition. `on_fault` gets an error that `take` raised.
    The lane has then stopped, and the worker must end.
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
        """Append a slice to its partition's lane without waiting."""
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
        except Exception as error:  # noqa: BLE001 - a bug: unless the worker ends, the partition stands still
            self._on_fault(error)
            return
        del self._tasks[tp], self._waiting[tp]

    async def join(self) -> None:
        """Wait until all lanes are empty."""
        while running := [task for task in self._tasks.values() if not task.done()]:
            await asyncio.wait(running)

    async def close(self) -> None:
        """Drop the waiting slices. None of them is committed."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
