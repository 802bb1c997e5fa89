"""When a second call is worth its price: at the learned p90 of first tokens, for a tenth of the calls at most.

Calibrated on first tokens, not on headers: servers send those early, and every call would be hedged.
"""

import math
from collections import deque

REMEMBERED, ENOUGH = 200, 20
MOST_SAVED = 5.0


class FirstTokens:
    """The last first-token times of one endpoint, s."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=REMEMBERED)

    def learn(self, seconds: float) -> None:
        """Note one."""
        self._times.append(seconds)

    def p90(self) -> float | None:
        """The 90th percentile (nearest rank); None while too little is known."""
        if len(self._times) < ENOUGH:
            return None
        return sorted(self._times)[math.ceil(0.9 * len(self._times)) - 1]


class Allowance:
    """Every call earns a share of a hedge. A long outage cannot double the calls, nor an idle hour save up for it."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._saved = 0.0

    def earn(self) -> None:
        """One call was made."""
        self._saved = min(MOST_SAVED, self._saved + self._share)

    def take(self) -> bool:
        """Whether a hedge may be made; it is then spent."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
