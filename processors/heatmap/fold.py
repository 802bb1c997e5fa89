"""The fold: sums of the heatmap tables from columns of beacons.

Everything is counted by key. The part of a key that all tables share, (lp_id, window, device), is a group of at most 63
bits. A table's key is the group's index among the current groups, with the rest of the key in the lower bits. Keys are
sorted and their values summed. Small inputs are only collected, so that one sort serves many slices.

Interpretation of the contract: a view with bottom <= y shows nothing and does not change depth; a section without
height overlaps no view; rows of zeros are not written; sizes in `heatmap_views` use the clamped page_h.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

import numpy as np
import pyarrow as pa

from processors.heatmap.columns import (
    BY_DEPTH,
    NEW,
    NO_ELEMENT,
    SCROLL,
    BeaconColumns,
    Layout,
    is_click,
    joined,
)
from processors.heatmap.elements import element_sums
from processors.heatmap.rows import Part, View, Words, arrow_parts
from processors.heatmap.tallies import (
    BAND_BITS,
    CODE_BITS,
    DETAIL_BITS,
    ELEMENTS,
    FIXED_BITS,
    SECTIONS,
    TABLES,
    VIEWS,
    X_BITS,
    Y_BITS,
    Partial,
    Sums,
    group_keys,
    merged,
)
from processors.heatmap.tallies import CELLS as CELLS_TABLE
from processors.heatmap.totals import window_sums
from processors.heatmap.windows import Ints, windows_of

__all__ = ["TABLES", "Fold"]

MAX_PIXEL = 65_535
MAX_EDGE = 65_536
CELL_PX_BITS = 4
CELLS_ACROSS = 128
BAND_PX = 100
VIEW_PX = 16
Word = TypeVar("Word", str, View)

# in units of BeaconColumns.weights: events, and sections of their pages
CHUNK_WEIGHT = 1 << 16
MERGE_ROWS = 1 << 18
PAIRED_EVENTS = 1 << 13
ALL_ROWS = 1 << 62
# bytes of a Python string with its entry in a dict, or of a section of a layout
WORD_BYTES = 250
# a section of a new layout takes more memory than an event
SECTION_WEIGHT = 8


class Fold:
    """The sums of all beacons that were added. Its memory grows with distinct keys, not with beacons."""

    def __init__(self) -> None:
        self.events = 0
        self.beacons = 0
        self._lps: dict[str, int] = {}
        self._names: dict[str, int] = {}
        self._views: dict[View, int] = {}
        self._layouts: dict[Layout, int] = {}
        self._pending: list[BeaconColumns] = []
        self._pending_weight = 0
        self._pending_bytes = 0
        self._partials: list[Partial] = []
        self._merge_at = MERGE_ROWS

    def add(self, columns: BeaconColumns) -> None:
        """Add beacons to the sums."""
        if not columns.beacons:
            return
        self.events += columns.events
        self.beacons += columns.beacons
        new_sections = sum(len(layout) for layout in columns.layouts if layout not in self._layouts)
        self._pending_bytes += columns.size + WORD_BYTES * new_sections
        self._pending_weight += columns.weight + SECTION_WEIGHT * new_sections
        self._pending.append(self._recoded(columns))
        if self._pending_weight >= CHUNK_WEIGHT:
            self._fold_pending()

    @property
    def held(self) -> int:
        """The estimated memory in use, bytes."""
        words = len(self._lps) + len(self._names) + len(self._views)
        return self._pending_bytes + sum(partial.size for partial in self._partials) + WORD_BYTES * words

    def tables(self) -> dict[str, pa.Table]:
        """Return the rows of each table that has rows, sorted by key.

        They depend only on the beacons, not on their order or on the slices.
        """
        return {part.table: part.rows for part in self.parts(ALL_ROWS)}

    def parts(self, most_rows: int) -> Iterator[Part]:
        """Yield the rows of `tables` in parts of about `most_rows`, each built lazily."""
        self._fold_pending()
        if not self._partials:
            return
        self._sort()
        words = Words(list(self._lps), list(self._names), list(self._views))
        yield from arrow_parts(self._partials[0], words, most_rows)

    def _sort(self) -> None:
        """Give all words codes in alphabetical order, and merge all partials to one."""
        lps, names, views = _ranks(self._lps), _ranks(self._names), _ranks(self._views)
        self._partials = [merged(self._partials, lps, {SECTIONS: names, VIEWS: views, ELEMENTS: names})]
        self._lps, self._names, self._views = _coded(self._lps), _coded(self._names), _coded(self._views)

    def _recoded(self, columns: BeaconColumns) -> BeaconColumns:
        lps = [self._lps.setdefault(lp_id, len(self._lps)) for lp_id in columns.lp_ids]
        layouts = [self._layouts.setdefault(layout, len(self._layouts)) for layout in columns.layouts]
        lp = np.array(lps, dtype=np.int64)[columns.lp]
        layout, element = np.array(layouts, dtype=np.int64)[columns.layout], columns.element
        if columns.elements:
            elements = [self._names.setdefault(name, len(self._names)) for name in columns.elements]
            element = np.array([*elements, NO_ELEMENT], dtype=np.int32)[element]  # NO_ELEMENT is the last index
        return replace(columns, lp_ids=[], layouts=[], elements=[], lp=lp, layout=layout, element=element)

    def _fold_pending(self) -> None:
        if not self._pending:
            return
        sections = _Sections.of(list(self._layouts), self._names)
        for columns in joined(self._pending, list(self._layouts)).chunks(CHUNK_WEIGHT):
            self._partials.append(self._partial(_Chunk.of(columns), sections))
            if sum(partial.rows for partial in self._partials) >= self._merge_at:
                self._partials = [merged(self._partials)]
                self._merge_at = max(MERGE_ROWS, 2 * self._partials[0].rows)
        self._pending, self._pending_weight, self._pending_bytes, self._layouts = [], 0, 0, {}

    def _partial(self, chunk: "_Chunk", sections: "_Sections") -> Partial:
        shown = _Shown.of(chunk)
        in_sections = _in_sections(chunk, shown, sections)
        of_windows = window_sums(chunk.columns, chunk.owner, chunk.group, chunk.open_group, len(chunk.groups))
        of_elements = element_sums(chunk.columns, chunk.owner, chunk.group)
        sums = (_cells(chunk), _scroll(shown), in_sections, of_windows, self._seen(chunk), of_elements)
        return Partial(chunk.groups, dict(zip(TABLES, sums, strict=True)))

    def _seen(self, chunk: "_Chunk") -> Sums:
        """Return the sizes of page and viewport of each pageview that begins."""
        columns, opens = chunk.columns, chunk.columns.opens
        page_h = np.minimum(columns.page_h, MAX_EDGE)
        sizes = [
            (column[opens] & -VIEW_PX).tolist()
            for column in (columns.page_w, page_h, columns.viewport_w, columns.viewport_h)
        ]
        views = self._views
        codes = [views.setdefault(view, len(views)) for view in zip(*sizes, strict=True)]
        keys = chunk.open_group << CODE_BITS | np.array(codes, dtype=np.int64)
        return Sums(keys, np.ones((1, len(keys)), dtype=np.int64))


def _coded(words: Iterable[Word]) -> dict[Word, int]:
    """Return each word's index in alphabetical order."""
    return {word: code for code, word in enumerate(sorted(words))}


def _ranks(codes: dict[Word, int]) -> Ints:
    """Return the new code for each old code."""
    ranks = np.zeros(len(codes), dtype=np.int64)
    ranks[[codes[word] for word in sorted(codes)]] = np.arange(len(codes))
    return ranks


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Columns with, for each event, the index of its beacon and of its group in `groups`."""

    columns: BeaconColumns
    owner: Ints
    group: Ints
    open_group: Ints
    groups: Ints

    @classmethod
    def of(cls, columns: BeaconColumns) -> "_Chunk":
        """Return the chunk; look up groups once per run of events of one beacon and window."""
        owner = np.repeat(np.arange(columns.beacons), columns.counts)
        window = windows_of(columns.time)
        change = (window[1:] != window[:-1]) | (owner[1:] != owner[:-1])
        starts = np.flatnonzero(np.concatenate(([True], change)))
        of_run = owner[starts]
        opens = columns.opens
        keys = np.concatenate(
            (
                group_keys(columns.lp[of_run], window[starts], columns.device[of_run]),
                group_keys(columns.lp[opens], windows_of(columns.t0[opens]), columns.device[opens]),
            )
        )
        groups, places = np.unique(keys, return_inverse=True)
        lengths = np.diff(starts, append=len(owner))
        return cls(columns, owner, np.repeat(places[: len(starts)], lengths), places[len(starts) :], groups)


def _cells(chunk: _Chunk) -> Sums:
    """Return hits and dwell of clicks and moves, by cell."""
    columns = chunk.columns
    # kinds with a cell have the four lowest codes
    place = np.flatnonzero(columns.kind < SCROLL)
    owner = chunk.owner[place]
    fixed = columns.fixed[place]
    width = columns.page_w[owner]
    in_viewport = np.flatnonzero(fixed)
    width[in_viewport] = columns.viewport_w[owner[in_viewport]]
    x = np.clip(columns.x[place], 0, MAX_PIXEL)
    y = np.clip(columns.y[place], 0, MAX_PIXEL) >> CELL_PX_BITS
    # exact in floats: below 128, quotients are at least 2^-31 apart, and larger ones are clamped
    across = np.minimum((x * CELLS_ACROSS / width).astype(np.int64), CELLS_ACROSS - 1)
    keys = chunk.group[place] << DETAIL_BITS[CELLS_TABLE]
    keys |= columns.kind[place].astype(np.int64) << (FIXED_BITS + X_BITS + Y_BITS)
    keys |= fixed.astype(np.int64) << (X_BITS + Y_BITS)
    keys |= across << Y_BITS | y
    return Sums(keys, np.stack((np.ones(len(keys), dtype=np.int64), columns.dwell[place])))


@dataclass(frozen=True, slots=True)
class _Shown:
    """Scroll events with a visible view: pixels `top` to `bottom`, and the `depth` reached before each."""

    owner: Ints
    group: Ints
    layout: Ints
    top: Ints
    bottom: Ints
    depth: Ints
    dwell: Ints

    @classmethod
    def of(cls, chunk: _Chunk) -> "_Shown":
        """Return the views in the order of their events."""
        columns = chunk.columns
        place = np.flatnonzero(columns.kind == SCROLL)
        owner = chunk.owner[place]
        top = np.clip(columns.y[place], 0, MAX_PIXEL)
        bottom = np.minimum(top + columns.viewport_h[owner], np.minimum(columns.page_h, MAX_EDGE)[owner])
        shown = np.flatnonzero(bottom > top)
        place, owner, top, bottom = place[shown], owner[shown], top[shown], bottom[shown]
        depth = np.minimum(columns.depth, MAX_EDGE)[owner]
        # a running maximum that restarts with each beacon, because owners only grow
        base = owner * (2 * MAX_EDGE)
        reached = np.maximum.accumulate(base + bottom)
        depth[1:] = np.maximum(depth[1:], reached[:-1] - base[1:])
        group, dwell = chunk.group[place], columns.dwell[place]
        return cls(owner, group, columns.layout[owner], top, bottom, depth, dwell)


def _scroll(shown: _Shown) -> Sums:
    """Return steps of reached and exposure: up at the first band, down after the last."""
    group = shown.group << BAND_BITS
    after = group + ((shown.bottom - 1) // BAND_PX + 1)
    first_new = group + (shown.depth + BAND_PX - 1) // BAND_PX
    new = np.flatnonzero(first_new < after)
    stood = np.flatnonzero(shown.dwell)
    keys = (first_new[new], after[new], (group + shown.top // BAND_PX)[stood], after[stood])
    ones, dwell = np.ones(len(new), dtype=np.int64), shown.dwell[stood]
    zeros = np.zeros_like
    reached = np.concatenate((ones, -ones, zeros(dwell), zeros(dwell)))
    exposure = np.concatenate((zeros(ones), zeros(ones), dwell, -dwell))
    return Sums(np.concatenate(keys), np.stack((reached, exposure)))


@dataclass(frozen=True, slots=True)
class _Sections:
    """The sections of all layouts in sequence, with clamped bounds.

    Layout i has `counts[i]` of them from `starts[i]`.
    """

    starts: Ints
    counts: Ints
    name: Ints
    top: Ints
    bottom: Ints
    first: Ints

    @classmethod
    def of(cls, layouts: list[Layout], names: dict[str, int]) -> "_Sections":
        """Return the sections in arrays; add new names to `names`."""
        flat = [section for layout in layouts for section in layout]
        counts = np.array([len(layout) for layout in layouts], dtype=np.int64)
        codes = np.array([names.setdefault(section[0], len(names)) for section in flat], dtype=np.int64)
        numbers = np.array([section[1:] for section in flat], dtype=np.int64).reshape(-1, 3)
        top, bottom = np.clip(numbers[:, :2], 0, MAX_EDGE).T
        return cls(np.cumsum(counts) - counts, counts, codes, top, bottom, numbers[:, 2])

    def pairs(self, layout: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Yield each event with each section of its layout, as indices of both, for 8192 events at a time."""
        for first in range(0, len(layout), PAIRED_EVENTS):
            part = layout[first : first + PAIRED_EVENTS]
            counts = self.counts[part]
            event = np.repeat(np.arange(len(part)), counts)
            within = np.arange(len(event)) - np.repeat(np.cumsum(counts) - counts, counts)
            yield event + first, self.starts[part][event] + within


def _in_sections(chunk: _Chunk, shown: _Shown, sections: _Sections) -> Sums:
    keys: list[Ints] = [np.empty(0, dtype=np.int64)]
    values: list[Ints] = [np.empty((3, 0), dtype=np.int64)]
    if len(sections.name):
        counted = (_section_clicks(chunk, sections), _section_views(shown, sections), _new_sections(chunk, sections))
        for part_keys, part_values in chain(*counted):
            keys.append(part_keys)
            values.append(part_values)
    return Sums(np.concatenate(keys), np.concatenate(values, axis=1))


def _section_clicks(chunk: _Chunk, sections: _Sections) -> Iterator[tuple[Ints, Ints]]:
    columns = chunk.columns
    place = np.flatnonzero(is_click(columns.kind) & ~columns.fixed)
    y = np.clip(columns.y[place], 0, MAX_PIXEL)
    group = chunk.group[place]
    for event, section in sections.pairs(columns.layout[chunk.owner[place]]):
        pixel = y[event]
        inside = np.flatnonzero((sections.top[section] <= pixel) & (pixel < sections.bottom[section]))
        keys = group[event[inside]] << CODE_BITS | sections.name[section[inside]]
        values = np.zeros((3, len(keys)), dtype=np.int64)
        values[0] = 1
        yield keys, values


def _section_views(shown: _Shown, sections: _Sections) -> Iterator[tuple[Ints, Ints]]:
    for event, section in sections.pairs(shown.layout):
        top, bottom = sections.top[section], sections.bottom[section]
        below = top < shown.bottom[event]
        reached = below & (shown.depth[event] <= top) & (sections.first[section] == BY_DEPTH)
        seen = below & (shown.top[event] < bottom) & (top < bottom)
        # areas of one name follow each other, and a viewport shows a run of them
        again = np.zeros_like(seen)
        again[1:] = seen[:-1] & (event[1:] == event[:-1]) & (sections.name[section[1:]] == sections.name[section[:-1]])
        exposure = shown.dwell[event] * (seen & ~again)
        counted = np.flatnonzero(reached | (exposure > 0))
        keys = shown.group[event[counted]] << CODE_BITS | sections.name[section[counted]]
        yield keys, np.stack((np.zeros_like(keys), reached[counted].astype(np.int64), exposure[counted]))


def _new_sections(chunk: _Chunk, sections: _Sections) -> Iterator[tuple[Ints, Ints]]:
    """Yield the sections that browsers saw for the first time, in the window of the first event."""
    counts = chunk.columns.counts
    group = chunk.group[np.cumsum(counts) - counts]
    for beacon, section in sections.pairs(chunk.columns.layout):
        new = np.flatnonzero(sections.first[section] == NEW)
        keys = group[beacon[new]] << CODE_BITS | sections.name[section[new]]
        values = np.zeros((3, len(keys)), dtype=np.int64)
        values[1] = 1
        yield keys, values
