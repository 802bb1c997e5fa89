"""Tests that may be looked at each minute: products of predictable bets.

A bet of odds `o` says: the odds of a hit are `o` times those of the null hypothesis. Its gain is a likelihood ratio, so
the expected product of gains never exceeds 1 under the null hypothesis, and Ville's inequality bounds all looks
together: the product reaches 1 / alpha with a chance of at most alpha. `docs/experiments.md` has formulas and sources.
"""

from collections.abc import Callable
from math import lgamma, log, log1p

import numpy as np

from processors.experiments.shapes import Floats, Ints

LOG_ODDS = np.geomspace(0.04, 1.6, 12)  # the bets, in equal parts: 4 % more to five times as many
PRIOR_DEGREES = 12.0  # the dispersion counts as 1 with so many degrees of freedom before data
HALVINGS = 24


def log_products(hits: Ints, of: Ints, share: Floats, pageviews: Ints | None = None) -> Floats:
    """Return the log product of gains over blocks, for each bet.

    Shapes are (blocks, tests), of the answer (bets, tests).
    The null hypothesis: of `of` events, each is a hit with a chance of at most `share`. With `pageviews`, at most one
    event a pageview, the events are drawn from them without replacement.
    """
    odds = LOG_ODDS[:, None, None]
    expected: Floats
    if pageviews is None:
        expected = of * np.log1p(share * np.expm1(odds))
    else:
        inner = share * np.clip((pageviews - of) / np.maximum(pageviews - 1, 1), 0.0, 1.0)
        part = np.divide(1 - share, 1 - inner, out=np.zeros_like(inner), where=inner < 1)
        expected = of * (part * np.log1p(inner * np.expm1(odds)) + (1 - part) * odds)
    gains: Floats = hits.sum(axis=0) * LOG_ODDS[:, None] - expected.sum(axis=1)
    return gains


def log_evidence(products: Floats, dispersion: float) -> Floats:
    """Return the log of the mean product of all bets, each to the power 1 / dispersion: shape (tests,)."""
    scaled = products / dispersion
    most = scaled.max(axis=0)
    mean: Floats = most + np.log(np.exp(scaled - most).mean(axis=0))
    return mean


def better(conversions: Ints, pageviews: Ints, arm: int) -> Floats:
    """Return the log products of bets on `arm` against each other arm: shape (bets, arms - 1)."""
    others = np.arange(conversions.shape[1]) != arm
    theirs, views = pageviews[:, others], pageviews[:, [arm]] + pageviews[:, others]
    both = (pageviews[:, [arm]] > 0) & (theirs > 0)
    ours = np.minimum(conversions, pageviews)[:, [arm]] * both
    hits = np.minimum(conversions, pageviews)[:, others] * both + ours
    return log_products(ours, hits, pageviews[:, [arm]] / np.maximum(views, 1), views)


def dispersion(counts: Ints, pageviews: Ints) -> float:
    """Return by which factor counts vary more than independent ones: 1 or more.

    It is Pearson's chi-square over its degrees of freedom, from a table (times, arms): a row may have its own rate,
    and so may an arm, but an arm's lead is the same in each row.
    """
    rates = counts.sum(axis=0) / np.maximum(pageviews.sum(axis=0), 1)
    exposure = pageviews * rates
    rows = exposure.sum(axis=1) > 0
    sums = counts[rows].sum(axis=1, keepdims=True)
    expected = sums * exposure[rows] / exposure[rows].sum(axis=1, keepdims=True)
    variance = expected * (1 - np.minimum(sums / pageviews[rows].sum(axis=1, keepdims=True), 0.5))
    squares = np.divide((counts[rows] - expected) ** 2, variance, out=np.zeros_like(expected), where=variance > 0)
    degrees: int = max(0, int((sums > 0).sum()) - 1) * (counts.shape[1] - 1)
    return max(1.0, (float(squares.sum()) + PRIOR_DEGREES) / (degrees + PRIOR_DEGREES))


def interval(conversions: float, pageviews: float, alpha: float) -> tuple[float, float]:
    """Return the lowest and the highest rate that the counts do not refute.

    They hold the true rate at all looks together, with chance 1 - alpha.
    """
    if pageviews <= 0:
        return 0.0, 1.0
    misses, rate = pageviews - conversions, conversions / pageviews
    mixed = lgamma(conversions + 0.5) + lgamma(misses + 0.5) - lgamma(pageviews + 1) - 2 * lgamma(0.5)

    def refuted(p: float) -> bool:
        against = (conversions * log(p) if conversions else 0.0) + (misses * log1p(-p) if misses else 0.0)
        return mixed - against > -log(alpha)

    low = _edge(rate, 0.0, refuted) if conversions else 0.0
    high = _edge(rate, 1.0, refuted) if misses else 1.0
    return low, high


def _edge(inside: float, outside: float, refuted: Callable[[float], bool]) -> float:
    """Return the value between both at which `refuted` turns true."""
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        if refuted(middle):
            outside = middle
        else:
            inside = middle
    return outside
