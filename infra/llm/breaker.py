"""A circuit breaker: open after failures in a row, closed again by one probe that succeeds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "half_open", "open"]


@dataclass(frozen=True, slots=True)
class Permit:
    """Leave to make one call; give it back with how the call ended."""

    turn: int


class Breaker:
    """For one provider and model. `failures` in a row open it for `open_s`; then one call at a time may probe.

    What ends after the state has changed says nothing about the new state: it is ignored.
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
        """`half_open` from the end of `open_s` until a probe has ended."""
        if self._opened_at is None:
            return "closed"
        return "open" if self._clock() < self._opened_at + self._open_s else "half_open"

    @property
    def probing(self) -> bool:
        """Whether a probe is open whose end will tell."""
        return self._probing

    def allows(self) -> bool:
        """Whether `begin` would give leave now."""
        state = self.state
        return state == "closed" or (state == "half_open" and not self._probing)

    def begin(self) -> Permit | None:
        """Leave for one call, or None."""
        if not self.allows():
            return None
        if self.state == "half_open":
            self._probing = True
            self._on_change("half_open")
        return Permit(self._turn)

    def end(self, permit: Permit, succeeded: bool | None) -> None:
        """How a call ended; None: it was called off, which says nothing about the provider."""
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
