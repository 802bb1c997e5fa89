"""Hedging: a second call starts at the measured p90 of first tokens, for a share of the calls.

It uses first tokens, not headers: servers send headers early, so they do not show a slow answer.
"""

import math
from collections import deque

REMEMBERED, ENOUGH = 200, 20
MOST_SAVED = 5.0


class FirstTokens:
    """The last REMEMBERED first-token times of an endpoint, s."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=REMEMBERED)

    def learn(self, seconds: float) -> None:
        """Add a first-token time."""
        self._times.append(seconds)

    def p90(self) -> float | None:
        """Return the 90th percentile (nearest rank), None with fewer than ENOUGH times."""
        if len(self._times) < ENOUGH:
            return None
        return sorted(self._times)[math.ceil(0.9 * len(self._times)) - 1]

    def longest(self) -> float:
        """Return the longest time, 0 without any."""
        return max(self._times, default=0.0)


class Allowance:
    """The budget of hedges: every call earns a share of a hedge, and at most MOST_SAVED hedges are saved.

    So a long outage cannot double the calls, even after a quiet hour.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = 0.0

    def earn(self) -> None:
        """Add the share of one call."""
        self._saved = min(MOST_SAVED, self._saved + self._share)

    def take(self) -> bool:
        """Spend one hedge. Return False if there is none."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
