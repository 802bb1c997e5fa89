"""A circuit breaker: consecutive failures open it, and one successful probe closes it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "half_open", "open"]


@dataclass(frozen=True, slots=True)
class Permit:
    """A permit for one call. Return it to `end` with the outcome."""

    turn: int


class Breaker:
    """A breaker for one provider and model: open for `open_s` seconds after `failures` in a row.

    After that, one call at a time may probe. A call that ends after the state has changed is ignored.
    """

    def __init__(
        self,
        *,
        failures: int = 5,
        open_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        on_change: Callable[[State], None] = lambda _: None,
    ) -> None:
        self._limit = failures
        self._open_s = open_s
        self._clock = clock
        self._on_change = on_change
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False
        self._turn = 0

    @property
    def state(self) -> State:
        """The state; `half_open` from the end of `open_s` until a probe has ended."""
        if self._opened_at is None:
            return "closed"
        return "open" if self._clock() < self._opened_at + self._open_s else "half_open"

    @property
    def probing(self) -> bool:
        """Whether a probe is running."""
        return self._probing

    def allows(self) -> bool:
        """Return whether `begin` would return a permit now."""
        state = self.state
        return state == "closed" or (state == "half_open" and not self._probing)

    def begin(self) -> Permit | None:
        """Return a permit for one call, or None."""
        if not self.allows():
            return None
        if self.state == "half_open":
            self._probing = True
            self._on_change("half_open")
        return Permit(self._turn)

    def end(self, permit: Permit, succeeded: bool | None) -> None:
        """Record how a call ended. None means that it was cancelled, which says nothing about the provider."""
        if permit.turn != self._turn:
            return
        if succeeded is None:
            self._probing = False
        elif succeeded:
            self._failures = 0
            if self._opened_at is not None:
                self._change(None)
        else:
            self._failures += 1
            if self._probing or self._failures >= self._limit:
                self._change(self._clock())

    def _change(self, opened_at: float | None) -> None:
        self._opened_at, self._failures, self._probing = opened_at, 0, False
        self._turn += 1
        self._on_change("closed" if opened_at is None else "open")
