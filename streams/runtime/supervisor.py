"""When a supervisor starts a dead child again."""

import time

FIRST_S, HEALTHY_S = 0.5, 60.0


class Restarts:
    """The restarts of one child. Pauses double, and begin anew after the child has run for `HEALTHY_S`."""

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._pause_s = FIRST_S
        self._started_at = time.monotonic()
        self._due_at: float | None = None

    def started(self) -> None:
        """Note that the child was started now."""
        self._started_at, self._due_at = time.monotonic(), None

    def due(self) -> bool:
        """Return whether the dead child may be started now; the first call after a death begins the pause."""
        now = time.monotonic()
        if self._due_at is None:
            if now - self._started_at >= HEALTHY_S:
                self._pause_s = FIRST_S
            self._due_at, self._pause_s = now + self._pause_s, min(self._longest_s, 2 * self._pause_s)
        return now >= self._due_at

    @property
    def pausing(self) -> bool:
        """Return whether the pause after a death has begun."""
        return self._due_at is not None
