"""The queries for findings: counts of a page in stretches of time. The server binds all values."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.map_queries import PAGE
from schemas.heatmap import DEVICES

MOST_ROWS, MOST_CELLS = 200_000, 20_000
WINDOW_S = 5
SECTIONS_SHOWN = 30
# as the tables number them
KINDS = ("click", "rage_click", "dead_click", "move")
# rows that came after SPAN was asked may lie before or behind it; they count in the first or the last bucket
BUCKET = "greatest(least(intDiv(toUInt32(window_start) - {first:UInt32}, {step:UInt32}), {last:UInt32}), 0) AS bucket"
SPAN = (
    "SELECT toUInt32(min(window_start)) AS first, toUInt32(max(window_start)) AS last, sum(pageviews) AS pageviews"
    f" FROM lpstream.lp_windows WHERE {PAGE}"
)
SIZES = (
    "SELECT toString(device) AS device, sum(s.pageviews) AS pageviews,"
    " quantileExactWeighted(0.5)(page_h, s.pageviews) AS height,"
    " quantileExactWeighted(0.5)(viewport_h, s.pageviews) AS fold,"
    " quantileExactWeighted(0.1)(page_h, s.pageviews) AS least_height"
    f" FROM lpstream.page_sizes AS s WHERE {PAGE} GROUP BY device HAVING pageviews > 0 ORDER BY pageviews DESC, device"
)
TOTALS = (
    f"SELECT toString(device) AS device, {BUCKET}, sum(pageviews) AS pageviews, sum(conversions) AS conversions,"
    f" sum(goals_tel) AS tel FROM lpstream.tiered_windows WHERE {PAGE} GROUP BY device, bucket LIMIT {MOST_ROWS}"
)
SECTIONS = (
    f"SELECT toString(device) AS device, {BUCKET}, toString(section) AS section, sum(reached) AS reached,"
    " sum(clicks) AS clicks, sum(exposure_ms) AS exposure_ms FROM lpstream.tiered_sections"
    f" WHERE {PAGE} AND section IN (SELECT section FROM lpstream.tiered_sections WHERE {PAGE}"
    f" GROUP BY section ORDER BY sum(reached) DESC, section LIMIT {SECTIONS_SHOWN})"
    f" GROUP BY device, bucket, section LIMIT {MOST_ROWS}"
)
BANDS = (
    f"SELECT toString(device) AS device, {BUCKET}, band, sum(reached) AS reached, sum(exposure_ms) AS exposure_ms"
    f" FROM lpstream.tiered_scroll WHERE {PAGE} GROUP BY device, bucket, band LIMIT {MOST_ROWS}"
)
CELLS = (
    "SELECT toString(device) AS device, toString(kind) AS kind, fixed, x, y, sum(hits) AS hits"
    f" FROM lpstream.tiered_cells WHERE {PAGE} GROUP BY device, kind, fixed, x, y"
    f" ORDER BY hits DESC, y, x, fixed LIMIT {MOST_CELLS} BY device, kind"
)
# arrayJoin makes a row for each place that holds the cell; places may overlap
PLACES = (
    f"SELECT {BUCKET}, toString(kind) AS kind, arrayJoin(arrayFilter(at -> fixed = {{fixed:Array(UInt8)}}[at + 1]"
    " AND x >= {left:Array(UInt8)}[at + 1] AND x <= {right:Array(UInt8)}[at + 1]"
    " AND y >= {top:Array(UInt16)}[at + 1] AND y <= {bottom:Array(UInt16)}[at + 1], range({places:UInt32}))) AS place,"
    " sum(hits) AS hits, uniqExact(window_start) AS moments"
    f" FROM lpstream.tiered_cells WHERE {PAGE} AND device = {{device:String}}"
    f" GROUP BY bucket, kind, place LIMIT {MOST_ROWS}"
)
# Events of a place and clicks on an element that are in the same 5 seconds: the places that hold cells on the left. The
# tables do not say which element a cell's click hit, but windows with clicks on one thing are many.
NAMES = (
    "SELECT place, element, sum(least(hits, named)) AS together FROM ("
    "SELECT device, window_start, toString(kind) AS named_kind,"
    " arrayJoin(arrayFilter(at -> {devices:Array(UInt8)}[at + 1] = toUInt8(device)"
    " AND {kinds:Array(UInt8)}[at + 1] IN (toUInt8(kind), 4) AND fixed = {fixed:Array(UInt8)}[at + 1]"
    " AND x >= {left:Array(UInt8)}[at + 1] AND x <= {right:Array(UInt8)}[at + 1]"
    " AND y >= {top:Array(UInt16)}[at + 1] AND y <= {bottom:Array(UInt16)}[at + 1], range({places:UInt32}))) AS place,"
    f" sum(hits) AS hits FROM lpstream.tiered_cells WHERE {PAGE} AND kind != 'move'"
    f" GROUP BY device, window_start, kind, place LIMIT {MOST_ROWS}) AS cells INNER JOIN ("
    "SELECT device, window_start, element, pair.1 AS named_kind, sum(pair.2) AS named"
    " FROM lpstream.tiered_elements ARRAY JOIN [('click', toUInt64(clicks - rage_clicks - dead_clicks)),"
    " ('rage_click', rage_clicks), ('dead_click', dead_clicks)] AS pair"
    f" WHERE {PAGE} GROUP BY device, window_start, element, named_kind HAVING named > 0 LIMIT {MOST_ROWS}) AS elements"
    " USING (device, window_start, named_kind)"
    " GROUP BY place, element ORDER BY place, together DESC, element LIMIT 2 BY place"
)


@dataclass(frozen=True, slots=True)
class Span:
    """A page and a range of time. The range begins at `first` (s UTC) and has stretches of `step_s`."""

    lp_id: str
    start: datetime
    end: datetime
    first: int
    step_s: int
    stretches: int

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the queries."""
        return {
            "lp_id": self.lp_id,
            "start": self.start,
            "end": self.end,
            "first": self.first,
            "step": self.step_s,
            "last": self.stretches - 1,
        }


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A rectangle of cells that the events of one kind hit on one device. Both ends are included."""

    device: str
    kind: str
    fixed: int
    left: int
    right: int
    top: int
    bottom: int


async def span(clickhouse: ClickHouse, lp_id: str, start: datetime, end: datetime, stretches: int) -> Span:
    """Return the range from its first to its last window with data, in stretches."""
    rows = await clickhouse.rows(SPAN, {"lp_id": lp_id, "start": start, "end": end})
    first, last = int(rows[0]["first"]), int(rows[0]["last"])
    return Span(lp_id, start, end, first, step_of(first, last, stretches), stretches)


def step_of(first: int, last: int, stretches: int) -> int:
    """Return the length of a stretch: whole windows, so that `stretches` of them hold the range."""
    return WINDOW_S * max(1, -(-(last + WINDOW_S - first) // (stretches * WINDOW_S)))


async def sizes(clickhouse: ClickHouse, of: Span) -> list[dict[str, Any]]:
    """Return rows with device, pageviews, height, fold and least_height (px), most pageviews first."""
    return await clickhouse.rows(SIZES, _page(of))


async def totals(clickhouse: ClickHouse, of: Span) -> pa.Table:
    """Return the columns device, bucket, pageviews, conversions, and tel: conversions by telephone."""
    return await clickhouse.query(TOTALS, of.parameters())


async def sections(clickhouse: ClickHouse, of: Span) -> pa.Table:
    """Return the columns device, bucket, section, reached, clicks and exposure_ms."""
    return await clickhouse.query(SECTIONS, of.parameters())


async def bands(clickhouse: ClickHouse, of: Span) -> pa.Table:
    """Return the columns device, bucket, band (of 100 px), reached and exposure_ms."""
    return await clickhouse.query(BANDS, of.parameters())


async def cells(clickhouse: ClickHouse, of: Span) -> pa.Table:
    """Return the cells with most hits, by device and kind: device, kind, fixed, x, y and hits."""
    return await clickhouse.query(CELLS, _page(of))


def _page(of: Span) -> dict[str, Any]:
    return {"lp_id": of.lp_id, "start": of.start, "end": of.end}


async def places(clickhouse: ClickHouse, of: Span, device: str, rectangles: Sequence[Rectangle]) -> pa.Table:
    """Return the columns bucket, kind, place, hits and moments.

    `place` is an index of `rectangles`; moments are windows with hits.
    """
    values = {**of.parameters(), **_arrays(rectangles), "device": device}
    return await clickhouse.query(PLACES, values)


async def names(clickhouse: ClickHouse, of: Span, rectangles: Sequence[Rectangle]) -> list[dict[str, Any]]:
    """Return the two elements that most events of each place have probably hit.

    Rows have place, element and together: the events of the rectangle's kind (all clicks for `move`) at the time of
    clicks on the element.
    """
    arrays = _arrays(rectangles)
    arrays["devices"] = [DEVICES.index(each.device) + 1 for each in rectangles]
    arrays["kinds"] = [KINDS.index(each.kind) + 1 for each in rectangles]
    return await clickhouse.rows(NAMES, {**_page(of), **arrays}) if rectangles else []


def _arrays(rectangles: Sequence[Rectangle]) -> dict[str, Any]:
    sides = ("fixed", "left", "right", "top", "bottom")
    return {"places": len(rectangles), **{name: [getattr(each, name) for each in rectangles] for name in sides}}
