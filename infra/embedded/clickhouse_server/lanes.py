"""Lanes: each kind of user has its own threads and queue, so that slow queries delay only their kind."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from infra.embedded.clickhouse_server.errors import ServerError

Result = TypeVar("Result")


class Lane(Generic[Result]):
    """A thread pool with a bounded queue and a bounded waiting time."""

    def __init__(self, name: str, threads: int, most: int, patience_s: float) -> None:
        """Set the limits. `most` counts running and waiting work."""
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._name, self._most, self._patience_s = name, most, patience_s
        self._inside = 0
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run the work and return its result. Raise ServerError 202 if the lane is full or the wait too long."""
        self._enter()
        entered = time.monotonic()

        def in_turn() -> Result:
            if time.monotonic() - entered > self._patience_s:
                raise self._full(f"this query waited {self._patience_s:.0f} s for its turn")
            return work()

        future = self._pool.submit(in_turn)
        future.add_done_callback(self._leave)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for running work and cancel waiting work."""
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
