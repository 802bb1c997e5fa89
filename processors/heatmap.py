"""Beacons from bytes to columns, a slice at a time.

The fast path takes a beacon's arrays as int64 buffers out of simdjson, and checks ranges for the whole slice at
once. It accepts less than `schemas.heatmap` and never more: what it does not like is decoded again, alone and
strictly, which either accepts the beacon or says what is wrong with it.
"""

import re
import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import simdjson

from processors.columns import DEVICE_CODES, KIND_CODES, BeaconColumns, Layout
from processors.fold import TABLES, Fold
from processors.windows import Flags, Ints, clock_shift
from schemas.codec import to_beacon
from schemas.errors import DecodeError
from schemas.heatmap import INT32_MAX, INT53_MAX, LP_ID_PATTERN, MAX_EVENTS, MAX_SECTIONS, SCHEMA_VERSION, Beacon

__all__ = ["TABLES", "BeaconColumns", "Decoded", "Fold", "Rejected", "decode"]

Bytes = npt.NDArray[np.uint8]

REQUIRED_KEYS = 16
OPTIONAL_KEYS = ("fixed", "sections", "rate")
MAX_NAME = 64
EVENT_ARRAYS = 4
UUID_CHARACTERS = 36
HYPHENS = [8, 13, 18, 23]
NO_CODE = 255
OPENING_BRACE = ord("{")
BROKEN = (AttributeError, KeyError, TypeError, ValueError, RuntimeError, OverflowError, struct.error)

_lp_id = re.compile(LP_ID_PATTERN.replace("$", r"\Z"))
# 32 bits refuse by themselves what is over INT32_MAX
_numbers = struct.Struct("=7iq")
_numbers_dtype = np.dtype(
    [(name, np.int32) for name in ("schema", "seq", "viewport_w", "viewport_h", "page_w", "page_h", "depth")]
    + [("t0", np.int64)]
)


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


# one beacon on its way into columns: an entry of each of _Rows' columns, in their order
_Row = tuple[Any, ...]


class _Rows(NamedTuple):
    """Rows, transposed; an entry of `numbers` is packed."""

    position: Sequence[int] = ()
    lp: Sequence[int] = ()
    device: Sequence[int] = ()
    numbers: Sequence[bytes] = ()
    pageview_id: Sequence[str] = ()
    letters: Sequence[str] = ()
    fixed_count: Sequence[int] = ()
    layout: Sequence[int] = ()


@dataclass(slots=True)
class _Slice:
    """The rows of a slice, their arrays end to end (int64), and the lp_ids and layouts that they share."""

    rows: list[_Row] = field(default_factory=list)
    dt: bytearray = field(default_factory=bytearray)
    x: bytearray = field(default_factory=bytearray)
    y: bytearray = field(default_factory=bytearray)
    dwell: bytearray = field(default_factory=bytearray)
    fixed: bytearray = field(default_factory=bytearray)
    rejected: list[Rejected] = field(default_factory=list)
    lp_codes: dict[str, int] = field(default_factory=dict)
    layout_codes: dict[Layout, int] = field(default_factory=lambda: {(): 0})
    known_layouts: dict[bytes, tuple[int, int]] = field(default_factory=dict)

    def extend(self, dt: Any, x: Any, y: Any, dwell: Any, fixed: Any) -> None:
        """Append a beacon's buffers while they are still in the processor's cache."""
        self.dt += dt
        self.x += x
        self.y += y
        self.dwell += dwell
        self.fixed += fixed

    def new_lp(self, lp_id: str) -> int:
        """Code of an lp_id not seen yet; ValueError when it is none."""
        if not _lp_id.match(lp_id):
            raise ValueError("lp_id")
        return self.lp_codes.setdefault(lp_id, len(self.lp_codes))

    def layout(self, layout: Layout) -> int:
        """Code of a checked layout."""
        return self.layout_codes.setdefault(layout, len(self.layout_codes))

    def layout_of(self, sections: Any) -> tuple[int, int]:
        """Code and number of sections of a simdjson array; ValueError or TypeError when they are not as agreed."""
        raw = sections.mini
        known = self.known_layouts.get(raw)
        if known is None:
            layout = tuple(_section(*entry) for entry in sections.as_list())
            if len(layout) > MAX_SECTIONS:
                raise ValueError("sections")
            known = self.known_layouts[raw] = (self.layout(layout), len(layout))
        return known


def _section(name: Any, top: Any, bottom: Any) -> tuple[str, int, int]:
    if type(name) is not str or type(top) is not int or type(bottom) is not int:
        raise TypeError("sections")
    if not 0 < len(name) <= MAX_NAME or max(abs(top), abs(bottom)) > INT53_MAX:
        raise ValueError("sections")
    return name, top, bottom


def decode(values: Sequence[bytes], timestamps_ms: npt.NDArray[np.int64] | Sequence[int]) -> Decoded:
    """Columns of a slice's records; never raises for what a record holds.

    `timestamps_ms` are the records' own, as many as the values. Empty values are ticks and are skipped.
    """
    part = _gather(values, ())
    wide = _Wide.of(part)
    if wide.bad.any():
        alone = {wide.rows.position[index] for index in np.flatnonzero(wide.bad).tolist()}
        part = _gather(values, alone)
        wide = _Wide.of(part)
    return _decoded(part, wide, np.asarray(timestamps_ms, dtype=np.int64))


def _gather(values: Sequence[bytes], alone: Collection[int]) -> _Slice:
    """Rows of all records; those at the positions of `alone`, and what the fast path refuses, go the strict way."""
    part = _Slice()
    parse = simdjson.Parser().parse
    for position, value in enumerate(values):
        if not value:
            continue
        row = None if position in alone else _fast_row(part, position, value, parse)
        if row is None:
            row = _strict_row(part, position, value)
        if row is not None:
            part.rows.append(row)
    return part


def _fast_row(part: _Slice, position: int, value: bytes, parse: Any) -> _Row | None:
    # simdjson skips a byte order mark and strict JSON has none: an object must open the record
    if value[0] != OPENING_BRACE:
        return None
    try:
        return _row_of_document(part, position, value, parse(value))
    except BROKEN:
        return None


def _row_of_document(part: _Slice, position: int, value: bytes, document: Any) -> _Row:
    """Raises one of BROKEN for anything out of the ordinary.

    The parser cannot be used again while a proxy of the document lives, so none may leave this call.
    """
    lp_id = document["lp_id"]
    lp = part.lp_codes.get(lp_id)
    if lp is None:
        lp = part.new_lp(lp_id)
    numbers = _packed(document)
    device = DEVICE_CODES[document["device"]]
    pageview_id = document["pageview_id"]
    letters = document["type"]
    dt = document["dt"].as_buffer(of_type="i")
    x = document["x"].as_buffer(of_type="i")
    y = document["y"].as_buffer(of_type="i")
    dwell = document["dwell"].as_buffer(of_type="i")
    events = len(letters)
    if not dt.size == x.size == y.size == dwell.size == 8 * events or not 0 < events <= MAX_EVENTS:
        raise ValueError("type")
    if not type(letters) is type(pageview_id) is str or len(pageview_id) != UUID_CHARACTERS:
        raise ValueError("pageview_id")
    fixed, fixed_count, layout, brackets = _options(part, document)
    # buffers come flattened: a bracket too many may be a nested array (or stand in a name: then strictly as well)
    if value.count(b"[") != EVENT_ARRAYS + brackets:
        raise ValueError("nested")
    # last, when nothing can fail any more
    part.extend(dt, x, y, dwell, fixed)
    return position, lp, device, numbers, pageview_id, letters, fixed_count, layout


def _packed(document: Any) -> bytes:
    schema, seq, depth, t0 = document["schema"], document["seq"], document["depth"], document["t0"]
    viewport_w, viewport_h = document["viewport_w"], document["viewport_h"]
    page_w, page_h = document["page_w"], document["page_h"]
    # true and 1.0 would pass for integers further on
    if not (type(schema) is type(seq) is type(depth) is type(t0) is int):
        raise TypeError("numbers")
    if not (type(viewport_w) is type(viewport_h) is type(page_w) is type(page_h) is int):
        raise TypeError("sizes")
    return _numbers.pack(schema, seq, viewport_w, viewport_h, page_w, page_h, depth, t0)


def _options(part: _Slice, document: Any) -> tuple[Any, int, int, int]:
    """Indices in `fixed` (buffer and number), code of the layout, and how many brackets the options open.

    Raises ValueError where keys are unknown or doubled: simdjson takes the first of two, the contract the last.
    """
    extra = len(document) - REQUIRED_KEYS
    if extra == 0:
        return b"", 0, 0, 0
    # asking for a key that is absent costs as much as ten that are present
    present = OPTIONAL_KEYS if extra == len(OPTIONAL_KEYS) else set(document.keys()).intersection(OPTIONAL_KEYS)
    if len(present) != extra:
        raise ValueError("keys")
    fixed, fixed_count, layout, brackets = b"", 0, 0, 0
    if "fixed" in present:
        fixed = document["fixed"].as_buffer(of_type="i")
        fixed_count, brackets = fixed.size // 8, 1
    if "sections" in present:
        layout, sections = part.layout_of(document["sections"])
        brackets += 1 + sections
    if "rate" in present:
        rate = document["rate"]
        if type(rate) not in (float, int) or not 0 < rate <= 1:
            raise ValueError("rate")
    return fixed, fixed_count, layout, brackets


def _strict_row(part: _Slice, position: int, value: bytes) -> _Row | None:
    try:
        beacon = to_beacon(value)
    except DecodeError as error:
        part.rejected.append(Rejected(position, error.field, error.detail))
        return None
    except UnicodeDecodeError as error:
        part.rejected.append(Rejected(position, "", f"is no UTF-8: {error.reason}"))
        return None
    return _row_of_beacon(part, position, beacon)


def _row_of_beacon(part: _Slice, position: int, beacon: Beacon) -> _Row:
    lp = part.lp_codes.setdefault(beacon.lp_id, len(part.lp_codes))
    sizes = beacon.viewport_w, beacon.viewport_h, beacon.page_w, beacon.page_h
    numbers = _numbers.pack(beacon.schema, beacon.seq, *sizes, beacon.depth, beacon.t0)
    dt, x, y, dwell, fixed = (
        np.array(column, dtype=np.int64).tobytes()
        for column in (beacon.dt, beacon.x, beacon.y, beacon.dwell, beacon.fixed)
    )
    part.extend(dt, x, y, dwell, fixed)
    layout = part.layout(tuple(beacon.sections))
    device = DEVICE_CODES[beacon.device]
    return position, lp, device, numbers, beacon.pageview_id, beacon.type, len(beacon.fixed), layout


@dataclass(slots=True)
class _Wide:
    """Rows side by side in arrays, and which of them (`bad`) break a range that the schema gives."""

    rows: _Rows
    counts: Ints
    heads: npt.NDArray[np.void]
    uuids: Bytes
    kind: Bytes
    dt: Ints
    x: Ints
    y: Ints
    dwell: Ints
    fixed: npt.NDArray[np.bool_]
    bad: Flags

    @classmethod
    def of(cls, part: _Slice) -> "_Wide":
        """Arrays of the rows, checked."""
        columns = _Rows(*zip(*part.rows, strict=True))
        counts = np.fromiter(map(len, columns.letters), np.int64, len(part.rows))
        heads = np.frombuffer(b"".join(columns.numbers), _numbers_dtype)
        digits, hyphens = _uuid_digits(columns.pageview_id)
        dt, x, y, dwell = (np.frombuffer(column, np.int64) for column in (part.dt, part.x, part.y, part.dwell))
        kind = _kind_table[_ascii(columns.letters)]
        bad = _bad_heads(heads) | hyphens | (digits == NO_CODE).any(axis=1)
        for flags in _bad_events(kind, dt, x, y, dwell):
            bad |= np.logical_or.reduceat(flags, np.cumsum(counts) - counts)
        fixed = _fixed(np.frombuffer(part.fixed, np.int64), columns.fixed_count, counts, bad)
        uuids: Bytes = np.left_shift(digits[:, ::2], 4, dtype=np.uint8) | digits[:, 1::2]
        return cls(columns, counts, heads, uuids, kind, dt, x, y, dwell, fixed, bad)


def _ascii(texts: Sequence[str]) -> Bytes:
    """One byte per character of all the texts; what is not ASCII becomes a question mark."""
    return np.frombuffer("".join(texts).encode("ascii", "replace"), np.uint8)


def _uuid_digits(pageview_ids: Sequence[str]) -> tuple[Bytes, Flags]:
    """Values of the 32 digits of each (NO_CODE where there is none), and where hyphens are out of place."""
    characters = _ascii(pageview_ids).reshape(-1, UUID_CHARACTERS)
    return _hex_table[characters[:, _hex_places]], (characters[:, HYPHENS] != ord("-")).any(axis=1)


def _bad_heads(heads: npt.NDArray[np.void]) -> Flags:
    bad = (heads["schema"] != SCHEMA_VERSION) | (heads["seq"] < 0) | (heads["depth"] < 0)
    bad |= (heads["t0"] < 0) | (heads["t0"] > INT53_MAX)
    for name in ("viewport_w", "viewport_h", "page_w", "page_h"):
        bad |= heads[name] < 1
    flags: Flags = bad
    return flags


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


def _fixed(indices: Ints, per_beacon: Sequence[int], counts: Ints, bad: Flags) -> npt.NDArray[np.bool_]:
    """Which events are in viewport pixels; beacons that name an event they lack become bad."""
    flags = np.zeros(int(counts.sum()), dtype=np.bool_)
    if len(indices):
        owners = np.repeat(np.arange(len(counts)), per_beacon)
        outside = (indices < 0) | (indices >= counts[owners])
        bad[owners[outside]] = True
        flags[((np.cumsum(counts) - counts)[owners] + indices)[~outside]] = True
    return flags


def _decoded(part: _Slice, wide: _Wide, timestamps: Ints) -> Decoded:
    positions = np.array(wide.rows.position, dtype=np.int64)
    heads = wide.heads
    t0: Ints = heads["t0"]
    last = t0 + np.maximum.reduceat(wide.dt, np.cumsum(wide.counts) - wide.counts) if len(t0) else t0
    shift, skewed = clock_shift(last, timestamps[positions])
    t0 = t0 + shift
    wider = {name: heads[name].astype(np.int64) for name in ("viewport_w", "viewport_h", "page_w", "page_h", "depth")}
    columns = BeaconColumns(
        lp_ids=list(part.lp_codes),
        layouts=list(part.layout_codes),
        lp=np.array(wide.rows.lp, dtype=np.int64),
        device=np.array(wide.rows.device, dtype=np.int64),
        opens=heads["seq"] == 0,
        **wider,
        t0=t0,
        counts=wide.counts,
        layout=np.array(wide.rows.layout, dtype=np.int64),
        kind=wide.kind,
        time=np.repeat(t0, wide.counts) + wide.dt,
        x=wide.x,
        y=wide.y,
        dwell=wide.dwell,
        fixed=wide.fixed,
    )
    return Decoded(columns, _identities(wide), positions, part.rejected, int(skewed.sum()))


def _identities(wide: _Wide) -> list[bytes]:
    seq = wide.heads["seq"].astype(">u4").view(np.uint8).reshape(-1, 4)
    joined = np.ascontiguousarray(np.hstack([wide.uuids, seq]))
    return list(joined.view("V20").ravel().tolist())
