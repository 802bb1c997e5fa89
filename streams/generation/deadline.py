"""The time of a generation request: one absolute deadline, and a budget for each stage.

A stage gets the lesser of its budget and the time that later stages leave. Copy is the exception: it may use all the
time that the other stages leave, because a second provider's answer is worth more than an early page.
"""

import time
from dataclasses import dataclass

from schemas.plan import Plan

VALIDATE_S, CACHE_S, TEMPLATE_S, COPY_S, ASSETS_S, INTEGRATE_S, OPTIMIZE_S, PREVIEW_S = 0.1, 0.1, 0.5, 3, 2, 1, 0.5, 0.2
PUBLISH_S = INTEGRATE_S + OPTIMIZE_S + PREVIEW_S


def now_ms() -> int:
    """Return the wall clock, ms UTC."""
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class Deadline:
    """The time by which a request must be answered, ms UTC."""

    at_ms: int

    @classmethod
    def of(cls, plan: Plan) -> "Deadline":
        """Return the deadline of a plan."""
        return cls(plan.deadline_ms)

    def left_s(self, *, keep_s: float = 0.0) -> float:
        """Return the seconds until the deadline minus `keep_s` for later stages; at least 0."""
        return max(0.0, self.at_ms / 1000 - time.time() - keep_s)

    def copy_until(self) -> float:
        """Return when copy must be finished, by the monotonic clock."""
        return time.monotonic() + self.left_s(keep_s=PUBLISH_S)

    def assets_s(self) -> float:
        """Return how long assets may take, in seconds."""
        return min(ASSETS_S, self.left_s(keep_s=PUBLISH_S))
