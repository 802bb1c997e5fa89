"""Rates with intervals that allow for correlated events.

A visitor makes many events, so events are not independent. The counts come in stretches of time. A rate is a ratio of
two sums over the stretches, and its variance comes from the differences between them (the ratio estimator of survey
statistics: Cochran, Sampling Techniques, chapter 6). A visitor who clicks twenty times stays in one stretch and widens
the interval. The variance is never less than that of independent events.

Many places are looked at, and each could look bad by chance. Bonferroni's bound divides the error by the number of
looks. It holds for any dependence between them, and the same bound gives intervals that hold all together.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ERROR = 0.05  # probability of any false finding in a report
HALVINGS, LEAST_VARIANCE = 40, 1e-12
MOST = 10_000_000  # more visits than this are not asked for


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate, or a combination: its value, each stretch's influence on it, its least variance.

    `total` is the denominator of a single rate of events, 0 for anything else.
    """

    value: float
    influence: Floats
    least: float
    total: float = 0.0

    def minus(self, other: "Rate", times: float = 1.0) -> "Rate":
        """Return this rate minus `times` the other rate of the same stretches."""
        return Rate(
            self.value - times * other.value,
            self.influence - times * other.influence,
            self.least + times * times * other.least,
        )

    def above(self, floor: float) -> "Claim":
        """Return the claim that the rate is above a number."""
        return Claim(self, floor, 1)

    def below(self, ceiling: float) -> "Claim":
        """Return the claim that the rate is below a number."""
        return Claim(self, ceiling, -1)

    @property
    def variance(self) -> float:
        """The variance."""
        stretches = max(2, len(self.influence))
        spread = float(self.influence @ self.influence) * stretches / (stretches - 1)
        return max(spread, self.least)

    def errors_to(self, number: float) -> float:
        """Return how many standard errors the rate is above a number, negative below it.

        Rates of events are skewed, so they use the signed root of the deviance (McCullagh and Nelder), divided by the
        over-dispersion. Other quantities use Wald's statistic.
        """
        if not self.total or not 0 < number < 1:
            return (self.value - number) / math.sqrt(max(self.variance, LEAST_VARIANCE))
        # visits that began before the range may make a share negative
        deviance = _deviance(max(0.0, self.value), number)
        root = math.sqrt(max(0.0, 2 * self.total * deviance * self.least / self.variance))
        return math.copysign(root, self.value - number)

    def interval(self, z: float) -> tuple[float, float]:
        """Return the numbers at a distance of z errors on both sides."""
        margin = z * math.sqrt(self.variance)
        if not self.total or not 0 <= self.value <= 1:
            return self.value - margin, self.value + margin
        low = _solved(lambda number: self.errors_to(number) < z, 0.0, self.value)
        return low, _solved(lambda number: self.errors_to(number) < -z, self.value, 1.0)


@dataclass(frozen=True, slots=True)
class Claim:
    """The claim that a rate is above a number (sign 1) or below it (sign -1)."""

    rate: Rate
    number: float
    sign: int

    @property
    def errors(self) -> float:
        """The distance to the number in standard errors; negative if the claim is wrong."""
        return self.sign * self.rate.errors_to(self.number)

    def needs(self, z: float) -> float:
        """Return the factor of visits at which the claim holds by z errors, or infinity."""
        return (z / self.errors) ** 2 if self.errors > 0 else math.inf


def _deviance(rate: float, number: float) -> float:
    """Return half the deviance of an event: binomial, or Poisson if there are more events than visits."""
    part = rate * math.log(rate / number) if rate else 0.0
    if rate > 1:
        return part + number - rate
    return part + ((1 - rate) * math.log((1 - rate) / (1 - number)) if rate < 1 else 0.0)


def visits_to_see(share: float, floor: float, z: float) -> float:
    """Return the number of visits at which a share is above the floor by z errors."""
    return z * z / (2 * _deviance(share, floor))


def _solved(reached: Callable[[float], bool], low: float, high: float) -> float:
    """Return the number from which on `reached` holds, by bisection."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return (low + high) / 2


def rate(counts: Floats, of: Floats) -> Rate:
    """Return sum(counts) / sum(of) over stretches of time."""
    total = max(1.0, float(of.sum()))
    value = float(counts.sum()) / total
    # with an event more on each side, so that 0 and 100 % have an interval too
    near = (float(counts.sum()) + 1) / (total + 2)
    least = max(LEAST_VARIANCE, near * (1 - near if near < 1 else 1) / total)
    return Rate(value, (counts - value * of) / total, least, total)


def mean(sums: Floats, of: Floats) -> Rate:
    """Return the mean of a quantity that is not counted in events, such as time."""
    plain = rate(sums, of)
    return Rate(plain.value, plain.influence, 0.0)


def bound(looks: int, stretches: int) -> float:
    """Return how many standard errors an interval of one of `looks` has on each side.

    Student's t with `stretches` - 1 degrees of freedom, by its expansion (Abramowitz and Stegun 26.7.5).
    """
    z = NormalDist().inv_cdf(1 - ERROR / (2 * max(1, looks)))
    free = max(4, stretches - 1)
    return z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free * free)
