"""Conversion of the fold's sums to Arrow tables with the columns of the ClickHouse tables."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from processors.heatmap.columns import CELL_KINDS, DEVICE_NAMES, GOAL_KINDS
from processors.heatmap.tallies import (
    BAND_BITS,
    CELLS,
    CODE_BITS,
    DETAIL_BITS,
    DEVICE_BITS,
    ELEMENTS,
    FIXED_BITS,
    LP_SHIFT,
    SCROLL,
    SECTIONS,
    VIEWS,
    WINDOW_BITS,
    WINDOWS,
    X_BITS,
    Y_BITS,
    Partial,
    Sums,
)
from processors.heatmap.windows import WINDOW_S, Ints

View = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Words:
    """The values of the codes, sorted: page ids, names of sections, names of elements, and sizes.

    A size is (page w, page h, viewport w, viewport h).
    """

    lp_ids: list[str]
    names: list[str]
    views: list[View]


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of a table. `number` counts the parts of the table from 0."""

    table: str
    number: int
    rows: pa.Table


def arrow_parts(partial: Partial, words: Words, most_rows: int) -> Iterator[Part]:
    """Yield the rows of all tables in parts of about `most_rows`. A table without rows has no part.

    Each part is built when it is needed. Rows are in the order of their keys, so that equal sums make equal parts.
    `window_start` is seconds UTC (uint32).
    """
    makers: dict[str, Callable[[Sums, Words], tuple[Ints, dict[str, pa.Array]]]] = {
        CELLS: _cells,
        SCROLL: _scroll,
        SECTIONS: _sections,
        WINDOWS: _windows,
        VIEWS: _views,
        ELEMENTS: _elements,
    }
    for name, make in makers.items():
        number = 0
        for sums in _stretches(name, partial.tables[name], most_rows):
            places, columns = make(sums, words)
            if len(places):
                yield Part(name, number, pa.table({**_shared(partial.groups[places], words), **columns}))
                number += 1


def _stretches(name: str, sums: Sums, most_rows: int) -> Iterator[Sums]:
    """Yield ranges of keys with about `most_rows` rows. The scroll steps of a group stay together."""
    size = len(sums.keys)
    rows = _band_rows(sums) if name == SCROLL else np.ones(size, dtype=np.int64)
    stretch = (np.cumsum(rows) - rows) // most_rows
    if name == SCROLL and size:
        starts = np.flatnonzero(np.diff(sums.keys >> BAND_BITS, prepend=-1))
        stretch = np.repeat(stretch[starts], np.diff(starts, append=size))
    edges = (np.flatnonzero(np.diff(stretch)) + 1).tolist()
    for start, end in pairwise([0, *edges, size]):
        yield Sums(sums.keys[start:end], sums.values[:, start:end])


def _band_rows(sums: Sums) -> Ints:
    """Return the number of bands from each step to the next step. It is 0 where the level is 0."""
    lengths = np.diff(sums.keys, append=sums.keys[-1:])
    rows: Ints = lengths * (np.cumsum(sums.values, axis=1) != 0).any(axis=0)
    return rows


def _shared(groups: Ints, words: Words) -> dict[str, pa.Array]:
    windows = (groups >> DEVICE_BITS) & ((1 << WINDOW_BITS) - 1)
    return {
        "lp_id": _named(words.lp_ids, groups >> LP_SHIFT),
        "window_start": _numbers(windows * WINDOW_S, np.uint32),
        "device": _named(DEVICE_NAMES, groups & ((1 << DEVICE_BITS) - 1)),
    }


def _named(words: list[str] | tuple[str, ...], codes: Ints) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(words, pa.string()))


def _numbers(column: Ints, dtype: type[np.unsignedinteger] = np.uint64) -> pa.Array:
    return pa.array(column.astype(dtype))


def _cells(sums: Sums, _: Words) -> tuple[Ints, dict[str, pa.Array]]:
    keys = sums.keys
    x, fixed = keys >> Y_BITS, keys >> (Y_BITS + X_BITS)
    return keys >> DETAIL_BITS[CELLS], {
        "kind": _named(CELL_KINDS, (fixed >> FIXED_BITS) & 3),
        "fixed": _numbers(fixed & 1, np.uint8),
        "x": _numbers(x & ((1 << X_BITS) - 1), np.uint8),
        "y": _numbers(keys & ((1 << Y_BITS) - 1), np.uint16),
        "hits": _numbers(sums.values[0]),
        "dwell_ms": _numbers(sums.values[1]),
    }


def _scroll(sums: Sums, _: Words) -> tuple[Ints, dict[str, pa.Array]]:
    """Return the rows of heatmap_scroll. The sums have a step up at a first band and down after a last."""
    levels = np.cumsum(sums.values, axis=1)
    flat = np.flatnonzero((levels != 0).any(axis=0))
    # every step up has a step down in its group, so where a level is not 0 the next key is in the same group
    starts = sums.keys[flat]
    lengths = (sums.keys[flat + 1] - starts) if len(flat) else starts
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    keys = np.repeat(starts, lengths) + within
    return keys >> BAND_BITS, {
        "band": _numbers(keys & ((1 << BAND_BITS) - 1), np.uint16),
        "reached": _numbers(np.repeat(levels[0, flat], lengths)),
        "exposure_ms": _numbers(np.repeat(levels[1, flat], lengths)),
    }


def _sections(sums: Sums, words: Words) -> tuple[Ints, dict[str, pa.Array]]:
    return sums.keys >> CODE_BITS, {
        "section": _named(words.names, sums.keys & ((1 << CODE_BITS) - 1)),
        "clicks": _numbers(sums.values[0]),
        "reached": _numbers(sums.values[1]),
        "exposure_ms": _numbers(sums.values[2]),
    }


WINDOW_COLUMNS = ("pageviews", "events", "clicks", "rage_clicks", "dead_clicks", "moves", "scrolls", "goals")
# counters that are 0 in most rows; the tables store them in `countersMap`
COUNTERS = (
    *GOAL_KINDS,
    "conversions",
    "sampled_out",
    *(f"left_out_{name}" for name in (*WINDOW_COLUMNS, "conversions")),
)
ELEMENT_COLUMNS = ("clicks", "rage_clicks", "dead_clicks")
ELEMENT_COUNTERS = tuple(f"left_out_{name}" for name in ELEMENT_COLUMNS)


def _windows(sums: Sums, _: Words) -> tuple[Ints, dict[str, pa.Array]]:
    columns = zip(WINDOW_COLUMNS, sums.values, strict=False)
    return sums.keys, {
        **{name: _numbers(column) for name, column in columns},
        **_counters(COUNTERS, sums.values[len(WINDOW_COLUMNS) :].T),
    }


def _counters(names: tuple[str, ...], values: Ints) -> dict[str, pa.Array]:
    """Return the names and values of the counters that are not 0.

    `values` has a line for each row of the table, with a number for each name.
    """
    rows, codes = np.nonzero(values)
    offsets = pa.array(np.searchsorted(rows, np.arange(len(values) + 1)).astype(np.int32))
    named = _named(names, codes)
    return {
        "countersMap.name": pa.ListArray.from_arrays(offsets, named.dictionary_decode()),
        "countersMap.value": pa.ListArray.from_arrays(offsets, _numbers(values[rows, codes])),
    }


def _views(sums: Sums, words: Words) -> tuple[Ints, dict[str, pa.Array]]:
    sizes = np.array(words.views, dtype=np.int64).reshape(-1, 4)[sums.keys & ((1 << CODE_BITS) - 1)]
    columns = zip(("page_w", "page_h", "viewport_w", "viewport_h"), sizes.T, strict=True)
    return sums.keys >> CODE_BITS, {
        **{name: _numbers(column, np.uint32) for name, column in columns},
        "pageviews": _numbers(sums.values[0]),
    }


def _elements(sums: Sums, words: Words) -> tuple[Ints, dict[str, pa.Array]]:
    return sums.keys >> CODE_BITS, {
        "element": _named(words.names, sums.keys & ((1 << CODE_BITS) - 1)),
        **{name: _numbers(column) for name, column in zip(ELEMENT_COLUMNS, sums.values, strict=False)},
        **_counters(ELEMENT_COUNTERS, sums.values[len(ELEMENT_COLUMNS) :].T),
    }
