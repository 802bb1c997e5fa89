"""Beacons from bytes to columns, a slice at a time.

The fast path has msgspec read what a beacon has once, and leaves its arrays as they are posted; the arrays of all
beacons, joined to one JSON document a column, become int64 buffers by simdjson without a Python number. Ranges are
checked for the whole slice at once. It accepts less than `schemas.heatmap` and never more: what it does not like is
decoded again, alone and strictly, which either accepts the beacon or says what is wrong with it.
"""

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt
import simdjson
from msgspec import Meta, Raw

from processors.columns import DEVICE_CODES, KIND_CODES, BeaconColumns, Layout
from processors.fold import TABLES, Fold
from processors.windows import Flags, Ints, clock_shift
from schemas.codec import to_beacon
from schemas.errors import DecodeError
from schemas.heatmap import (
    INT32_MAX,
    INT53_MAX,
    LP_ID_PATTERN,
    MAX_EVENTS,
    MAX_SECTIONS,
    Count,
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
Word = TypeVar("Word", str, bytes)
Read = TypeVar("Read")
HEAD_COLUMNS = ("seq", "t0", "viewport_w", "viewport_h", "page_w", "page_h", "depth")
EVENT_COLUMNS = ("dt", "x", "y", "dwell")
BROKEN = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError, ValueError, OverflowError)

_lp_id = re.compile(LP_ID_PATTERN.replace("$", r"\Z"))


class _Light(msgspec.Struct, kw_only=True):
    """A beacon with its arrays unread, and without the patterns, which cost more than all the rest."""

    schema: Literal[1]
    lp_id: str
    pageview_id: str
    seq: Count
    device: str
    viewport_w: Size
    viewport_h: Size
    page_w: Size
    page_h: Size
    t0: Millis
    depth: Count
    type: str
    dt: Raw
    x: Raw
    y: Raw
    dwell: Raw
    fixed: list[Count] = []
    sections: Raw = Raw(b"[]")
    rate: Annotated[float, Meta(gt=0, le=1)] = 1.0


_light = msgspec.json.Decoder(_Light)
_sections = msgspec.json.Decoder(Annotated[list[tuple[SectionName, Pixel, Pixel]], Meta(max_length=MAX_SECTIONS)])


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
    """A record that is no beacon: its place in the values, the field at fault ("" for the whole), and why."""

    index: int
    field: str
    detail: str


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of a slice.

    `identities` (16 bytes of the pageview's uuid, 4 of seq, big endian) and `positions` (index in the values) have
    one entry per beacon of `columns`; `skewed` counts beacons whose clock was mended.
    """

    columns: BeaconColumns
    identities: list[bytes]
    positions: Ints
    rejected: list[Rejected]
    skewed: int


@dataclass(frozen=True, slots=True)
class _Read:
    """Heads of a slice's beacons, each with its place in the values, and what is no beacon."""

    positions: list[int]
    heads: list[_Light]
    rejected: list[Rejected]


def decode(values: Sequence[bytes], timestamps_ms: npt.NDArray[np.int64] | Sequence[int]) -> Decoded:
    """Columns of a slice's records; never raises for what a record holds.

    `timestamps_ms` are the records' own, as many as the values. Empty values are ticks and are skipped.
    """
    alone: set[int] = set()
    while True:
        read = _read(values, alone)
        try:
            wide = _Wide.of(read.heads)
        except _OddRowsError as odd:
            alone.update(read.positions[row] for row in odd.rows)
        else:
            return _decoded(read, wide, np.asarray(timestamps_ms, dtype=np.int64))


def _read(values: Sequence[bytes], alone: Collection[int]) -> _Read:
    """All records' beacons; those at the positions of `alone`, and what the fast path refuses, go the strict way."""
    if not alone:
        try:
            heads = [_light.decode(value) for value in values if value]
        except BROKEN:
            alone = ()
        else:
            return _Read([position for position, value in enumerate(values) if value], heads, [])
    read = _Read([], [], [])
    for position, value in enumerate(values):
        if value:
            _read_one(read, position, value, strictly=position in alone)
    return read


def _read_one(read: _Read, position: int, value: bytes, *, strictly: bool) -> None:
    try:
        head = _canonical(value) if strictly else _light.decode(value)
    except DecodeError as error:
        read.rejected.append(Rejected(position, error.field, error.detail))
    except BROKEN:
        _read_one(read, position, value, strictly=True)
    else:
        read.positions.append(position)
        read.heads.append(head)


def _canonical(value: bytes) -> _Light:
    """A record strictly checked, then written anew, so that the fast path finds nothing odd in it."""
    return _light.decode(encode_beacon(to_beacon(value)))


class _OddRowsError(Exception):
    """Rows that break what the schema says, or may do so."""

    def __init__(self, rows: Iterable[int]) -> None:
        super().__init__()
        self.rows = list(rows)


@dataclass(frozen=True, slots=True)
class _Wide:
    """A slice in arrays."""

    lp_ids: list[str]
    layouts: list[Layout]
    lp: Ints
    layout: Ints
    device: Ints
    counts: Ints
    uuids: Bytes
    kind: Bytes
    events: dict[str, Ints]
    fixed: Flags

    @classmethod
    def of(cls, heads: list[_Light]) -> "_Wide":
        """Arrays of the rows: checked are first what each says of itself, then what all hold. Raises _OddRowsError."""
        rows = len(heads)
        letters = [head.type for head in heads]
        counts = np.fromiter(map(len, letters), np.int64, rows)
        lp_ids, lp = _coded([head.lp_id for head in heads], _lp_id_of)
        layouts, layout = _coded([bytes(head.sections) for head in heads], _layout_of)
        device = np.fromiter((DEVICE_CODES.get(head.device, -1) for head in heads), np.int64, rows)
        pageview_ids = [head.pageview_id for head in heads]
        bad = (counts < 1) | (counts > MAX_EVENTS) | (lp < 0) | (layout < 0) | (device < 0)
        bad |= np.fromiter(map(len, pageview_ids), np.int64, rows) != UUID_CHARACTERS
        arrays = {name: [bytes(raw) for raw in map(attrgetter(name), heads)] for name in EVENT_COLUMNS}
        for texts in arrays.values():
            # arrays hold nothing but integers, as simdjson will find: then commas tell how many
            bad |= np.fromiter((text.count(b",") for text in texts), np.int64, rows) + 1 != counts
        _refuse(bad)
        total = int(counts.sum())
        read = {name: _integers(texts, total) for name, texts in arrays.items()}
        events = {name: column for name, column in read.items() if column is not None}
        if unread := read.keys() - events.keys():
            raise _OddRowsError(row for name in unread for row in _odd_rows(arrays[name], counts))
        digits, hyphens = _uuid_digits(pageview_ids)
        kind = _kind_table[_ascii(letters)]
        bad = hyphens | (digits == NO_CODE).any(axis=1)
        for flags in _bad_events(kind, *(events[name] for name in EVENT_COLUMNS)):
            bad |= np.logical_or.reduceat(flags, np.cumsum(counts) - counts)
        fixed = _fixed([head.fixed for head in heads], counts, bad)
        _refuse(bad)
        uuids: Bytes = np.left_shift(digits[:, ::2], 4, dtype=np.uint8) | digits[:, 1::2]
        return cls(lp_ids, layouts, lp, layout, device, counts, uuids, kind, events, fixed)


def _refuse(bad: Flags) -> None:
    if bad.any():
        raise _OddRowsError(np.flatnonzero(bad).tolist())


def _coded(words: list[Word], read: Callable[[Word], Read]) -> tuple[list[Read], Ints]:
    """The different words, each read once, and of every word its place among them; -1 where it cannot be read."""
    found: list[Read] = []
    codes: dict[Word, int] = {}
    for word in dict.fromkeys(words):
        try:
            value = read(word)
        except BROKEN:
            codes[word] = -1
        else:
            codes[word] = len(found)
            found.append(value)
    return found, np.fromiter((codes[word] for word in words), np.int64, len(words))


def _lp_id_of(text: str) -> str:
    if not _lp_id.match(text):
        raise ValueError("lp_id")
    return text


def _layout_of(text: bytes) -> Layout:
    return tuple(_sections.decode(text))


def _integers(arrays: list[bytes], total: int) -> Ints | None:
    """The integers of JSON arrays, end to end; None unless all are flat arrays of integers, `total` together."""
    text = b"[" + b",".join(arrays) + b"]"
    try:
        # a buffer comes flattened: a bracket too many is a nested array
        document: Any = simdjson.Parser().parse(text)
        found = np.frombuffer(document.as_buffer(of_type="i"), np.int64)
    except BROKEN:
        return None
    return found if len(found) == total and text.count(b"[") == len(arrays) + 1 else None


def _odd_rows(arrays: list[bytes], counts: Ints) -> list[int]:
    return [row for row, array in enumerate(arrays) if _integers([array], int(counts[row])) is None]


def _ascii(texts: Sequence[str]) -> Bytes:
    """One byte per character of all the texts; what is not ASCII becomes a question mark."""
    return np.frombuffer("".join(texts).encode("ascii", "replace"), np.uint8)


def _uuid_digits(pageview_ids: Sequence[str]) -> tuple[Bytes, Flags]:
    """Values of the 32 digits of each (NO_CODE where there is none), and where hyphens are out of place."""
    characters = _ascii(pageview_ids).reshape(-1, UUID_CHARACTERS)
    return _hex_table[characters[:, _hex_places]], (characters[:, HYPHENS] != ord("-")).any(axis=1)


def _bad_events(kind: Bytes, dt: Ints, x: Ints, y: Ints, dwell: Ints) -> list[Flags]:
    """Masks of events out of range; none at all in an ordinary slice, whose extremes are looked at only."""
    if not len(kind):
        return []
    masks = [kind == NO_CODE] if kind.max() == NO_CODE else []
    bounds = ((dt, 0, INT32_MAX), (dwell, 0, INT32_MAX), (x, -INT53_MAX, INT53_MAX), (y, -INT53_MAX, INT53_MAX))
    masks += [
        (column < low) | (column > high) for column, low, high in bounds if column.min() < low or column.max() > high
    ]
    return masks


def _fixed(indices: list[list[int]], counts: Ints, bad: Flags) -> npt.NDArray[np.bool_]:
    """Which events are in viewport pixels; beacons that name an event they lack become bad."""
    starts = np.cumsum(counts) - counts
    flags = np.zeros(int(counts.sum()), dtype=np.bool_)
    for row, named in enumerate(indices):
        if named:
            if max(named) < counts[row]:
                flags[starts[row] + np.array(named)] = True
            else:
                bad[row] = True
    return flags


def _decoded(read: _Read, wide: _Wide, timestamps: Ints) -> Decoded:
    positions = np.array(read.positions, dtype=np.int64)
    heads = {name: np.fromiter(map(attrgetter(name), read.heads), np.int64, len(positions)) for name in HEAD_COLUMNS}
    counts, dt = wide.counts, wide.events["dt"]
    t0, seq = heads.pop("t0"), heads.pop("seq")
    last = t0 + np.maximum.reduceat(dt, np.cumsum(counts) - counts) if len(t0) else t0
    shift, skewed = clock_shift(last, timestamps[positions])
    t0 = t0 + shift
    columns = BeaconColumns(
        lp_ids=wide.lp_ids,
        layouts=wide.layouts,
        lp=wide.lp,
        device=wide.device,
        opens=seq == 0,
        **heads,
        t0=t0,
        counts=counts,
        layout=wide.layout,
        kind=wide.kind,
        time=np.repeat(t0, counts) + dt,
        x=wide.events["x"],
        y=wide.events["y"],
        dwell=wide.events["dwell"],
        fixed=wide.fixed,
    )
    return Decoded(columns, _identities(wide.uuids, seq), positions, read.rejected, int(skewed.sum()))


def _identities(uuids: Bytes, seq: Ints) -> list[bytes]:
    joined = np.ascontiguousarray(np.hstack([uuids, seq.astype(">u4").view(np.uint8).reshape(-1, 4)]))
    return list(joined.view("V20").ravel().tolist())
