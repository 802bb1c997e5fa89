"""The model of 離脱率: the share of visitors who would leave while they wait for their page.

Nobody leaves in a load test, so the rate is a model. The verification plan names two points: 15 % leave within 10 s
and 60 % within 30 s. The model assumes a Weibull distribution of patience, which Liu, White and Dumais found for the
time on web pages (Understanding Web Browsing Behaviors through Weibull Analysis of Dwell Time, SIGIR 2010,
doi:10.1145/1835449.1835513). The two points give its two parameters: shape 1.57, scale 31.7 s.
"""

import math
from collections.abc import Sequence

SHORT_S, SHORT_SHARE = 10.0, 0.15
LONG_S, LONG_SHARE = 30.0, 0.60
SHAPE = math.log(math.log(1 - LONG_SHARE) / math.log(1 - SHORT_SHARE)) / math.log(LONG_S / SHORT_S)
SCALE_S = SHORT_S / (-math.log(1 - SHORT_SHARE)) ** (1 / SHAPE)


def leaving(wait_s: float) -> float:
    """Return the share that leaves within `wait_s`: 1 − exp(−(t / scale)^shape)."""
    return -math.expm1(-((max(0.0, wait_s) / SCALE_S) ** SHAPE))


def departure_rate(waits_s: Sequence[float], unanswered: int = 0) -> float | None:
    """Return the mean share over all waits (s); None without waits.

    An unanswered request counts as left.
    """
    count = len(waits_s) + unanswered
    return (sum(map(leaving, waits_s)) + unanswered) / count if count else None
