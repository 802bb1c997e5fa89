"""The totals of each window, and the share that sampling left out of each total."""

import numpy as np
import numpy.typing as npt

from processors.heatmap.columns import CONVERSION, GOAL, GOAL_KINDS, BeaconColumns
from processors.heatmap.tallies import Sums
from processors.heatmap.windows import Ints

KINDS = 11


def window_sums(columns: BeaconColumns, owner: Ints, group: Ints, open_group: Ints, size: int) -> Sums:
    """Return the counts of the groups 0 to `size` - 1: WINDOW_COLUMNS, then COUNTERS.

    `owner` and `group` have each event's beacon and group, `open_group` the group of each pageview that begins.
    """
    by_kind = _by_kind(columns, group, size)
    totals, conversions = _totals(by_kind, np.bincount(open_group, minlength=size)), by_kind[CONVERSION]
    left_out = np.zeros((len(totals) + 1, size), dtype=np.int64)
    if columns.sampled_out.any():
        # exact in floats, which hold integers up to 2^53
        events = _by_kind(columns, group, size, columns.sampled_out[owner])
        pageviews = np.bincount(open_group, columns.sampled_out[columns.opens], minlength=size)
        left_out[:] = (*_totals(events, pageviews), events[CONVERSION])
    sampled_out = left_out[0] + left_out[1]
    goals = (by_kind[kind] for kind in GOAL_KINDS.values())
    return Sums(np.arange(size), np.stack((*totals, *goals, conversions, sampled_out, *left_out)).astype(np.int64))


def _by_kind(columns: BeaconColumns, group: Ints, size: int, weights: Ints | None = None) -> npt.NDArray[np.generic]:
    """Return the number of events, or the sum of their weights, by kind and group."""
    return np.bincount(group * KINDS + columns.kind, weights, minlength=size * KINDS).reshape(size, KINDS).T


def _totals(
    by_kind: npt.NDArray[np.generic], pageviews: npt.NDArray[np.generic]
) -> tuple[npt.NDArray[np.generic], ...]:
    """Return WINDOW_COLUMNS."""
    click, dead, move, rage, scroll = by_kind[:CONVERSION]
    clicks, goals = click + dead + rage, by_kind[GOAL:].sum(axis=0)
    return pageviews, by_kind.sum(axis=0), clicks, rage, dead, move, scroll, goals
