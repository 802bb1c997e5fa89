"""Sums under packed integer keys, and how partial results of the fold add up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processors.heatmap.windows import Ints

CELLS, SCROLL, SECTIONS, WINDOWS, VIEWS = TABLES = (
    "heatmap_cells",
    "heatmap_scroll",
    "heatmap_sections",
    "heatmap_windows",
    "heatmap_views",
)

WINDOW_BITS = 30
DEVICE_BITS = 2
LP_SHIFT = WINDOW_BITS + DEVICE_BITS
BAND_BITS = 10
X_BITS, Y_BITS, FIXED_BITS, KIND_BITS = 7, 12, 1, 2
CODE_BITS = 31
# bits of a key below the rank of its group, which has 31: all tables stay within 63
DETAIL_BITS = {
    CELLS: KIND_BITS + FIXED_BITS + X_BITS + Y_BITS,
    SCROLL: BAND_BITS,
    SECTIONS: CODE_BITS,
    WINDOWS: 0,
    VIEWS: CODE_BITS,
}
KEY_BITS = 63
DIGIT_BITS = 16


@dataclass(frozen=True, slots=True)
class Sums:
    """Keys, and under each a column of `values` (value columns x keys). Keys may repeat until summed."""

    keys: Ints
    values: Ints

    def summed(self) -> "Sums":
        """Sorted, distinct keys with the sums of their values."""
        if not len(self.keys):
            return self
        ordered, order = _sorted(self.keys)
        starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
        sums = [np.add.reduceat(column.take(order), starts) for column in self.values]
        return Sums(ordered.take(starts), np.stack(sums))


def _sorted(keys: Ints) -> tuple[Ints, Ints]:
    """The keys in order, and the places they came from. Keys are not negative."""
    order = _order(_squeezed(keys))
    return keys.take(order), order


def _squeezed(keys: Ints) -> Ints:
    """Keys in the same order among themselves, without the bits that none of them uses."""
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
    """Places of the keys in ascending order; each way costs a third less than the next."""
    highest, places = int(keys.max()), len(keys).bit_length()
    if highest >> (2 * DIGIT_BITS) == 0:
        # 16 bits are what numpy sorts by radix
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
    """What some beacons come to: their groups, sorted and distinct, and sums by table."""

    groups: Ints
    tables: dict[str, Sums]

    @property
    def rows(self) -> int:
        """How many keys are held."""
        return sum(len(sums.keys) for sums in self.tables.values())

    @property
    def size(self) -> int:
        """Return the bytes of the arrays."""
        return self.groups.nbytes + sum(sums.keys.nbytes + sums.values.nbytes for sums in self.tables.values())


def group_keys(lp: Ints, window: Ints, device: Ints) -> Ints:
    """Groups packed so that they sort by lp, window, device."""
    return lp << LP_SHIFT | window << DEVICE_BITS | device


def merged(partials: Sequence[Partial], lp_ranks: Ints | None = None, ranks: dict[str, Ints] | None = None) -> Partial:
    """One partial of several, summed.

    With `lp_ranks` (new code by old) lps are coded anew, and with `ranks` the details of the tables it names.
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
    """Keys whose groups have moved to other places."""
    bits = DETAIL_BITS[name]
    moved: Ints = places[keys >> bits] << bits | keys & ((1 << bits) - 1)
    return moved
