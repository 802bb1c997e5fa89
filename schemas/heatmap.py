"""The heatmap beacon: a record that carries many events of one pageview, in columns."""

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from schemas.errors import DecodeError, TooMuchError
from schemas.json_text import whole_characters

TOPIC = "heatmap.events"
GROUP = "lpstream-heatmap"  # consumer group of the workers
MAX_EVENTS = 500
MAX_SECTIONS = 30
# Bounds of the work that one beacon causes. The snippet posts every 5 s, but a paused browser (a laptop asleep, a busy
# page) may post late. The snippet ends a beacon and a rest at the same bounds.
MAX_SPAN_MS = 300_000
# a view or a rest may begin before the beacon's first event
MAX_EARLIER_MS = 60_000
# windows of 5 s that have events: twelve for a minute, and one more because a minute may begin inside a window
MAX_WINDOWS = 13
# windows times (bands and sections of the page), plus entries of `elements`
MAX_ROWS = 4_000
WINDOW_MS = 5_000
# A browser's clock may be this fast. Beyond that the worker corrects the times of its beacons.
LATE_LIMIT_MS = 5 * 60 * 1000
BAND_PX = 100
MAX_PAGE_H = 65_536
INT32_MAX = 2**31 - 1
INT53_MAX = 2**53 - 1
# sampling at a smaller rate is counted as this rate
LEAST_RATE = 0.001

Device = Literal["mobile", "tablet", "desktop"]
DEVICES: tuple[Device, ...] = ("mobile", "tablet", "desktop")


class Kind(StrEnum):
    """The kinds of events, by the full names that ClickHouse stores."""

    CLICK = "click"
    RAGE_CLICK = "rage_click"
    DEAD_CLICK = "dead_click"
    MOVE = "move"
    SCROLL = "scroll"
    GOAL = "goal"
    GOAL_FORM = "goal_form"
    GOAL_MAIL = "goal_mail"
    GOAL_OUTBOUND = "goal_outbound"
    GOAL_TEL = "goal_tel"
    CONVERSION = "conversion"


KIND_BY_LETTER = {
    "c": Kind.CLICK,
    "r": Kind.RAGE_CLICK,
    "d": Kind.DEAD_CLICK,
    "m": Kind.MOVE,
    "s": Kind.SCROLL,
    "g": Kind.GOAL,
    "f": Kind.GOAL_FORM,
    "e": Kind.GOAL_MAIL,
    "o": Kind.GOAL_OUTBOUND,
    "t": Kind.GOAL_TEL,
    "v": Kind.CONVERSION,
}

CLICK_LETTERS = "crd"

LP_ID_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$"
UUID_PATTERN = r"^[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}$"

# msgspec searches, so `$` would let a trailing newline through; \Z does not.
LpId = Annotated[str, Meta(pattern=LP_ID_PATTERN.replace("$", r"\Z"))]
PageviewId = Annotated[str, Meta(pattern=UUID_PATTERN.replace("$", r"\Z"))]
Count = Annotated[int, Meta(ge=0, le=INT32_MAX)]
Size = Annotated[int, Meta(ge=1, le=INT32_MAX)]
Millis = Annotated[int, Meta(ge=0, le=INT53_MAX)]
Pixel = Annotated[int, Meta(ge=-INT53_MAX, le=INT53_MAX)]
Letters = Annotated[str, Meta(min_length=1, max_length=MAX_EVENTS, pattern=r"^[crdmsgfeotv]+\Z")]
SectionName = Annotated[str, Meta(min_length=1, max_length=64)]
ElementName = Annotated[str, Meta(min_length=1, max_length=64)]
# for each click, the name of the element that it hit, or the number of an earlier click on the same element
ElementNames = Annotated[list[ElementName | Annotated[int, Meta(ge=0, lt=MAX_EVENTS)]], Meta(max_length=MAX_EVENTS)]


class Beacon(Struct, frozen=True, kw_only=True):
    """A beacon, checked by type and range. `decode_beacon` checks that its fields agree.

    Pixels are CSS pixels, times are milliseconds (UTC). `dt`, `x`, `y`, `dwell` are as long as `type`. `new_sections`
    names the sections that the pageview reached for the first time; without it, the depth decides. `elements` has an
    entry for each click (c, r, d).
    """

    schema: Literal[1]
    lp_id: LpId
    pageview_id: PageviewId
    seq: Count
    device: Device
    viewport_w: Size
    viewport_h: Size
    page_w: Size
    page_h: Size
    t0: Millis
    depth: Count
    type: Letters
    dt: list[Count]
    x: list[Pixel]
    y: list[Pixel]
    dwell: list[Count]
    fixed: list[Count] = []
    sections: Annotated[list[tuple[SectionName, Pixel, Pixel]], Meta(max_length=MAX_SECTIONS)] = []
    new_sections: Annotated[list[SectionName], Meta(max_length=MAX_SECTIONS)] | UnsetType = UNSET
    rate: Annotated[float, Meta(gt=0, le=1)] = 1.0
    elements: ElementNames | UnsetType = UNSET


_decoder = msgspec.json.Decoder(Beacon)
_field_in_message = re.compile(r"`\$\.?([^`]*)`")


def _decode_error(error: msgspec.ValidationError) -> DecodeError:
    text = str(error)
    path = _field_in_message.search(text)
    missing = re.search(r"missing required field `([^`]+)`", text)
    field = missing.group(1) if missing else (path.group(1) if path else "")
    return DecodeError(field, text.split(" - at `")[0])


def check_beacon(beacon: Beacon) -> Beacon:
    """Return the beacon; raise DecodeError with the field that disagrees with another one."""
    events = len(beacon.type)
    for name in ("dt", "x", "y", "dwell"):
        if (length := len(getattr(beacon, name))) != events:
            raise DecodeError(name, f"has {length} entries, `type` has {events} events: give one entry per event")
    if beacon.fixed:
        _check_fixed(beacon.fixed, events)
    span_ms = max(beacon.dt)
    if span_ms > MAX_SPAN_MS:
        raise TooMuchError("dt", f"spans {span_ms} ms, at most {MAX_SPAN_MS} are allowed: post beacons more often")
    if (longest := max(beacon.dwell)) > span_ms + MAX_EARLIER_MS:
        limit = span_ms + MAX_EARLIER_MS
        raise TooMuchError("dwell", f"has {longest} ms, at most {limit} (the span of `dt` plus a minute) are allowed")
    first_ms = min(beacon.dt)
    # A beacon may begin anywhere in a window, so each of its 5 s stretches may overlap two windows.
    windows = (span_ms - first_ms) // WINDOW_MS + 2
    if windows > 3:  # up to 3, every stretch has an event
        windows = min(2 * len({(dt - first_ms) // WINDOW_MS for dt in beacon.dt}), windows)
    if windows > MAX_WINDOWS:
        raise TooMuchError("dt", f"has events in {windows} windows of 5 s, at most {MAX_WINDOWS}: post more often")
    sections = len(beacon.sections)
    if beacon.new_sections:
        sections += len(set(beacon.new_sections) - {name for name, _, _ in beacon.sections})
    clicks = _check_elements(beacon)
    rows = windows * (-(-min(beacon.page_h, MAX_PAGE_H) // BAND_PX) + sections) + clicks
    if rows > MAX_ROWS:
        raise TooMuchError(
            "dt", f"makes {rows} rows (windows x bands and sections, elements), at most {MAX_ROWS}: post more often"
        )
    return beacon


def _check_fixed(fixed: list[int], events: int) -> None:
    """Raise DecodeError unless `fixed` names events, each at most once."""
    if len(fixed) > events:
        raise TooMuchError("fixed", f"names {len(fixed)} events, `type` has {events} events")
    if max(fixed) >= events:
        raise DecodeError("fixed", f"names event {max(fixed)}, `type` has {events} events: count from 0")
    if len(set(fixed)) < len(fixed):
        raise TooMuchError("fixed", "names an event twice: name each once")


def _check_elements(beacon: Beacon) -> int:
    """Return the number of named clicks; raise DecodeError if `elements` does not fit the clicks."""
    if beacon.elements is UNSET:
        return 0
    clicks = sum(map(beacon.type.count, CLICK_LETTERS))
    if len(beacon.elements) != clicks:
        detail = (
            f"has {len(beacon.elements)} entries, `type` has {clicks} clicks: give one entry per click, or no field"
        )
        raise DecodeError("elements", detail)
    element_names(beacon.elements)
    return clicks


def element_names(elements: Sequence[str | int]) -> list[str]:
    """Return each click's element; raise DecodeError if a number does not name an earlier click."""
    names: list[str] = []
    for entry in elements:
        if isinstance(entry, int) and entry >= len(names):
            detail = f"refers to click {entry} from click {len(names)}: refer to an earlier click, counted from 0"
            raise DecodeError("elements", detail)
        names.append(names[entry] if isinstance(entry, int) else entry)
    return names


def decode_beacon(data: bytes) -> Beacon:
    """Return the checked Beacon of JSON bytes. DecodeError names the wrong field."""
    try:
        return check_beacon(_decoder.decode(data))
    except msgspec.ValidationError as error:
        raise _decode_error(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if (whole := whole_characters(data)) != data:
            return decode_beacon(whole)
        raise DecodeError("", f"is not a JSON document: {error}") from error


def beacon_from_object(value: object) -> Beacon:
    """Return the checked Beacon of decoded JSON or Avro (a dict); raise DecodeError with the bad field."""
    try:
        return check_beacon(msgspec.convert(value, Beacon))
    except msgspec.ValidationError as error:
        raise _decode_error(error) from error


def encode_beacon(beacon: Beacon) -> bytes:
    """Return the beacon as JSON bytes, in the format that the snippet posts."""
    return msgspec.json.encode(beacon)
