"""The log of model calls for one page, with the time in which any call was open."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schemas.generation import Attempt


class CallLog:
    """The attempts in the order in which they ended. Time of a branch's calls counts in its parent."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, parent: "CallLog | None" = None) -> None:
        self.attempts: list[Attempt] = []
        self._clock = clock
        self._parent = parent
        self._open = 0
        self._since = 0.0
        self._total = 0.0

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Count the time of the block as an open call. The time of concurrent calls counts once."""
        if self._parent is not None:
            with self._parent.calling():
                yield
            return
        if self._open == 0:
            self._since = self._clock()
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            if self._open == 0:
                self._total += self._clock() - self._since

    def branch(self) -> "CallLog":
        """Return a log with its own attempts, whose time counts in this log."""
        return CallLog(self._clock, self)

    def spoil(self, outcome: str) -> str:
        """Change the outcome of the last good answer, because it is unusable. Return its provider."""
        at = max(at for at, attempt in enumerate(self.attempts) if attempt.outcome == "ok")
        self.attempts[at] = self.attempts[at].model_copy(update={"outcome": outcome})
        return self.attempts[at].provider

    @property
    def provider_ms(self) -> int:
        """The wall time with a call open, ms."""
        running = self._clock() - self._since if self._open else 0.0
        return round((self._total + running) * 1000)

    @property
    def cost_micro_jpy(self) -> int:
        """The cost of all calls in micro-yen: as billed, or as reserved if a call was cut off."""
        return sum(attempt.cost_micro_jpy for attempt in self.attempts)
