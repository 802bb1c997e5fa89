"""Beacons from bytes to columns, a slice at a time.

The fast path has msgspec read what a beacon has once, and leaves its arrays as they are posted; the arrays of all
beacons, joined to one JSON document a column, become int64 buffers by simdjson without a Python number. Ranges are
checked for the whole slice at once. It accepts less than `schemas.heatmap` and never more: what it does not like is
decoded again, alone and strictly, which either accepts the beacon or says what is wrong with it.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Annotated, Any, Literal

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
    Beacon,
    Count,
    Millis,
    Pixel,
    SectionName,
    Size,
)

__all__ = ["TABLES", "BeaconColumns", "Decoded", "Fold", "Rejected", "decode"]

Bytes = npt.NDArray[np.uint8]

UUID_CHARACTERS = 36
HYPHENS = [8, 13, 18, 23]
NO_CODE = 255
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


@dataclass(slots=True)
class _Slice:
    """Beacons of a slice side by side: their heads, their arrays as JSON text, and what they share."""

    positions: list[int] = field(default_factory=list)
    heads: list[Any] = field(default_factory=list)
    lps: list[int] = field(default_factory=list)
    layouts: list[int] = field(default_factory=list)
    dt: list[bytes] = field(default_factory=list)
    x: list[bytes] = field(default_factory=list)
    y: list[bytes] = field(default_factory=list)
    dwell: list[bytes] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    lp_codes: dict[str, int] = field(default_factory=dict)
    layout_codes: dict[Layout, int] = field(default_factory=lambda: {(): 0})
    known_layouts: dict[bytes, int] = field(default_factory=dict)

    def take(self, position: int, head: Any) -> None:
        """Append a beacon of the fast path; one of BROKEN for anything out of the ordinary, and nothing is appended."""
        lp = self.lp_codes.get(head.lp_id)
        if lp is None:
            lp = self._new_lp(head.lp_id)
        commas = len(head.type) - 1
        dt, x, y, dwell = bytes(head.dt), bytes(head.x), bytes(head.y), bytes(head.dwell)
        # arrays hold nothing but integers, as simdjson will find: then commas tell how many
        if not dt.count(b",") == x.count(b",") == y.count(b",") == dwell.count(b",") == commas < MAX_EVENTS:
            raise ValueError("type")
        if len(head.pageview_id) != UUID_CHARACTERS:
            raise ValueError("pageview_id")
        raw = bytes(head.sections)
        layout = self.known_layouts.get(raw)
        if layout is None:
            layout = self.known_layouts[raw] = self._layout(tuple(_sections.decode(raw)))
        self._append(position, head, lp, layout, (dt, x, y, dwell))

    def take_strict(self, position: int, beacon: Beacon) -> None:
        """Append a checked beacon."""
        lp = self.lp_codes.setdefault(beacon.lp_id, len(self.lp_codes))
        arrays = tuple(msgspec.json.encode(getattr(beacon, name)) for name in EVENT_COLUMNS)
        self._append(position, beacon, lp, self._layout(tuple(beacon.sections)), arrays)

    def _append(self, position: int, head: Any, lp: int, layout: int, arrays: tuple[bytes, ...]) -> None:
        self.positions.append(position)
        self.heads.append(head)
        self.lps.append(lp)
        self.layouts.append(layout)
        dt, x, y, dwell = arrays
        self.dt.append(dt)
        self.x.append(x)
        self.y.append(y)
        self.dwell.append(dwell)

    def _new_lp(self, lp_id: str) -> int:
        if not _lp_id.match(lp_id):
            raise ValueError("lp_id")
        return self.lp_codes.setdefault(lp_id, len(self.lp_codes))

    def _layout(self, layout: Layout) -> int:
        return self.layout_codes.setdefault(layout, len(self.layout_codes))


def decode(values: Sequence[bytes], timestamps_ms: npt.NDArray[np.int64] | Sequence[int]) -> Decoded:
    """Columns of a slice's records; never raises for what a record holds.

    `timestamps_ms` are the records' own, as many as the values. Empty values are ticks and are skipped.
    """
    part = _gather(values, ())
    wide = _Wide.of(part)
    if wide.odd:
        part = _gather(values, {part.positions[row] for row in wide.odd})
        wide = _Wide.of(part)
    return _decoded(part, wide, np.asarray(timestamps_ms, dtype=np.int64))


def _gather(values: Sequence[bytes], alone: Collection[int]) -> _Slice:
    """All records' beacons; those at the positions of `alone`, and what the fast path refuses, go the strict way."""
    part = _Slice()
    light, take = _light.decode, part.take
    for position, value in enumerate(values):
        if not value:
            continue
        if position not in alone:
            try:
                take(position, light(value))
            except BROKEN:
                _strict(part, position, value)
        else:
            _strict(part, position, value)
    return part


def _strict(part: _Slice, position: int, value: bytes) -> None:
    try:
        part.take_strict(position, to_beacon(value))
    except DecodeError as error:
        part.rejected.append(Rejected(position, error.field, error.detail))


@dataclass(slots=True)
class _Wide:
    """A slice in arrays. `odd` are the rows that break what the schema says; then the arrays are not to be used."""

    part: _Slice
    counts: Ints
    uuids: Bytes
    kind: Bytes
    events: dict[str, Ints]
    fixed: npt.NDArray[np.bool_]
    odd: list[int]

    @classmethod
    def of(cls, part: _Slice) -> "_Wide":
        """Arrays of the rows, checked."""
        letters = [head.type for head in part.heads]
        counts = np.fromiter(map(len, letters), np.int64, len(letters))
        total = int(counts.sum())
        read = {name: _integers(getattr(part, name), total) for name in EVENT_COLUMNS}
        events = {name: column for name, column in read.items() if column is not None}
        if unread := read.keys() - events.keys():
            return cls._unread(part, [row for name in unread for row in _odd_rows(getattr(part, name), counts)])
        digits, hyphens = _uuid_digits([head.pageview_id for head in part.heads])
        device = [head.device in DEVICE_CODES for head in part.heads]
        kind = _kind_table[_ascii(letters)]
        bad = hyphens | (digits == NO_CODE).any(axis=1) | ~np.array(device, dtype=np.bool_)
        for flags in _bad_events(kind, *(events[name] for name in EVENT_COLUMNS)):
            bad |= np.logical_or.reduceat(flags, np.cumsum(counts) - counts)
        fixed = _fixed([head.fixed for head in part.heads], counts, bad)
        uuids: Bytes = np.left_shift(digits[:, ::2], 4, dtype=np.uint8) | digits[:, 1::2]
        return cls(part, counts, uuids, kind, events, fixed, np.flatnonzero(bad).tolist())

    @classmethod
    def _unread(cls, part: _Slice, odd: list[int]) -> "_Wide":
        nothing = np.empty(0, dtype=np.int64)
        return cls(part, nothing, nothing.astype(np.uint8), nothing.astype(np.uint8), {}, nothing.astype(bool), odd)


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


def _decoded(part: _Slice, wide: _Wide, timestamps: Ints) -> Decoded:
    positions = np.array(part.positions, dtype=np.int64)
    heads = {name: _column(part, name) for name in HEAD_COLUMNS}
    counts, dt = wide.counts, wide.events["dt"]
    t0 = heads.pop("t0")
    last = t0 + np.maximum.reduceat(dt, np.cumsum(counts) - counts) if len(t0) else t0
    shift, skewed = clock_shift(last, timestamps[positions])
    t0 = t0 + shift
    seq = heads.pop("seq")
    columns = BeaconColumns(
        lp_ids=list(part.lp_codes),
        layouts=list(part.layout_codes),
        lp=np.array(part.lps, dtype=np.int64),
        device=np.array([DEVICE_CODES[head.device] for head in part.heads], dtype=np.int64),
        opens=seq == 0,
        **heads,
        t0=t0,
        counts=counts,
        layout=np.array(part.layouts, dtype=np.int64),
        kind=wide.kind,
        time=np.repeat(t0, counts) + dt,
        x=wide.events["x"],
        y=wide.events["y"],
        dwell=wide.events["dwell"],
        fixed=wide.fixed,
    )
    return Decoded(columns, _identities(wide.uuids, seq), positions, part.rejected, int(skewed.sum()))


HEAD_COLUMNS = ("seq", "t0", "viewport_w", "viewport_h", "page_w", "page_h", "depth")


def _column(part: _Slice, name: str) -> Ints:
    return np.fromiter(map(attrgetter(name), part.heads), np.int64, len(part.heads))


def _identities(uuids: Bytes, seq: Ints) -> list[bytes]:
    joined = np.ascontiguousarray(np.hstack([uuids, seq.astype(">u4").view(np.uint8).reshape(-1, 4)]))
    return list(joined.view("V20").ravel().tolist())
