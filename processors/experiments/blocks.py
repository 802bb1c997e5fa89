"""Blocks of minutes: the units in which an experiment's evidence is weighed.

A block ends with the minute in which its pageviews reach 100, or 1 % of the pageviews before it if that is more.
Pageviews alone decide where it ends, never goals. Only ended blocks count, and weights move only when a block ends:
within a block the allocation does not depend on the block's goals. The tests in `betting.py` need that.
"""

from dataclasses import dataclass

import numpy as np

from processors.experiments.shapes import Evidence, Floats, Ints

LEAST = 100  # pageviews of a block
GROWTH = 1.01  # and of the sum of pageviews from one block to the next: 560 blocks are a million pageviews


@dataclass(frozen=True, slots=True)
class Blocks:
    """Counts of ended blocks: times have shape (blocks,), the others (blocks, arms)."""

    starts_s: Ints
    pageviews: Ints
    conversions: Ints
    dead_clicks: Ints
    rage_clicks: Ints
    shallow: Ints | None
    low: Floats  # the least share of pageviews that the weights explain
    high: Floats  # the largest share


def cut(evidence: Evidence, returning: float) -> Blocks:
    """Return the ended blocks of the evidence."""
    each_minute = evidence.pageviews.sum(axis=1)
    sums = each_minute.cumsum()
    edges = np.unique(np.searchsorted(sums - each_minute, _bounds(int(sums[-1]) if len(sums) else 0)))
    starts, end = edges[:-1], edges[-1]

    def added(counts: Ints) -> Ints:
        return np.add.reduceat(counts[:end], starts, axis=0) if len(starts) else counts[:0]

    low, high = _shares(evidence, starts, int(end), added(each_minute), returning)
    return Blocks(
        evidence.starts_s[starts],
        added(evidence.pageviews),
        added(evidence.conversions),
        added(evidence.dead_clicks),
        added(evidence.rage_clicks),
        None if evidence.shallow is None else added(evidence.shallow),
        low,
        high,
    )


def _bounds(pageviews: int) -> Ints:
    """Return the sums of pageviews at which blocks end, up to `pageviews`."""
    steady = int(LEAST / (GROWTH - 1))
    growing = max(0, int(np.log(max(pageviews, 1) / steady) / np.log(GROWTH)) + 1)
    bounds = np.concatenate([np.arange(0, steady, LEAST), np.ceil(steady * GROWTH ** np.arange(growing + 1))])
    return bounds[bounds <= pageviews].astype(np.int64)


def _shares(evidence: Evidence, starts: Ints, end: int, pageviews: Ints, returning: float) -> tuple[Floats, Floats]:
    """Return the least and the largest share of each arm in each block.

    New visitors come by the weights in force. Returning visitors, a part of at most `returning`, came by any weights
    that were in force before.
    """
    weights = evidence.weights
    if not len(starts):
        return weights[:0], weights[:0]
    each_minute = evidence.pageviews[:end].sum(axis=1, keepdims=True)
    now = np.add.reduceat(weights[:end] * each_minute, starts, axis=0) / pageviews[:, None]
    low = np.minimum.accumulate(np.minimum.reduceat(weights[:end], starts, axis=0), axis=0)
    high = np.maximum.accumulate(np.maximum.reduceat(weights[:end], starts, axis=0), axis=0)
    return (1 - returning) * now + returning * low, (1 - returning) * now + returning * high
