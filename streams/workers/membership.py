"""A worker's membership in its consumer group: leaving it, and failures that aiokafka ignores."""

import asyncio
import logging
import time
from collections import deque
from typing import Any

import faust

from schemas.errors import LpstreamError
from streams.runtime.systemd import tell_ready

log = logging.getLogger(__name__)

POLL_S = 0.2
# Metadata may lack a topic for a short time while brokers restart.
GONE_S = 3.0
# A worker joins at its start, and again if it lost contact for longer than its session.
MOST_JOINS, JOINS_WITHIN_S = 6, 60.0


def consumer_of(app: faust.App) -> Any:
    """Return the app's aiokafka consumer, or None before it is created."""
    return getattr(getattr(app.consumer, "_thread", None), "_consumer", None)


def coordinator_of(app: faust.App) -> Any:
    """Return aiokafka's group coordinator, or None before the consumer has started."""
    return getattr(consumer_of(app), "_coordinator", None)


async def leave(app: faust.App) -> None:
    """Send LeaveGroup, so that the partitions are reassigned at once. Further calls have no effect.

    A static member that dies keeps its partitions for its session, so that it gets them back without a rebalance. A
    static member that is stopped on purpose would also keep them, and no worker would read them: aiokafka sends no
    LeaveGroup for it, though KIP-345 allows that. So this removes the instance id first.
    """
    coordinator = coordinator_of(app)
    if coordinator is None:
        return
    coordinator._group_instance_id = None
    thread = app.consumer._thread
    await thread.call_thread(_leave, thread._consumer)


async def _leave(consumer: Any) -> None:
    """Drop the partitions and leave the group, in the consumer's thread. It commits nothing afterwards."""
    consumer._subscription.unsubscribe()
    await consumer._coordinator._maybe_leave_group()


def missing_topics(app: faust.App) -> set[str]:
    """Return the topics of the worker's subscription that do not exist at the brokers."""
    consumer = app.consumer._thread._consumer
    subscription = consumer._subscription.subscription
    topics = subscription.topics if subscription is not None else ()
    return {topic for topic in topics if not consumer._client.cluster.partitions_for_topic(topic)}


class TopicWatch:
    """A check for topics that are deleted while the worker runs.

    The group then assigns no partitions. After the topic exists again, aiokafka takes minutes to ask for it.
    """

    def __init__(self, app: faust.App) -> None:
        self._app = app
        self._gone_since: float | None = None

    def error(self) -> LpstreamError | None:
        """Return the error that the worker must end with, or None while all topics exist."""
        missing = missing_topics(self._app)
        if not missing:
            self._gone_since = None
            return None
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        if now - self._gone_since < GONE_S:
            return None
        return LpstreamError(
            f"topic {', '.join(sorted(missing))} was deleted, so the worker ends; run `lpstream migrate` to create the "
            "topic: a worker that is started again waits for it"
        )


def failure_of(app: faust.App) -> str | None:
    """Return which thread or task has ended that the worker needs to read, or None while all are alive.

    aiokafka's tasks may end with an error that aiokafka does not expect. The consumer then neither fails nor gets
    records, and the process would stay idle unnoticed.
    """
    if app.crashed:
        return f"the worker has crashed: {app.crash_reason!r}"
    thread = getattr(app.consumer, "_thread", None)
    if thread is not None and thread._thread is not None and not thread._thread.is_alive():
        return "the consumer's thread has ended"
    fetcher, coordinator = getattr(consumer_of(app), "_fetcher", None), coordinator_of(app)
    if fetcher is not None and fetcher._fetch_task.done():
        return "the consumer's fetch task has ended"
    if coordinator is not None and coordinator._coordination_task is not None and coordinator._coordination_task.done():
        return "the consumer group's coordination task has ended"
    return None


class FenceWatch:
    """A check for another worker with the same instance id.

    The two workers then take the membership from each other again and again, and both drop their open buckets.
    aiokafka does not know Kafka's error for that and joins again without end.
    """

    def __init__(self, app: faust.App) -> None:
        self._app = app
        self._member_id = ""
        self._joined: deque[float] = deque(maxlen=MOST_JOINS)

    def error(self) -> LpstreamError | None:
        """Return the error that the worker must end with, or None while it keeps its membership."""
        member_id, now = coordinator_of(self._app).member_id, time.monotonic()
        if not member_id or member_id == self._member_id:
            return None
        self._member_id = member_id
        self._joined.append(now)
        if len(self._joined) < MOST_JOINS or now - self._joined[0] > JOINS_WITHIN_S:
            return None
        return LpstreamError(
            f"this worker has joined its group {MOST_JOINS} times within {JOINS_WITHIN_S:g} s: another worker has the "
            "same LPSTREAM_KAFKA_GROUP_INSTANCE_ID; give each worker its own id"
        )


async def watch(app: faust.App) -> None:
    """Tell the supervisor when the consumer has started; end the worker if it can no longer join or read.

    A supervisor starts it again.
    """
    notified = False
    topics, fence = TopicWatch(app), FenceWatch(app)
    while not app.should_stop:
        await asyncio.sleep(POLL_S)
        if coordinator_of(app) is None or app.should_stop:
            continue
        if not notified:
            notified = True
            tell_ready()
        error = topics.error() or fence.error()
        if (failure := failure_of(app)) is not None:
            error = LpstreamError(f"{failure}; start the worker again")
        if error is not None:
            log.error("%s", error)
            await app.crash(error)
            return
