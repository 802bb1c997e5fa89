"""What was tried for one page: its calls, and how long any of them was open."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schemas.generation import Attempt


class CallLog:
    """Attempts in the order in which they ended. Calls of a branch are open calls of its parent."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, parent: "CallLog | None" = None) -> None:
        self.attempts: list[Attempt] = []
        self._clock = clock
        self._parent = parent
        self._open = 0
        self._since = 0.0
        self._total = 0.0

    @contextmanager
    def calling(self) -> Iterator[None]:
        """A call is open while the block runs; calls beside each other count once."""
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
        """A trail of its own for calls whose time counts here."""
        return CallLog(self._clock, self)

    def spoil(self, outcome: str) -> str:
        """The last answer turned out to be of no use; the provider it came from."""
        at = max(at for at, one in enumerate(self.attempts) if one.outcome == "ok")
        self.attempts[at] = self.attempts[at].model_copy(update={"outcome": outcome})
        return self.attempts[at].provider

    @property
    def provider_ms(self) -> int:
        """Wall time with a call open, ms."""
        running = self._clock() - self._since if self._open else 0.0
        return round((self._total + running) * 1000)

    @property
    def cost_micro_jpy(self) -> int:
        """What all calls cost, micro-yen: as billed, or as reserved where a call was cut off."""
        return sum(attempt.cost_micro_jpy for attempt in self.attempts)
