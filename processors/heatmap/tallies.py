"""Sums by packed integer key, and the merge of the fold's partial results."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processors.heatmap.windows import Ints

CELLS, SCROLL, SECTIONS, WINDOWS, VIEWS, ELEMENTS = TABLES = (
    "heatmap_cells",
    "heatmap_scroll",
    "heatmap_sections",
    "heatmap_windows",
    "heatmap_views",
    "heatmap_elements",
)

WINDOW_BITS = 30
DEVICE_BITS = 2
LP_SHIFT = WINDOW_BITS + DEVICE_BITS
BAND_BITS = 10
X_BITS, Y_BITS, FIXED_BITS, KIND_BITS = 7, 12, 1, 2
CODE_BITS = 31
# bits of a key below its group's index, which has at most 31 bits: the keys of all tables fit in 63
DETAIL_BITS = {
    CELLS: KIND_BITS + FIXED_BITS + X_BITS + Y_BITS,
    SCROLL: BAND_BITS,
    SECTIONS: CODE_BITS,
    WINDOWS: 0,
    VIEWS: CODE_BITS,
    ELEMENTS: CODE_BITS,
}
KEY_BITS = 63
DIGIT_BITS = 16


@dataclass(frozen=True, slots=True)
class Sums:
    """Keys, and a column of `values` for each (value columns x keys). Keys may repeat until summed."""

    keys: Ints
    values: Ints

    def summed(self) -> "Sums":
        """Return sorted, distinct keys with the sums of their values."""
        if not len(self.keys):
            return self
        ordered, order = _sorted(self.keys)
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        sums = [np.add.reduceat(column.take(order), starts) for column in self.values]
        return Sums(ordered.take(starts), np.stack(sums))


def _sorted(keys: Ints) -> tuple[Ints, Ints]:
    """Return the sorted keys and their old indices. Keys are not negative."""
    order = _order(_squeezed(keys))
    return keys.take(order), order


def _squeezed(keys: Ints) -> Ints:
    """Return the keys without the bits that are 0 in all of them; their order stays the same."""
    used = int(np.bitwise_or.reduce(keys))
    squeezed, width = np.zeros_like(keys), 0
    while used:
        gap = (used & -used).bit_length() - 1
        run = used >> gap
        length = (~run & (run + 1)).bit_length() - 1
        keys = keys >> gap
        squeezed |= (keys & ((1 << length) - 1)) << width
        keys, used, width = keys >> length, run >> length, width + length
    return squeezed


def _order(keys: Ints) -> Ints:
    """Return the indices that sort the keys. Each of the three ways costs a third less than the next one."""
    highest, places = int(keys.max()), len(keys).bit_length()
    if highest >> (2 * DIGIT_BITS) == 0:
        # numpy uses radix sort for 16 bits only
        order = np.argsort(keys.astype(np.uint16), kind="stable")
        if highest >> DIGIT_BITS:
            order = order.take(np.argsort((keys >> DIGIT_BITS).astype(np.uint16).take(order), kind="stable"))
        return order
    if highest >> (KEY_BITS - places) == 0:
        packed = keys << places
        packed |= np.arange(len(keys))
        packed.sort()
        return packed & ((1 << places) - 1)
    return np.argsort(keys, kind="stable")


@dataclass(frozen=True, slots=True)
class Partial:
    """The partial result of some beacons: their groups, sorted and distinct, and sums by table."""

    groups: Ints
    tables: dict[str, Sums]

    @property
    def rows(self) -> int:
        """The number of keys."""
        return sum(len(sums.keys) for sums in self.tables.values())

    @property
    def size(self) -> int:
        """The size of the arrays, bytes."""
        return self.groups.nbytes + sum(sums.keys.nbytes + sums.values.nbytes for sums in self.tables.values())


def group_keys(lp: Ints, window: Ints, device: Ints) -> Ints:
    """Return the packed groups, which sort by lp, window, device."""
    return lp << LP_SHIFT | window << DEVICE_BITS | device


def merged(partials: Sequence[Partial], lp_ranks: Ints | None = None, ranks: dict[str, Ints] | None = None) -> Partial:
    """Merge several partials to one and sum their values.

    `lp_ranks` (new code by old) replaces the codes of lps, `ranks` the codes in the details of the tables it names.
    """
    groups = [partial.groups if lp_ranks is None else _recoded_groups(partial.groups, lp_ranks) for partial in partials]
    union = np.unique(np.concatenate(groups))
    places = [np.searchsorted(union, of_partial) for of_partial in groups]
    tables = {}
    for name in TABLES:
        parts = [partial.tables[name] for partial in partials]
        keys = [_moved(name, part.keys, place) for part, place in zip(parts, places, strict=True)]
        joined = np.concatenate(keys)
        if ranks and name in ranks:
            mask = (1 << CODE_BITS) - 1
            joined = (joined & ~mask) | ranks[name][joined & mask]
        tables[name] = Sums(joined, np.concatenate([part.values for part in parts], axis=1)).summed()
    return Partial(union, tables)


def _recoded_groups(groups: Ints, lp_ranks: Ints) -> Ints:
    recoded: Ints = lp_ranks[groups >> LP_SHIFT] << LP_SHIFT | groups & ((1 << LP_SHIFT) - 1)
    return recoded


def _moved(name: str, keys: Ints, places: Ints) -> Ints:
    """Return the keys with their groups' new indices."""
    bits = DETAIL_BITS[name]
    moved: Ints = places[keys >> bits] << bits | keys & ((1 << bits) - 1)
    return moved
