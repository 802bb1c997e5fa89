"""The time of a generation request: one absolute deadline, and the share of each stage.

Assets get the lesser of their budget and the time that publishing leaves. Copy may use all the time that publishing
leaves, because a second provider's answer is worth more than an early page.
"""

import time

from schemas.plan import Plan

ASSETS_S = 2
# integrate 1 s, optimise 0.5 s, preview 0.2 s
PUBLISH_S = 1.7


def now_ms() -> int:
    """Return the wall clock, ms UTC."""
    return int(time.time() * 1000)


def left_s(plan: Plan, *, keep_s: float = 0.0) -> float:
    """Return the seconds until the plan's deadline minus `keep_s` for later stages; at least 0."""
    return max(0.0, plan.deadline_ms / 1000 - time.time() - keep_s)


def copy_until(plan: Plan) -> float:
    """Return when copy must be finished, by the monotonic clock."""
    return time.monotonic() + left_s(plan, keep_s=PUBLISH_S)


def assets_s(plan: Plan) -> float:
    """Return how long assets may take, in seconds."""
    return min(ASSETS_S, left_s(plan, keep_s=PUBLISH_S))
