"""Tasks that run beside a load or a test, and must not end before it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from schemas.errors import LpstreamError


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], name: str) -> AsyncIterator[asyncio.Task[None]]:
    """Run endless work in a task while the block runs.

    Raise LpstreamError at the end of the block if the task has ended. Waits in the block call `must_run` themselves.
    """
    task = asyncio.create_task(work, name=name)
    try:
        yield task
        must_run(task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def must_run(task: asyncio.Task[None]) -> None:
    """Raise LpstreamError with the cause if the task has ended."""
    if task.done():
        error = None if task.cancelled() else task.exception()
        raise LpstreamError(f"{task.get_name()} ended unexpectedly: {error!r}") from error
