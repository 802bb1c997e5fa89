"""A worker's membership in its consumer group, where aiokafka leaves the two of them to themselves."""

import asyncio
import logging
import time
from collections import deque
from typing import Any

import faust

from schemas.errors import LpstreamError
from streams.runtime.systemd import tell_ready

log = logging.getLogger(__name__)

LOOK_S = 0.2
# Metadata may lack a topic for a moment while brokers restart.
GONE_S = 3.0
# A worker gets a membership at its start, and one more where it was away for longer than its session.
MOST_JOINS, JOINS_WITHIN_S = 6, 60.0


def consumer_of(app: faust.App) -> Any:
    """aiokafka's consumer; None before it is made."""
    return getattr(getattr(app.consumer, "_thread", None), "_consumer", None)


def coordinator_of(app: faust.App) -> Any:
    """aiokafka's side of the group; None before the consumer has started."""
    return getattr(consumer_of(app), "_coordinator", None)


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


def missing_topics(app: faust.App) -> set[str]:
    """Return the topics of the worker's subscription that the brokers no longer have."""
    consumer = app.consumer._thread._consumer
    subscription = consumer._subscription.subscription
    topics = subscription.topics if subscription is not None else ()
    return {topic for topic in topics if not consumer._client.cluster.partitions_for_topic(topic)}


class TopicWatch:
    """Notices a topic that was deleted under a worker.

    The group then assigns no partitions, and aiokafka asks for the topic again only minutes after it is there.
    """

    def __init__(self, app: faust.App) -> None:
        self._app = app
        self._gone_since: float | None = None

    def error(self) -> LpstreamError | None:
        """Return why the worker must end, None while all topics are there."""
        missing = missing_topics(self._app)
        if not missing:
            self._gone_since = None
            return None
        now = time.monotonic()
        self._gone_since = self._gone_since or now
        if now - self._gone_since < GONE_S:
            return None
        return LpstreamError(
            f"topic {', '.join(sorted(missing))} was deleted: the worker ends; started again, it waits until "
            "`lpstream migrate` has created the topic"
        )


def failure_of(app: faust.App) -> str | None:
    """What has ended of the things without which a worker reads nothing; None while all of them live.

    aiokafka's own tasks may die of an error that it does not expect; the consumer then neither fails nor gets
    records, and the process would idle until somebody looks.
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
    """Notices that another worker has the same instance id.

    Each of the two then takes the other's membership again and again, and both drop their open buckets. aiokafka does
    not know Kafka's error for that, and joins anew without end.
    """

    def __init__(self, app: faust.App) -> None:
        self._app = app
        self._member_id = ""
        self._joined: deque[float] = deque(maxlen=MOST_JOINS)

    def error(self) -> LpstreamError | None:
        """Return why the worker must end, None while it keeps its membership."""
        member_id, now = coordinator_of(self._app).member_id, time.monotonic()
        if not member_id or member_id == self._member_id:
            return None
        self._member_id = member_id
        self._joined.append(now)
        if len(self._joined) < MOST_JOINS or now - self._joined[0] > JOINS_WITHIN_S:
            return None
        return LpstreamError(
            f"the group has given this worker {MOST_JOINS} memberships within {JOINS_WITHIN_S:g} s: another worker has "
            "the same LPSTREAM_KAFKA_GROUP_INSTANCE_ID; give each worker its own"
        )


async def watch(app: faust.App) -> None:
    """Tell the supervisor when the worker joins its group, and end it when it can no longer be in one, or read.

    A supervisor starts it again.
    """
    told = False
    topics, fence = TopicWatch(app), FenceWatch(app)
    while not app.should_stop:
        await asyncio.sleep(LOOK_S)
        if coordinator_of(app) is None or app.should_stop:
            continue
        if not told:
            told = True
            tell_ready()
        error = topics.error() or fence.error()
        if (failure := failure_of(app)) is not None:
            error = LpstreamError(f"{failure}; start the worker again")
        if error is not None:
            log.error("%s", error)
            await app.crash(error)
            return
