"""A worker's membership in its consumer group, where aiokafka leaves the two of them to themselves."""

import asyncio
import logging
from typing import Any

import faust

from schemas.errors import LpstreamError
from streams.supervised import tell_ready

log = logging.getLogger(__name__)

LOOK_S = 0.2


def coordinator_of(app: faust.App) -> Any:
    """aiokafka's side of the group; None before the consumer has started."""
    consumer = getattr(getattr(app.consumer, "_thread", None), "_consumer", None)
    return getattr(consumer, "_coordinator", None)


async def leave(app: faust.App) -> None:
    """Have a member say that it goes; its partitions are others' as soon as these hear of it. Once is enough.

    A static member that dies keeps its partitions for the session, so that it takes them again without a rebalance.
    One that is stopped on purpose would keep them, too, and nobody would read them: aiokafka sends no LeaveGroup for
    it, though KIP-345 allows that.
    """
    coordinator = coordinator_of(app)
    if coordinator is None:
        return
    coordinator._group_instance_id = None
    thread = app.consumer._thread
    await thread.call_thread(_leave, thread._consumer)


async def _leave(consumer: Any) -> None:
    """In the consumer's thread: it has no partitions from here on, and commits nothing."""
    consumer._subscription.unsubscribe()
    await consumer._coordinator._maybe_leave_group()


async def watch(app: faust.App) -> None:
    """Tell the supervisor when the worker joins its group, and end it when it can no longer be in one.

    aiokafka's coordination task may die of an error that it does not expect; the consumer then neither fails nor gets
    partitions, and the process would idle until somebody looks. A supervisor starts it again.
    """
    told = False
    while not app.should_stop:
        await asyncio.sleep(LOOK_S)
        coordinator = coordinator_of(app)
        if coordinator is None or app.should_stop:
            continue
        if not told:
            told = True
            tell_ready()
        task = coordinator._coordination_task
        if task is not None and task.done():
            error = LpstreamError("the consumer group's coordination task has ended; start the worker again")
            log.error("%s", error)
            await app.crash(error)
            return
