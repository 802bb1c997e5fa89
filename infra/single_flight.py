"""Work that is done once in this process for all who ask for it at the same time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

Answer = TypeVar("Answer")


class SingleFlight(Generic[Answer]):
    """A task for each key while it runs. It is nobody's own: a waiter that is called off leaves it to the others."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Task[Answer]] = {}

    def task(self, key: str, work: Callable[[], Coroutine[Any, Any, Answer]]) -> "asyncio.Task[Answer]":
        """The task that runs for the key, or one that is started now; to be awaited through `asyncio.shield`."""
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(work())
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return task
