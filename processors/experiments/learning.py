"""One look at an experiment: from its counts of each minute to weights and a verdict."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Policy = Literal["bandit", "fixed"]
Verdict = Literal["running", "winner", "mismatch", "guard"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of an experiment; they stay the same while it runs."""

    policy: Policy
    floor: float = 0.05  # the smallest weight of an arm
    half_life_s: float = 14 * 86_400  # evidence of this age has half its weight in the bandit
    alpha: float = 0.05  # the chance that an experiment without a better arm names a winner, over all looks
    first: int = 100  # pageviews of each arm before weights move
    loss: float = 0.0  # stop when the expected loss of the best arm, in goals a pageview, is below; 0: never


@dataclass(frozen=True, slots=True)
class Evidence:
    """The counts of an experiment: `starts_s` has shape (minutes,), the others (minutes, arms)."""

    starts_s: np.ndarray  # int64, ascending: the start of each minute, in seconds since 1970
    pageviews: np.ndarray  # int64
    conversions: np.ndarray  # int64, never more than the pageviews
    dead_clicks: np.ndarray  # int64
    rage_clicks: np.ndarray  # int64
    weights: np.ndarray  # float64: the weights that were in force


@dataclass(frozen=True, slots=True)
class Learned:
    """The outcome of one look."""

    weights: tuple[float, ...]  # for the next minute: each at least the floor, the sum is 1
    rates: tuple[tuple[float, float, float], ...]  # goals a pageview of each arm: estimate, low, high
    verdict: Verdict
    winner: int | None
    reason: str
    visits_needed: int | None  # pageviews of all arms until a decision is likely; None: not known


def learn(rules: Rules, evidence: Evidence, seed: int) -> Learned:
    """Return what the evidence says. Arm 0 is the control. The same arguments give the same answer."""
    arms = evidence.weights.shape[1]
    return Learned((1 / arms,) * arms, ((0.0, 0.0, 1.0),) * arms, "running", None, "counts are being collected", None)
