"""The elements that clicks hit: from the text of each beacon to a column of codes, and to sums."""

from collections.abc import Callable
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from processors.heatmap.columns import DEAD_CLICK, NO_ELEMENT, RAGE_CLICK, BeaconColumns, Bytes, is_click
from processors.heatmap.tallies import CODE_BITS, Sums
from processors.heatmap.windows import Flags, Ints
from schemas.errors import DecodeError
from schemas.heatmap import ElementNames, element_names

Word = TypeVar("Word", str, bytes, tuple[bytes, bytes])
Read = TypeVar("Read")
Codes = npt.NDArray[np.int32]

NO_FIELD = -1
BROKEN = (
    DecodeError,
    msgspec.MsgspecError,
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    OverflowError,
    RecursionError,
)

_elements_of = msgspec.json.Decoder(ElementNames).decode


def coded(words: list[Word], read: Callable[[Word], Read]) -> tuple[list[Read], Ints]:
    """Return the distinct words, each read once, and each word's index among them; -1 if `read` fails."""
    distinct: list[Read] = []
    codes: dict[Word, int] = {}
    for word in dict.fromkeys(words):
        try:
            distinct.append(read(word))
            codes[word] = len(distinct) - 1
        except BROKEN:
            codes[word] = -1
    return distinct, np.fromiter(map(codes.__getitem__, words), np.int64, len(words))


def read_elements(texts: list[bytes], kind: Bytes, counts: Ints, odd: Flags) -> tuple[list[str], Codes, Ints]:
    """Return the names, each event's index among them, and the number of named clicks of each beacon.

    Mark beacons whose entries do not fit their clicks as odd.
    """
    element = np.full(len(kind), NO_ELEMENT, dtype=np.int32)
    if not any(texts):
        return [], element, np.zeros(len(texts), dtype=np.int64)
    lists, which = coded(texts, lambda text: element_names(_elements_of(text)) if text else None)
    # the last size is of texts that are no lists, whose index is -1
    sizes = np.array([*(NO_FIELD if names is None else len(names) for names in lists), 0], dtype=np.int64)
    clicked = is_click(kind)
    clicks = np.add.reduceat(clicked, np.cumsum(counts) - counts, dtype=np.int64)
    given = sizes[which]
    odd |= (which < 0) | ((given != clicks) & (given != NO_FIELD))
    named = np.where(odd | (given == NO_FIELD), 0, clicks)
    codes: dict[str, int] = {}
    flat = np.array([codes.setdefault(name, len(codes)) for names in lists for name in names or ()], dtype=np.int32)
    starts = np.cumsum(np.maximum(sizes, 0)) - np.maximum(sizes, 0)  # in `flat`, of each list
    within = np.arange(named.sum()) - np.repeat(np.cumsum(named) - named, named)
    element[clicked & np.repeat(named > 0, counts)] = flat[np.repeat(starts[which], named) + within]
    return list(codes), element, named


def element_sums(columns: BeaconColumns, owner: Ints, group: Ints) -> Sums:
    """Return ELEMENT_COLUMNS and ELEMENT_COUNTERS by element.

    `owner` and `group` have each event's beacon and group.
    """
    place = np.flatnonzero(columns.element != NO_ELEMENT)
    kind = columns.kind[place]
    counts = np.stack((np.ones(len(place), dtype=np.int64), kind == RAGE_CLICK, kind == DEAD_CLICK))
    left_out = counts * columns.sampled_out[owner[place]]
    keys = group[place] << CODE_BITS | columns.element[place].astype(np.int64)
    return Sums(keys, np.concatenate((counts, left_out)))
