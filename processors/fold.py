"""Columns of beacons to rows of the five tables of the heatmap.

Everything is counted by key. The part of a key that all tables share, (lp_id, window, device), is a group: 63 bits,
whatever comes. A table's key is the group's rank among the groups at hand with the rest of the key below it; keys
are sorted and their values summed. A partial result holds such sums for some beacons; partials add up.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from processors.columns import (
    CELL_KINDS,
    CLICK,
    DEAD_CLICK,
    DEVICE_NAMES,
    GOAL,
    MOVE,
    RAGE_CLICK,
    SCROLL,
    BeaconColumns,
    Layout,
    joined,
)
from processors.windows import WINDOW_S, Flags, Ints, windows_of

TABLES = ("heatmap_cells", "heatmap_scroll", "heatmap_sections", "heatmap_windows", "heatmap_views")

MAX_PIXEL = 65_535
MAX_EDGE = 65_536
CELL_PX = 16
CELLS_ACROSS = 128
BAND_PX = 100
VIEW_PX = 16

WINDOW_BITS = 30
DEVICE_BITS = 2
BAND_BITS = 10
CELL_BITS = 22  # kind 2, fixed 1, x 7, y 12
KEY_BITS = 63

CHUNK_EVENTS = 1 << 16
MERGE_ROWS = 1 << 19

# an event's kind to the columns of heatmap_windows that it counts in
COUNTED = ("pageviews", "events", "clicks", "rage_clicks", "dead_clicks", "moves", "scrolls", "goals")


@dataclass(slots=True)
class Sums:
    """Sorted, distinct keys and, a row per value column, what was summed under each."""

    keys: Ints
    values: Ints


def summed(keys: Ints, values: Ints) -> Sums:
    """Sums of `values` (columns × keys) under each distinct key."""
    if not len(keys):
        return Sums(keys, values)
    count = len(keys)
    places = max(count - 1, 1).bit_length()
    if int(keys.max()) >> (KEY_BITS - places) == 0 and int(keys.min()) >= 0:
        # sorting key and place in one number is several times as fast as an indirect sort
        packed = np.sort(keys << places | np.arange(count))
        order = packed & ((1 << places) - 1)
        ordered = packed >> places
    else:
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return Sums(ordered[starts], np.add.reduceat(values[:, order], starts, axis=1))
