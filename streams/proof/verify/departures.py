"""離脱率: how many would have left while they waited for their page, by a stated model.

Nobody leaves a load test. The document names two points: of those who wait 30 s 60 % leave, of those who wait 10 s
15 %. Between and beyond them patience is taken to be Weibull distributed, the distribution that Liu, White and
Dumais found for how long people stay on web pages (Understanding Web Browsing Behaviors through Weibull Analysis of
Dwell Time, SIGIR 2010, doi:10.1145/1835449.1835513). Two points fix its two parameters: shape 1.57, scale 31.7 s.
"""

import math
from collections.abc import Sequence

SHORT_S, SHORT_SHARE = 10.0, 0.15
LONG_S, LONG_SHARE = 30.0, 0.60
SHAPE = math.log(math.log(1 - LONG_SHARE) / math.log(1 - SHORT_SHARE)) / math.log(LONG_S / SHORT_S)
SCALE_S = SHORT_S / (-math.log(1 - SHORT_SHARE)) ** (1 / SHAPE)


def leaving(wait_s: float) -> float:
    """Share of those who have left by then: 1 − exp(−(t / scale)^shape)."""
    return -math.expm1(-((max(0.0, wait_s) / SCALE_S) ** SHAPE))


def departure_rate(waits_s: Sequence[float], unanswered: int = 0) -> float | None:
    """Mean share over all waits (s); who was never answered left. None when nobody waited."""
    count = len(waits_s) + unanswered
    return (sum(map(leaving, waits_s)) + unanswered) / count if count else None
