"""The counts of a page that findings are made of: arrays over stretches of time, for each device."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from processors.findings.estimates import Floats
from processors.pictures.heat import BAND_H, CELL_COLUMNS, CELL_H, Ints

Flags = npt.NDArray[np.bool_]
STRETCHES = 64
ROWS = 4_096
# A place is a sixth of the width by 176 px or more: a button, at the heights where screens of several widths have it.
# Narrow screens need more lines, so the heights differ by a part of the depth.
HALF_COLUMNS, HALF_ROWS, OF_DEPTH = 10, 5, 0.04
AROUND_ROWS = 40
# Places with fewer events cannot become a finding, so they are not looked at (Tarone 1990).
LEAST_EVENTS = 10
MOST_PLACES, MOST_TRIES = 12, 100
CLICK_KINDS = ("click", "dead_click", "rage_click")
SPOT_KINDS = (*CLICK_KINDS, "move")
CLEARLY = 2  # an element is named if it explains so many times the clicks that the next one explains
USED = [0, 2]  # clicks on things that do something
# fixed targets in a corner are chat windows and links to the top, not calls to action
CORNER_X, CORNER_Y = 0.25, 0.75


@dataclass(frozen=True, slots=True)
class Layout:
    """The known parts of a page: sections in order, those with a call to action, other calls.

    `top` is a call in the page's head, `bar` one that stays on screen on phones and tablets. `links` has the names of
    elements that do something. `tel` has the sections with links to a telephone number, `tel_alone` those without
    another call. Without `known` everything is inferred from the counts.
    """

    known: bool = False
    sections: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()
    top: bool = False
    bar: bool = False
    links: frozenset[str] = frozenset()
    tel: frozenset[str] = frozenset()
    tel_alone: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Size:
    """A device's pageviews, and sizes in px.

    `height` and `fold` are medians of pages and screens; nine in ten pages have `least_height`.
    """

    device: str
    pageviews: int
    height: int
    fold: int
    least_height: int


@dataclass(frozen=True, slots=True)
class Place:
    """A rectangle of cells, with both ends included, found by the events of a kind."""

    device: str
    kind: str
    fixed: bool
    left: int
    right: int
    top: int
    bottom: int

    @property
    def from_px(self) -> int:
        """Its first pixel from the top."""
        return self.top * CELL_H

    @property
    def to_px(self) -> int:
        """The pixel after its last one."""
        return (self.bottom + 1) * CELL_H

    @property
    def size(self) -> int:
        """The number of its cells."""
        return (self.right - self.left + 1) * (self.bottom - self.top + 1)

    def around(self) -> "Place":
        """Return the place with the rows above and below it."""
        return replace(self, kind="around", top=max(0, self.top - AROUND_ROWS), bottom=self.bottom + AROUND_ROWS)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place and its events in each stretch: kinds x stretches, in the order of SPOT_KINDS.

    `moments` count the windows of 5 s with an event instead: a burst of clicks is one moment. `element` is the name of
    what most events of the place's kind have hit, if that is clear, and `on_element` their number.
    """

    place: Place
    hits: Floats
    moments: Floats
    element: str | None = None
    on_element: int = 0

    def of(self, *kinds: str) -> Floats:
        """Return the events of these kinds in each stretch."""
        events: Floats = self.hits[[SPOT_KINDS.index(kind) for kind in kinds]].sum(axis=0)
        return events

    def moments_of(self, kind: str) -> Floats:
        """Return the moments of a kind in each stretch."""
        line: Floats = self.moments[SPOT_KINDS.index(kind)]
        return line


@dataclass(frozen=True, slots=True)
class SectionCounts:
    """A section's pageviews that reached it, its clicks and its ms in view, in each stretch."""

    reached: Floats
    clicks: Floats
    exposure: Floats


@dataclass(frozen=True, slots=True)
class DeviceCounts:
    """The counts of one device. Arrays end with the axis of stretches; `bands` are of 100 px.

    `row_clicks` are clicks by row of 16 px over all stretches. `spots` are the places with the most events, each with
    its surroundings. `first_view` are effective clicks in the page's first screen, `fixed` those on targets that stay
    on screen. `tel` are the pageviews with a goal by telephone.
    """

    size: Size
    pageviews: Floats
    conversions: Floats
    sections: Mapping[str, SectionCounts]
    reached: Floats
    exposure: Floats
    row_clicks: Ints
    spots: tuple[tuple[Spot, Spot], ...] = ()
    first_view: Floats = field(default_factory=lambda: np.zeros(STRETCHES))
    fixed: Floats = field(default_factory=lambda: np.zeros(STRETCHES))
    tel: Floats = field(default_factory=lambda: np.zeros(STRETCHES))

    @property
    def device(self) -> str:
        """The kind of device."""
        return self.size.device

    def reach(self, px: float) -> Floats:
        """Return the pageviews that saw this pixel, in each stretch, interpolated between bands."""
        at = min(max(0.0, px / BAND_H), len(self.reached) - 1.0)
        low = int(at)
        high = min(low + 1, len(self.reached) - 1)
        between: Floats = self.reached[low] + (at - low) * (self.reached[high] - self.reached[low])
        return between


@dataclass(frozen=True, slots=True)
class Tables:
    """The rows of ClickHouse: columns `device` and `bucket`, then those of each table's name."""

    sizes: tuple[Size, ...]
    totals: pa.Table
    sections: pa.Table
    bands: pa.Table
    cells: pa.Table


def counts_of(tables: Tables) -> list[DeviceCounts]:
    """Return the counts of each device, without places."""
    return [_device(tables, size) for size in tables.sizes if size.pageviews]


def _device(tables: Tables, size: Size) -> DeviceCounts:
    totals, sections, bands = (_of(table, size.device) for table in (tables.totals, tables.sections, tables.bands))
    band = _ints(bands, "band")
    last = max(int(band.max(initial=0)), size.height // BAND_H) + 1
    cells = _of(tables.cells, size.device)
    clicks = np.array([kind != "move" for kind in cells["kind"].to_pylist()], dtype=bool) & (_ints(cells, "fixed") == 0)
    rows = np.bincount(_ints(cells, "y")[clicks], _ints(cells, "hits")[clicks], minlength=ROWS)[:ROWS]
    return DeviceCounts(
        size,
        _series(totals, "pageviews"),
        _series(totals, "conversions"),
        _sections(sections),
        _grid(bands, band, "reached", last + 1),
        _grid(bands, band, "exposure_ms", last + 1),
        rows.astype(np.int64),
        tel=_series(totals, "tel"),
    )


def _sections(rows: pa.Table) -> dict[str, SectionCounts]:
    names = rows["section"].to_pylist()
    every = sorted(set(names))
    place = {name: index for index, name in enumerate(every)}
    codes = np.array([place[name] for name in names], dtype=np.int64)
    grids = [_grid(rows, codes, name, len(every)) for name in ("reached", "clicks", "exposure_ms")]
    return {name: SectionCounts(*(grid[at] for grid in grids)) for name, at in place.items()}


def _of(rows: pa.Table, device: str) -> pa.Table:
    return rows.filter(pa.array([name == device for name in rows["device"].to_pylist()], pa.bool_()))


def _ints(rows: pa.Table, name: str) -> Ints:
    column: Ints = rows[name].to_numpy().astype(np.int64)
    return column


def _grid(rows: pa.Table, first: Ints, name: str, size: int) -> Floats:
    grid = np.zeros((size, STRETCHES))
    np.add.at(grid, (first, np.minimum(_ints(rows, "bucket"), STRETCHES - 1)), _ints(rows, name))
    return grid


def _series(rows: pa.Table, name: str) -> Floats:
    line: Floats = _grid(rows, np.zeros(rows.num_rows, dtype=np.int64), name, 1)[0]
    return line


def places_of(tables: Tables) -> list[Place]:
    """Return the places with the most events of each kind, and the first view, for each device."""
    places = []
    for size in tables.sizes:
        cells = _of(tables.cells, size.device)
        kinds = np.array(cells["kind"].to_pylist(), dtype=object)
        for kind in SPOT_KINDS:
            places += _busiest(cells.filter(pa.array(kinds == kind, pa.bool_())), size.device, kind)
        places += _first_view(size)
    return places


def _first_view(size: Size) -> Iterable[Place]:
    """Return the first screen's part of the page, and the parts of the screen where fixed calls are."""
    rows = size.fold // CELL_H
    left = round(CELL_COLUMNS * CORNER_X)
    yield Place(size.device, "first", False, 0, CELL_COLUMNS - 1, 0, rows)
    yield Place(size.device, "first", True, 0, CELL_COLUMNS - 1, 0, round(rows * CORNER_Y) - 1)
    yield Place(size.device, "first", True, left, CELL_COLUMNS - 1 - left, round(rows * CORNER_Y), ROWS - 1)


def _busiest(cells: pa.Table, device: str, kind: str) -> list[Place]:
    """Return the places with at least LEAST_EVENTS events, from the busiest cell on."""
    x, y, fixed, left = (_ints(cells, name) for name in ("x", "y", "fixed", "hits"))
    places: list[Place] = []
    for _ in range(MOST_TRIES):
        if len(places) == MOST_PLACES or left.sum() < LEAST_EVENTS:
            break
        middle = int(left.argmax())
        centre, layer = (int(x[middle]), int(y[middle])), int(fixed[middle])
        for _ in range(2):  # from the busiest cell to the middle of the events around it
            weight = np.where(_near(x, y, fixed, *centre, layer), left, 0)
            centre = (_middle(x, weight, centre[0]), _middle(y, weight, centre[1]))
        near = _near(x, y, fixed, *centre, layer)
        if left[near].sum() >= LEAST_EVENTS:
            places.append(_place(device, kind, layer, *centre))
        left = np.where(near, 0, left)
        left[middle] = 0
    return places


def _middle(along: Ints, weight: Ints, default: int) -> int:
    return round(float((along * weight).sum() / weight.sum())) if weight.any() else default


def _place(device: str, kind: str, layer: int, across: int, down: int) -> Place:
    left, right = max(0, across - HALF_COLUMNS), min(CELL_COLUMNS - 1, across + HALF_COLUMNS)
    return Place(device, kind, bool(layer), left, right, max(0, down - _half(down)), down + _half(down))


def _half(row: int) -> int:
    return max(HALF_ROWS, round(OF_DEPTH * row))


def _near(x: Ints, y: Ints, fixed: Ints, across: int, down: int, layer: int) -> Flags:
    near: Flags = (np.abs(x - across) <= HALF_COLUMNS) & (np.abs(y - down) <= _half(down)) & (fixed == layer)
    return near


Names = Mapping[int, tuple[str, int]]


def names_of(rows: Iterable[Mapping[str, Any]]) -> Names:
    """Return the element of each place, and the events that may have hit it, by the place's index.

    `rows` have `place`, `element` and `together`: the nearest two elements of each place, the nearest first. If the
    second is near, too, the place has no name.
    """
    nearest: dict[int, tuple[str, int]] = {}
    for row in rows:
        at, element, together = int(row["place"]), str(row["element"]), int(row["together"])
        if at not in nearest:
            nearest[at] = element, together
        elif CLEARLY * together > nearest[at][1]:
            nearest[at] = "", 0
    return {at: name for at, name in nearest.items() if name[0]}


def _named(spot: Spot, name: tuple[str, int] | None) -> Spot:
    """Return the spot with the name of its element, if at least half of its events have hit it."""
    kinds = CLICK_KINDS if spot.place.kind == "move" else (spot.place.kind,)
    if name is None or 2 * name[1] < spot.of(*kinds).sum():
        return spot
    return replace(spot, element=name[0], on_element=name[1])


def with_places(
    counts: list[DeviceCounts], places: list[Place], rows: pa.Table, names: Names | None = None
) -> list[DeviceCounts]:
    """Return the counts with their places.

    `rows` have `place` (an index of `asked(places)`), `bucket`, `kind`, `hits` and `moments`; `names` are by index of
    `places`.
    """
    hits, moments = np.zeros((2, len(asked(places)), len(SPOT_KINDS), STRETCHES))
    kinds = np.array([SPOT_KINDS.index(kind) for kind in rows["kind"].to_pylist()], dtype=np.int64)
    bucket = np.minimum(_ints(rows, "bucket"), STRETCHES - 1)
    for grid, name in ((hits, "hits"), (moments, "moments")):
        np.add.at(grid, (_ints(rows, "place"), kinds, bucket), _ints(rows, name))
    filled = []
    for device in counts:
        own = [index for index, place in enumerate(places) if place.device == device.device]
        beside = len(places)
        pairs = tuple(
            (
                _named(Spot(places[at], hits[at], moments[at]), (names or {}).get(at)),
                Spot(places[at].around(), hits[beside + at], moments[beside + at]),
            )
            for at in own
            if places[at].kind != "first"
        )
        first, fixed = (
            hits[[at for at in own if places[at].kind == "first" and places[at].fixed == layer]][:, USED].sum((0, 1))
            for layer in (False, True)
        )
        filled.append(replace(device, spots=pairs, first_view=first, fixed=fixed))
    return filled


def asked(places: list[Place]) -> list[Place]:
    """Return the places to count: the places, then the surroundings of each."""
    return [*places, *(place.around() for place in places)]
