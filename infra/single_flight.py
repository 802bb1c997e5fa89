"""Single flight: concurrent requests for the same work in this process share one run."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")


class SingleFlight(Generic[Answer]):
    """The running task of each key. It is shared: cancelling one waiter does not cancel the work."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[Answer]] = {}

    def task(self, key: str, work: Callable[[], Coroutine[Any, Any, Answer]]) -> "asyncio.Task[Answer]":
        """Return the running task of the key, or start it. Await it through `asyncio.shield`."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(work())
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return task
