"""Beacons in columns: the output of decoding and the input of the fold."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from processors.heatmap.windows import Flags, Ints

Bytes = npt.NDArray[np.uint8]

# codes are in alphabetical order of the full names, so that rows sorted by code are sorted by name
DEVICE_NAMES = ("desktop", "mobile", "tablet")
DEVICE_CODES = {name: code for code, name in enumerate(DEVICE_NAMES)}
CELL_KINDS = ("click", "dead_click", "move", "rage_click")
CLICK, DEAD_CLICK, MOVE, RAGE_CLICK, SCROLL, CONVERSION, GOAL, FORM, MAIL, OUTBOUND, TEL = range(11)
KIND_CODES = {"c": CLICK, "d": DEAD_CLICK, "m": MOVE, "r": RAGE_CLICK, "s": SCROLL, "v": CONVERSION} | {
    "g": GOAL,
    "f": FORM,
    "e": MAIL,
    "o": OUTBOUND,
    "t": TEL,
}

# the kinds of goals by the columns that count them
GOAL_KINDS = {
    "goals_form": FORM,
    "goals_tel": TEL,
    "goals_mail": MAIL,
    "goals_outbound": OUTBOUND,
    "goals_custom": GOAL,
}

NO_ELEMENT = -1

# how a section is known to be reached for the first time: not in this beacon, by the browser, or by the depth
SEEN, NEW, BY_DEPTH = range(3)
# The sections of a page: name, top, bottom, and one of the three. Pages have few layouts and many beacons, so each
# layout is stored once.
Layout = tuple[tuple[str, int, int, int], ...]


def merged_areas(areas: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Return the areas by name and top, with those of one name that overlap as one area."""
    merged: list[tuple[str, int, int]] = []
    for name, top, bottom in sorted(areas):
        if not merged or merged[-1][0] != name:
            merged.append((name, top, bottom))
        elif top < merged[-1][2]:
            merged[-1] = (name, merged[-1][1], max(bottom, merged[-1][2]))
        elif top < bottom:
            merged.append((name, top, bottom))
    return merged


def is_click(kind: Bytes) -> Flags:
    """Return which events are clicks of any kind."""
    clicks: Flags = (kind < SCROLL) & (kind != MOVE)
    return clicks


@dataclass(frozen=True, slots=True)
class BeaconColumns:
    """Checked beacons in columns.

    Times are ms UTC with clock skew corrected; pixels are as given, not clamped. `lp` (index in `lp_ids`) to
    `sampled_out` have one entry per beacon; `layout` is an index in `layouts`. `sampled_out` is the number of pageviews
    that the beacon's pageview stands for beside itself, in thousandths. `kind` to `fixed` have one entry per event, in
    the order of the beacons; beacon i owns the next `counts[i]` of them. `element` is an index in `elements`, or
    NO_ELEMENT.
    """

    lp_ids: list[str]
    layouts: list[Layout]
    elements: list[str]
    lp: Ints
    device: Ints
    opens: Flags
    viewport_w: Ints
    viewport_h: Ints
    page_w: Ints
    page_h: Ints
    t0: Ints
    depth: Ints
    counts: Ints
    layout: Ints
    sampled_out: Ints
    kind: Bytes
    time: Ints
    x: Ints
    y: Ints
    dwell: Ints
    fixed: Flags
    element: npt.NDArray[np.int32]

    @property
    def beacons(self) -> int:
        """The number of beacons."""
        return len(self.counts)

    @property
    def events(self) -> int:
        """The number of events, of all kinds."""
        return len(self.kind)

    @property
    def weights(self) -> Ints:
        """Each beacon's share of the work: its events times (1 + sections of its page / 8)."""
        sections = np.array([len(layout) for layout in self.layouts], dtype=np.int64)
        weights: Ints = self.counts * (8 + sections[self.layout]) // 8
        return weights

    @property
    def weight(self) -> int:
        """The sum of the weights."""
        return int(self.weights.sum())

    @property
    def size(self) -> int:
        """The size of the arrays, bytes."""
        return sum(getattr(self, name).nbytes for name in (*PER_BEACON, *PER_EVENT))

    def select(self, keep: Flags) -> "BeaconColumns":
        """Return the beacons marked in `keep`, with their events; `keep` has one entry per beacon."""
        events = np.repeat(keep, self.counts)
        return self._pick(keep, events)

    def chunks(self, weight: int) -> Iterator["BeaconColumns"]:
        """Yield the beacons in parts of about `weight`, for steps whose memory grows with it."""
        ends, reached = np.cumsum(self.counts), np.cumsum(self.weights)
        if reached[-1] <= weight:
            yield self
            return
        first = 0
        while first < self.beacons:
            start, before = (int(ends[first - 1]), int(reached[first - 1])) if first else (0, 0)
            last = max(first + 1, int(np.searchsorted(reached, before + weight, side="right")))
            yield self._pick(slice(first, last), slice(start, int(ends[last - 1])))
            first = last

    def _pick(self, beacons: Flags | slice, events: Flags | slice) -> "BeaconColumns":
        by_beacon = {name: getattr(self, name)[beacons] for name in PER_BEACON}
        by_event = {name: getattr(self, name)[events] for name in PER_EVENT}
        return replace(self, **by_beacon, **by_event)


PER_BEACON = (
    *("lp", "device", "opens", "viewport_w", "viewport_h", "page_w", "page_h"),
    *("t0", "depth", "counts", "layout", "sampled_out"),
)
PER_EVENT = ("kind", "time", "x", "y", "dwell", "fixed", "element")


def joined(parts: list[BeaconColumns], layouts: list[Layout]) -> BeaconColumns:
    """Return several columns as one, with `layouts`, to which all refer.

    They must share `lp_ids` and `elements`.
    """
    if len(parts) == 1:
        return replace(parts[0], layouts=layouts)
    together: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in (*PER_BEACON, *PER_EVENT)
    }
    return replace(parts[0], layouts=layouts, **together)
