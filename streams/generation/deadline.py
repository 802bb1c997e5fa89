"""Time of a generation request: one absolute deadline, and what each stage may take of it.

A stage gets its budget or what remains once the later ones have theirs, whichever is less. Copy is the exception: it
may use all that the others leave, because a second provider's answer is worth more than an early page.
"""

import time
from dataclasses import dataclass

from schemas.generation import Plan

VALIDATE_S, CACHE_S, TEMPLATE_S, COPY_S, ASSETS_S, INTEGRATE_S, OPTIMIZE_S, PREVIEW_S = 0.1, 0.1, 0.5, 3, 2, 1, 0.5, 0.2
PUBLISH_S = INTEGRATE_S + OPTIMIZE_S + PREVIEW_S


def now_ms() -> int:
    """Wall clock, ms UTC."""
    return int(time.time() * 1000)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a request must be answered, ms UTC."""

    at_ms: int

    @classmethod
    def of(cls, plan: Plan) -> "Deadline":
        """A plan's."""
        return cls(plan.deadline_ms)

    def left_s(self, *, keep_s: float = 0.0) -> float:
        """Seconds until it, less what is kept for later stages; not below 0."""
        return max(0.0, self.at_ms / 1000 - time.time() - keep_s)

    def copy_until(self) -> float:
        """When copy must be there, by the monotonic clock."""
        return time.monotonic() + self.left_s(keep_s=PUBLISH_S)

    def assets_s(self) -> float:
        """How long assets may take."""
        return min(ASSETS_S, self.left_s(keep_s=PUBLISH_S))
