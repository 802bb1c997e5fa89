"""The shapes of an experiment: its rules, its evidence, and the outcome of one look."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from schemas.experiments import Policy

Verdict = Literal["running", "winner", "mismatch", "guard"]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of an experiment; they stay the same while it runs."""

    policy: Policy
    floor: float = 0.05  # the smallest weight of an arm; floor times arms is at most 1
    half_life_s: float = 14 * 86_400  # evidence of this age has half its weight in the bandit
    alpha: float = 0.05  # the most chance of a wrong winner, over all looks together
    first: int = 100  # pageviews of each arm before weights move and before a decision
    loss: float = 0.0  # stop when the expected loss of the best arm, in goals a pageview, is below; 0: never
    week_s: float = 7 * 86_400  # no decision before, so that each day of the week counts
    patience: float = 10.0  # except if waiting for the week is expected to lose more goals than this
    returning: float = 0.5  # the most pageviews, as a share, by visitors who keep an arm from an earlier day
    before: int = 0  # the arm that visitors saw before the experiment; guards compare new arms with it


@dataclass(frozen=True, slots=True)
class Evidence:
    """The counts of an experiment: `starts_s` has shape (minutes,), the others (minutes, arms)."""

    starts_s: Ints  # ascending: the start of each minute, in seconds since 1970
    pageviews: Ints
    conversions: Ints  # at most one a pageview; a late one may count in a minute after its pageview
    dead_clicks: Ints
    rage_clicks: Ints
    weights: Floats  # the weights that were in force
    shallow: Ints | None = None  # pageviews without a goal that never reached half of the page, if known
    # the squares of a minute's clicks, summed over the row; None: each row is a minute
    dead_squares: Ints | None = None
    rage_squares: Ints | None = None
    changes: Ints | None = None  # shape (minutes,): how many times the weights have changed since the row; None: never
    ended: int | None = None  # so many rows have ended; the others are not in blocks. None: all
    current: tuple[float, ...] | None = None  # the weights in force now: they stay until a block has ended under them


@dataclass(frozen=True, slots=True)
class Learned:
    """The outcome of one look."""

    weights: tuple[float, ...]  # for the next minute: each at least the floor, the sum is 1
    rates: tuple[tuple[float, float, float], ...]  # goals a pageview of each arm: estimate, low, high
    verdict: Verdict
    winner: int | None
    reason: str
    visits_needed: int | None  # pageviews of all arms until a decision is likely; None: not known
