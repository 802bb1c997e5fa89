"""Lanes: each kind of user has threads and a queue of its own, so that nobody waits behind others' slow queries."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from infra.embedded.clickhouse_server.errors import ServerError

Result = TypeVar("Result")


class Lane(Generic[Result]):
    """So many pieces of work run at the same time, so many more wait, for so long."""

    def __init__(self, name: str, threads: int, most: int, patience_s: float) -> None:
        """`most` counts those that run and those that wait."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._name, self._most, self._patience_s = name, most, patience_s
        self._inside = 0
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], Result]) -> Result:
        """What the work returns. ServerError 202 when too many are here, or when its turn does not come in time."""
        self._enter()
        asked = time.monotonic()

        def in_turn() -> Result:
            if time.monotonic() - asked > self._patience_s:
                raise self._full(f"this one waited {self._patience_s:.0f} s for its turn")
            return work()

        future = self._pool.submit(in_turn)
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Let what runs end."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _enter(self) -> None:
        with self._lock:
            if self._inside >= self._most:
                raise self._full(f"Maximum: {self._most}")
            self._inside += 1

    def _leave(self, _done: "Future[Result]") -> None:
        with self._lock:
            self._inside -= 1

    def _full(self, why: str) -> ServerError:
        return ServerError(
            202, "TOO_MANY_SIMULTANEOUS_QUERIES", f"Too many simultaneous queries for {self._name}: {why}."
        )
