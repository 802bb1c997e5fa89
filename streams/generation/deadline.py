"""The time of a generation request: one absolute deadline, and the share of each stage.

Assets get the lesser of their budget and the time that publishing leaves, but always a moment: a late page needs its
pictures too. Copy may use all the time that publishing leaves, because a second provider's answer is worth more than an
early page.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from schemas.errors import Retryable
from schemas.plan import Plan

Answer = TypeVar("Answer")
ASSETS_S, LEAST_ASSETS_S = 2, 0.5
AGAIN_S, GIVE_UP_S, LEAST_S = 0.2, 0.5, 3.0
OLDEST_MS = 7 * 86_400_000  # `retention.ms` of lp.requests
# integrate 1 s, optimise 0.5 s, preview 0.2 s
PUBLISH_S = 1.7


def now_ms() -> int:
    """Return the wall clock, ms UTC."""
    return int(time.time() * 1000)


def asked_ms(timestamp_s: float | None) -> int:
    """Return the time of a request's record (s UTC) in ms, or now if it cannot be right.

    `lp.requests` has the broker's time. A broker without LogAppendTime has the producer's, whose clock may be wrong: a
    time in the future, or before the oldest record of the topic, would give no deadline or one of hours.
    """
    now, asked = now_ms(), int((timestamp_s or 0) * 1000)
    return asked if now - OLDEST_MS <= asked <= now else now


def left_s(plan: Plan, *, keep_s: float = 0.0) -> float:
    """Return the seconds until the plan's deadline, less `keep_s` for later stages. Never negative."""
    return max(0.0, plan.deadline_ms / 1000 - time.time() - keep_s)


def copy_until(plan: Plan) -> float:
    """Return the time of the monotonic clock at which copy must be finished."""
    return time.monotonic() + left_s(plan, keep_s=PUBLISH_S)


def assets_s(plan: Plan) -> float:
    """Return how long assets may take, in seconds."""
    return max(LEAST_ASSETS_S, min(ASSETS_S, left_s(plan, keep_s=PUBLISH_S)))


async def until_deadline(work: Callable[[], Awaitable[Answer]], deadline_ms: int, *, keep_s: float) -> Answer:
    """Call `work` until it does not raise Retryable, and return its answer.

    Raise Retryable if there is no answer `keep_s` seconds before the deadline. `work` always gets at least LEAST_S
    seconds, because a late page is better than none.
    """
    left = deadline_ms / 1000 - time.time() - keep_s
    until, failure = time.monotonic() + left, Retryable("no answer in time")
    try:
        async with asyncio.timeout(max(left, LEAST_S)):
            while True:
                try:
                    return await work()
                except Retryable as error:
                    if time.monotonic() >= until:
                        raise
                    failure = error
                await asyncio.sleep(AGAIN_S)
    except TimeoutError:
        raise failure from None
