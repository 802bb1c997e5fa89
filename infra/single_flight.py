"""Single flight inside a process: concurrent calls for the same work share one run."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")
Work = Callable[[], Coroutine[Any, Any, Answer]]


class SingleFlight(Generic[Answer]):
    """One running task for each key. A call for a key with a running task shares its answer or exception.

    Cancelling a caller does not cancel the task. When the task has ended, the next call starts a new task: an answer
    is shared, not cached. `infra/redis/locks.py` has the locks between processes.
    """

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[Answer]] = {}

    def __contains__(self, key: str) -> bool:
        """Return whether a task of the key is running."""
        return key in self._running

    def task(self, key: str, work: Work[Answer]) -> "asyncio.Task[Answer]":
        """Return the running task of the key, or start it. Do not await it directly: see `run`."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(work())
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return task

    async def run(self, key: str, work: Work[Answer]) -> Answer:
        """Return the answer of the key's running task, or run the work."""
        return await asyncio.shield(self.task(key, work))

    async def settle(self) -> None:
        """Wait until the tasks that run now have ended, with or without an answer."""
        await asyncio.gather(*self._running.values(), return_exceptions=True)
