"""Blocks of minutes: the units in which an experiment's evidence is weighed.

A block ends with the minute in which its pageviews reach 100, or 1 % of the pageviews before it if that is more.
A change of weights ends a block, too. Pageviews alone decide where a block ends, never goals. Only ended blocks count,
and weights move only when a block ends: within a block the allocation does not depend on the block's goals. The tests
in `betting.py` need that, also when late beacons or rows of hours move the bounds of old blocks.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from processors.experiments.shapes import Evidence, Floats, Ints

Number = TypeVar("Number", np.int64, np.float64)

MINUTE_S = 60
LEAST = 100  # pageviews of a block
GROWTH = 1.01  # and of the sum of pageviews from one block to the next: 560 blocks are a million pageviews


@dataclass(frozen=True, slots=True)
class Blocks:
    """Counts of ended blocks: `starts_s` has shape (blocks,), tables have shape (blocks, arms)."""

    starts_s: Ints
    ended_s: int  # when the last block ended, in seconds since 1970
    rows: int  # the rows of evidence in all blocks
    pageviews: Ints
    conversions: Ints
    dead_clicks: Ints
    rage_clicks: Ints
    shallow: Ints | None
    low: Floats  # the least share of pageviews that the weights explain, see `cut`
    high: Floats  # the largest share

    def by_time(self, span_s: int, *tables: Ints) -> list[Ints]:
        """Return the sums of tables over stretches of `span_s` seconds; a block belongs to that of its start."""
        stretches = (self.starts_s - self.starts_s[:1]) // span_s
        return [_added(table, np.flatnonzero(np.diff(stretches, prepend=-1))) for table in tables]


def cut(evidence: Evidence, returning: float) -> Blocks:
    """Return the ended blocks of the evidence.

    New visitors come by the weights in force. Returning visitors, at most the part `returning` of pageviews, came by
    any weights of the experiment. That bounds the shares `low` and `high`.
    """
    each_minute = (evidence.pageviews @ np.ones(evidence.pageviews.shape[1], np.int64))[: evidence.ended]
    sums = np.concatenate([[0], each_minute.cumsum()])
    edges = np.unique(np.searchsorted(sums[:-1], bounds(int(sums[-1]))))
    if evidence.changes is not None:
        changed = np.flatnonzero(np.diff(evidence.changes)) + 1
        edges = np.union1d(edges, changed[changed < edges[-1]])
        edges = edges[np.unique(sums[edges], return_index=True)[1]]  # no block without pageviews
    starts, end = edges[:-1], edges[-1]

    def added(counts: Ints) -> Ints:
        return _added(counts[:end], starts)

    pageviews = added(evidence.pageviews)
    # of all rows, also of those without pageviews: cookies of an earlier experiment are such rows
    least, most = (each.accumulate(evidence.weights[:end], axis=0)[edges[1:] - 1] for each in (np.minimum, np.maximum))
    now = _added(evidence.weights[:end] * each_minute[:end, None], starts) / pageviews.sum(axis=1, keepdims=True)
    return Blocks(
        evidence.starts_s[starts],
        int(evidence.starts_s[end - 1]) + MINUTE_S if len(starts) else 0,
        int(end),
        pageviews,
        added(evidence.conversions),
        added(evidence.dead_clicks),
        added(evidence.rage_clicks),
        None if evidence.shallow is None else added(evidence.shallow),
        (1 - returning) * now + returning * least,
        (1 - returning) * now + returning * most,
    )


def _added(table: NDArray[Number], starts: Ints) -> NDArray[Number]:
    """Return the sums of rows from each start to the next."""
    if not len(starts):
        return table[:0]
    # along rows that lie together in memory it is three times as fast
    sums: NDArray[Number] = np.add.reduceat(np.ascontiguousarray(table.T), starts, axis=1).T
    return sums


def bounds(pageviews: int) -> Ints:
    """Return the sums of pageviews at which blocks end, up to `pageviews`."""
    steady = int(LEAST / (GROWTH - 1))
    growing = max(0, int(np.log(max(pageviews, 1) / steady) / np.log(GROWTH)) + 1)
    ends = np.concatenate([np.arange(0, steady, LEAST), np.ceil(steady * GROWTH ** np.arange(growing + 1))])
    return ends[ends <= pageviews].astype(np.int64)
