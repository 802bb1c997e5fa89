"""Rates with intervals that allow for correlated events.

A visitor makes many events, so events are not independent. The counts come in stretches of time. A rate is a ratio of
two sums over the stretches, and its variance comes from the differences between them (the ratio estimator of survey
statistics: Cochran, Sampling Techniques, chapter 6). A visitor who clicks twenty times stays in one stretch and widens
the interval. The variance is never less than that of independent events.

Many places are looked at, and each could look bad by chance. Bonferroni's bound divides the error by the number of
looks. It holds for any dependence between them, and the same bound gives intervals that hold all together.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
ERROR = 0.05  # probability of any false finding in a report
MOST = 10_000_000  # more visits than this are not asked for


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate or a combination of rates: its value, each stretch's influence on it, and its least variance."""

    value: float
    influence: Floats
    least: float

    def minus(self, other: "Rate", times: float = 1.0) -> "Rate":
        """Return this rate minus `times` the other rate of the same stretches."""
        return Rate(
            self.value - times * other.value,
            self.influence - times * other.influence,
            self.least + times * times * other.least,
        )

    def above(self, floor: float) -> "Rate":
        """Return the difference to a number."""
        return Rate(self.value - floor, self.influence, self.least)

    def below(self, ceiling: float) -> "Rate":
        """Return how far the rate is below a number."""
        return Rate(ceiling - self.value, -self.influence, self.least)

    @property
    def error(self) -> float:
        """The standard error."""
        stretches = max(2, len(self.influence))
        spread = float(self.influence @ self.influence) * stretches / (stretches - 1)
        return float(np.sqrt(max(spread, self.least)))

    def needs(self, z: float) -> float:
        """Return the factor of visits at which z errors fit below the value; infinite if it is not above 0."""
        return (z * self.error / self.value) ** 2 if self.value > 0 else float("inf")


def rate(counts: Floats, of: Floats) -> Rate:
    """Return sum(counts) / sum(of) over stretches of time."""
    total = max(1.0, float(of.sum()))
    value = float(counts.sum()) / total
    # with an event more on each side, so that 0 and 100 % have an interval too
    near = (float(counts.sum()) + 1) / (total + 2)
    return Rate(value, (counts - value * of) / total, near * (1 - near if near < 1 else 1) / total)


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
