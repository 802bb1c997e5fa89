"""Decoding of beacons from bytes to columns, one slice at a time.

In the fast path, msgspec reads a beacon's scalar fields and leaves its arrays unparsed. The arrays of all beacons are
joined to one JSON document per column, which simdjson turns into int64 columns without Python numbers. Checks that are
expensive per beacon (patterns, ranges of events) run once per slice. The fast path accepts no beacon that
`schemas.heatmap` rejects. It may reject a valid one, so each beacon that it rejects is decoded again, alone and
strictly; that accepts the beacon or returns the error.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import simdjson
from msgspec import Meta, Raw

from processors.heatmap.columns import (
    BY_DEPTH,
    DEVICE_CODES,
    KIND_CODES,
    NEW,
    SEEN,
    BeaconColumns,
    Layout,
    merged_areas,
)
from processors.heatmap.elements import BROKEN, coded, read_elements
from processors.heatmap.fold import TABLES, Fold
from processors.heatmap.windows import Flags, Ints, clock_shift
from schemas.bounds import MOST_RECORD
from schemas.codec import to_beacon
from schemas.errors import DecodeError
from schemas.heatmap import (
    BAND_PX,
    INT32_MAX,
    INT53_MAX,
    LEAST_RATE,
    LP_ID_PATTERN,
    MAX_EARLIER_MS,
    MAX_EVENTS,
    MAX_PAGE_H,
    MAX_ROWS,
    MAX_SECTIONS,
    MAX_SPAN_MS,
    MAX_WINDOWS,
    WINDOW_MS,
    Count,
    Device,
    Millis,
    Pixel,
    SectionName,
    Size,
    encode_beacon,
)

__all__ = ["TABLES", "BeaconColumns", "Decoded", "Fold", "Rejected", "decode"]

Bytes = npt.NDArray[np.uint8]

UUID_CHARACTERS = 36
HYPHENS = [8, 13, 18, 23]
NO_CODE = 255

# The separator between the arrays of two beacons in a joined column. It is out of range, so no valid value equals it.
BETWEEN = -(2**63)
_between = b",%d," % BETWEEN
_between_arrays = b"]" + _between + b"["

_lp_id = re.compile(LP_ID_PATTERN.replace("$", r"\Z"))


NO_TEXT = Raw(b"")


class _Head(msgspec.Struct, gc=False):
    """A beacon with unparsed arrays, and without patterns, which cost more than all other checks."""

    schema: Literal[1]
    lp_id: str
    pageview_id: Annotated[str, Meta(min_length=UUID_CHARACTERS, max_length=UUID_CHARACTERS)]
    seq: Count
    device: Device
    viewport_w: Size
    viewport_h: Size
    page_w: Size
    page_h: Size
    t0: Millis
    depth: Count
    type: Annotated[str, Meta(min_length=1, max_length=MAX_EVENTS)]
    dt: Raw
    x: Raw
    y: Raw
    dwell: Raw
    fixed: list[Count] = []
    sections: Raw = Raw(b"[]")
    new_sections: Raw = Raw(b"")
    rate: Annotated[float, Meta(gt=0, le=1)] = 1.0
    elements: Raw = NO_TEXT


_head_of = msgspec.json.Decoder(_Head).decode
_sections_of = msgspec.json.Decoder(
    Annotated[list[tuple[SectionName, Pixel, Pixel]], Meta(max_length=MAX_SECTIONS)]
).decode
_names_of = msgspec.json.Decoder(Annotated[list[SectionName], Meta(max_length=MAX_SECTIONS)]).decode


def _code_table(codes: dict[str, int]) -> Bytes:
    table = np.full(256, NO_CODE, dtype=np.uint8)
    for character, code in codes.items():
        table[ord(character)] = code
    return table


_kind_table = _code_table(KIND_CODES)
_hex_table = _code_table({digit: int(digit, 16) for digit in "0123456789abcdefABCDEF"})
_hex_places = [place for place in range(UUID_CHARACTERS) if place not in HYPHENS]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that is not a valid beacon: index in the values, field at fault, reason.

    `field` is "" for the whole record.
    """

    index: int
    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """The result of decoding a slice.

    `identities` (16 bytes of the pageview's uuid, 4 of seq, big endian) and `positions` (index in the values) have
    one entry per beacon of `columns`. `skewed` is the number of beacons whose clock was corrected.
    """

    columns: BeaconColumns
    identities: list[bytes]
    positions: Ints
    rejected: list[Rejected]
    skewed: int


def decode(values: Sequence[bytes], timestamps_ms: npt.NDArray[np.int64] | Sequence[int]) -> Decoded:
    """Decode a slice's records to columns; never raise for a record's content.

    `timestamps_ms` has the timestamp of each record in `values`. Empty values are ticks and are skipped.
    """
    heads: dict[int, _Head] = {}
    rejected: list[Rejected] = []
    for position, value in enumerate(values):
        if len(value) > MOST_RECORD:
            _take_strictly(heads, rejected, position, value)
        elif value:
            try:
                heads[position] = _head_of(value)
            except BROKEN:
                _take_strictly(heads, rejected, position, value)
    wide = _Wide.of(list(heads.values()))
    if wide.odd.any():
        for position in np.fromiter(heads, np.int64)[wide.odd].tolist():
            _take_strictly(heads, rejected, position, values[position])
        rejected.sort(key=attrgetter("index"))
        wide = _Wide.of(list(heads.values()))
    return _decoded(heads, wide, np.asarray(timestamps_ms, dtype=np.int64), rejected)


def _take_strictly(heads: dict[int, _Head], rejected: list[Rejected], position: int, value: bytes) -> None:
    """Store a valid beacon in `heads`, encoded again for the fast path; reject an invalid one."""
    try:
        heads[position] = _head_of(encode_beacon(to_beacon(value)))
    except DecodeError as error:
        heads.pop(position, None)
        rejected.append(Rejected(position, error.field, error.detail))


@dataclass(frozen=True, slots=True)
class _Wide:
    """Heads in arrays. Heads marked `odd` do not fit the schema, and their entries are meaningless."""

    lp_ids: list[str]
    lp: Ints
    layouts: list[Layout]
    layout: Ints
    seq: Ints
    uuids: Bytes
    counts: Ints
    kind: Bytes
    dt: Ints
    x: Ints
    y: Ints
    dwell: Ints
    fixed: Flags
    elements: list[str]
    element: npt.NDArray[np.int32]
    odd: Flags

    @classmethod
    def of(cls, heads: list[_Head]) -> "_Wide":
        """Return the checked arrays of the heads."""
        letters = [head.type for head in heads]
        counts = np.fromiter(map(len, letters), np.int64, len(heads))
        kind = _kind_table[_ascii(letters)]
        lp_ids, lp = coded([head.lp_id for head in heads], _lp_id_of)
        layouts, layout = coded([(bytes(head.sections), bytes(head.new_sections)) for head in heads], _layout_of)
        digits, hyphens = _uuid_digits([head.pageview_id for head in heads])
        odd = (lp < 0) | (layout < 0) | hyphens | (digits == NO_CODE).any(axis=1)
        dt = _integers([head.dt for head in heads], counts, odd)
        x = _integers([head.x for head in heads], counts, odd)
        y = _integers([head.y for head in heads], counts, odd)
        dwell = _integers([head.dwell for head in heads], counts, odd)
        for flags in _odd_events(kind, dt, x, y, dwell):
            odd |= np.logical_or.reduceat(flags, np.cumsum(counts) - counts)
        fixed = _fixed([head.fixed for head in heads], counts, odd)
        sections = np.array([len(entry) for entry in layouts], dtype=np.int64)[layout] if layouts else layout
        texts = [b"" if head.elements is NO_TEXT else bytes(head.elements) for head in heads]
        elements, element, named = read_elements(texts, kind, counts, odd)
        odd |= _too_much(_column("page_h", heads), sections, named, counts, dt, dwell)
        uuids: Bytes = np.left_shift(digits[:, ::2], 4, dtype=np.uint8) | digits[:, 1::2]
        seq = _column("seq", heads)
        return cls(
            lp_ids, lp, layouts, layout, seq, uuids, counts, kind, dt, x, y, dwell, fixed, elements, element, odd
        )


def _column(name: str, heads: list[_Head]) -> Ints:
    return np.fromiter(map(attrgetter(name), heads), np.int64, len(heads))


def _ascii(texts: Sequence[str]) -> Bytes:
    """Return one byte per character of all texts; a character outside ASCII becomes a question mark."""
    return np.frombuffer("".join(texts).encode("ascii", "replace"), np.uint8)


def _uuid_digits(pageview_ids: Sequence[str]) -> tuple[Bytes, Flags]:
    """Return each id's 32 hex digits (NO_CODE for other characters), and flags of ids with bad hyphens."""
    characters = _ascii(pageview_ids).reshape(-1, UUID_CHARACTERS)
    return _hex_table[characters[:, _hex_places]], (characters[:, HYPHENS] != ord("-")).any(axis=1)


def _lp_id_of(text: str) -> str:
    if not _lp_id.match(text):
        raise ValueError("lp_id")
    return text


def _layout_of(texts: tuple[bytes, bytes]) -> Layout:
    """Return the layout of the JSON of `sections` and `new_sections`.

    A new section that is not among the sections has no height. Areas with the same name that overlap count as one, and
    only the highest area of a name is reached for the first time: a page may give several elements one name.
    """
    areas = _sections_of(texts[0])
    first = dict.fromkeys((name for name, _, _ in areas), BY_DEPTH)
    if len(first) < len(areas):
        areas = merged_areas(areas)
    new: dict[str, int] = {}
    if texts[1]:
        new = dict.fromkeys(_names_of(texts[1]), NEW)
        first = {name: new.pop(name, SEEN) for name in first}
    placed = [(*area, first.pop(area[0], SEEN)) for area in areas]
    return (*placed, *((name, 0, 0, NEW) for name in new))


def _integers(arrays: list[Raw], counts: Ints, odd: Flags) -> Ints:
    """Return the numbers of all JSON arrays, `counts[i]` from each; mark other arrays as odd."""
    numbers = _joined_integers(arrays, counts)
    if numbers is None:
        for row, count in enumerate(counts.tolist()):
            if _joined_integers([arrays[row]], counts[row : row + 1]) is None:
                odd[row] = True
                arrays[row] = Raw(msgspec.json.encode([0] * count))
        return _integers(arrays, counts, odd)
    return numbers


def _joined_integers(arrays: list[Raw], counts: Ints) -> Ints | None:
    """Return the numbers of flat arrays of `counts[i]` 64-bit integers, or None if an array differs."""
    if not arrays:
        return counts
    text = b"[" + _between.join(arrays) + b"]"
    # The buffer is flattened, so nesting is checked in the text: each part must be an array (brackets around every
    # separator) and may open no other bracket.
    if text.count(_between_arrays) != len(arrays) - 1 or text.count(b"[") != len(arrays) + 1:
        return None
    try:
        document: Any = simdjson.Parser().parse(text)
        numbers = np.frombuffer(document.as_buffer(of_type="i"), np.int64)
    except BROKEN:
        return None
    seams = np.cumsum(counts + 1)[:-1] - 1
    if len(numbers) != int(counts.sum()) + len(seams) or (numbers[seams] != BETWEEN).any():
        return None
    own = np.ones(len(numbers), dtype=np.bool_)
    own[seams] = False
    values: Ints = numbers[own]
    # if a beacon's own number equals a separator and takes its place, a real separator is left among the values
    return None if len(values) and values.min() == BETWEEN else values


def _odd_events(kind: Bytes, dt: Ints, x: Ints, y: Ints, dwell: Ints) -> list[Flags]:
    """Return masks of events out of range; an ordinary slice has none, as its minima and maxima show."""
    if not len(kind):
        return []
    masks = [kind == NO_CODE] if kind.max() == NO_CODE else []
    bounds = ((dt, 0, INT32_MAX), (dwell, 0, INT32_MAX), (x, -INT53_MAX, INT53_MAX), (y, -INT53_MAX, INT53_MAX))
    masks += [
        (column < low) | (column > high) for column, low, high in bounds if column.min() < low or column.max() > high
    ]
    return masks


def _fixed(indices: list[list[int]], counts: Ints, odd: Flags) -> Flags:
    """Return the events in viewport pixels; mark beacons that name a missing event, or one twice, as odd."""
    flags = np.zeros(int(counts.sum()), dtype=np.bool_)
    flat = np.fromiter(chain.from_iterable(indices), np.int64)
    if len(flat):
        owners = np.repeat(np.arange(len(counts)), np.fromiter(map(len, indices), np.int64, len(counts)))
        inside = flat < counts[owners]
        odd[owners[~inside]] = True
        places = ((np.cumsum(counts) - counts)[owners] + flat)[inside]
        flags[places] = True
        if len(places) > np.count_nonzero(flags):
            odd |= np.bincount(owners, minlength=len(counts)) > np.add.reduceat(flags, np.cumsum(counts) - counts)
    return flags


def _too_much(page_h: Ints, sections: Ints, named: Ints, counts: Ints, dt: Ints, dwell: Ints) -> Flags:
    """Return the beacons whose span, dwell or rows may exceed a bound.

    The strict check accepts some of them.
    """
    if not len(counts):
        return np.zeros(0, dtype=np.bool_)
    starts = np.cumsum(counts) - counts
    span = np.maximum.reduceat(dt, starts)
    windows = span // WINDOW_MS + 2
    details = -(-np.minimum(page_h, MAX_PAGE_H) // BAND_PX) + sections
    rests = np.maximum.reduceat(dwell, starts) > span + MAX_EARLIER_MS
    flags: Flags = (span > MAX_SPAN_MS) | rests | (windows > MAX_WINDOWS) | (windows * details + named > MAX_ROWS)
    return flags


def _decoded(by_position: dict[int, _Head], wide: _Wide, timestamps: Ints, rejected: list[Rejected]) -> Decoded:
    heads, counts = list(by_position.values()), wide.counts
    positions = np.fromiter(by_position, np.int64, len(heads))
    t0 = _column("t0", heads)
    last = t0 + np.maximum.reduceat(wide.dt, np.cumsum(counts) - counts) if len(t0) else t0
    shift, skewed = clock_shift(last, timestamps[positions])
    t0 = t0 + shift
    devices = map(DEVICE_CODES.__getitem__, [head.device for head in heads])
    columns = BeaconColumns(
        lp_ids=wide.lp_ids,
        layouts=wide.layouts,
        elements=wide.elements,
        lp=wide.lp,
        device=np.fromiter(devices, np.int64, len(heads)),
        opens=wide.seq == 0,
        viewport_w=_column("viewport_w", heads),
        viewport_h=_column("viewport_h", heads),
        page_w=_column("page_w", heads),
        page_h=_column("page_h", heads),
        t0=t0,
        depth=_column("depth", heads),
        counts=counts,
        layout=wide.layout,
        sampled_out=_sampled_out(heads),
        kind=wide.kind,
        time=np.repeat(t0, counts) + wide.dt,
        x=wide.x,
        y=wide.y,
        dwell=wide.dwell,
        fixed=wide.fixed,
        element=wide.element,
    )
    return Decoded(columns, _identities(wide.uuids, wide.seq), positions, rejected, int(skewed.sum()))


def _sampled_out(heads: list[_Head]) -> Ints:
    """Return the pageviews left out for each beacon's pageview, in thousandths: 9000 for a rate of 0.1."""
    rates = np.fromiter(map(attrgetter("rate"), heads), np.float64, len(heads))
    sampled_out: Ints = np.rint(1000 / np.maximum(rates, LEAST_RATE)).astype(np.int64) - 1000
    return sampled_out


def _identities(uuids: Bytes, seq: Ints) -> list[bytes]:
    joined = np.ascontiguousarray(np.hstack([uuids, seq.astype(">u4").view(np.uint8).reshape(-1, 4)]))
    return list(joined.view("V20").ravel().tolist())
