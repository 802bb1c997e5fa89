"""The queries for heatmap pictures and numbers. The server binds all values."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa

from infra.clickhouse.client import ClickHouse

MOST_CELLS = 300_000
MOST_ELEMENTS = 100
DAYS = "utc_date >= toDate({start:DateTime('UTC')}) AND utc_date <= toDate({end:DateTime('UTC')})"
TIMES = f"{DAYS} AND window_start >= {{start:DateTime('UTC')}} AND window_start < {{end:DateTime('UTC')}}"
PAGE = f"lp_id = {{lp_id:String}} AND {TIMES}"
WHERE = f"{PAGE} AND device = {{device:String}}"
_CELLS = (
    "SELECT x, y, fixed, sum({measure}) AS weight FROM lpstream.{view} WHERE {where} GROUP BY x, y, fixed"
    f" HAVING weight > 0 ORDER BY weight DESC, y, x, fixed LIMIT {MOST_CELLS}"
)
CELLS = {
    "click": _CELLS.format(measure="hits", view="click_map", where=WHERE),
    "dead": _CELLS.format(measure="hits", view="click_map", where=f"{WHERE} AND kind = 'dead_click'"),
    "rage": _CELLS.format(measure="hits", view="click_map", where=f"{WHERE} AND kind = 'rage_click'"),
    "attention": _CELLS.format(measure="dwell_ms", view="attention_map", where=WHERE),
}
BANDS = (
    "SELECT band, sum(reached) AS reached, sum(exposure_ms) AS exposure_ms FROM lpstream.scroll_depth"
    f" WHERE {WHERE} GROUP BY band ORDER BY band"
)
SECTIONS = (
    "SELECT section, sum(reached) AS reached, sum(clicks) AS clicks, sum(exposure_ms) AS exposure_ms"
    f" FROM lpstream.section_funnel WHERE {WHERE} GROUP BY section ORDER BY reached DESC, section LIMIT 30"
)
# the total is that of all elements, also of those beyond the limit; ties by name, so that answers are stable
_ELEMENTS = (
    "SELECT element, sum(e.clicks) AS clicks, sum(e.rage_clicks) AS rage_clicks, sum(e.dead_clicks) AS dead_clicks,"
    " sum(e.{measure}) AS measured, sum(sum(e.{measure})) OVER () AS total"
    " FROM lpstream.element_clicks AS e WHERE {where} GROUP BY element HAVING measured > 0"
    f" ORDER BY measured DESC, element LIMIT {MOST_ELEMENTS}"
)
ELEMENTS = {
    kind: _ELEMENTS.format(measure=measure, where=WHERE)
    for kind, measure in (("click", "clicks"), ("dead", "dead_clicks"), ("rage", "rage_clicks"))
}
DEVICES = (
    "SELECT toString(device) AS name, sum(seen) AS pageviews, argMax(page_w, (seen, page_w)) AS w,"
    " argMax(median_h, (seen, page_w)) AS h, argMax(median_fold, (seen, page_w)) AS fold"
    " FROM (SELECT device, page_w, sum(pageviews) AS seen, quantileExactWeighted(0.5)(page_h, pageviews) AS median_h,"
    " quantileExactWeighted(0.5)(viewport_h, pageviews) AS median_fold"
    f" FROM lpstream.page_sizes WHERE {PAGE} GROUP BY device, page_w HAVING seen > 0)"
    " GROUP BY device ORDER BY pageviews DESC, name"
)
# an object's rows in tier_objects are its steps; the last one counts
COLD = (
    "SELECT max(day) AS last FROM (SELECT day, object, argMax(step, revision) AS now FROM lpstream.tier_objects"
    " WHERE source = 'heatmap_windows' AND has(lp_ids, {lp_id:String})"
    " AND day >= toDate({start:DateTime('UTC')}) AND day <= toDate({end:DateTime('UTC')} - 1) GROUP BY day, object)"
    " WHERE now = 'cold' HAVING count() > 0"
)
TOTALS = (
    "SELECT lp_id, sum(pageviews) AS views, sum(clicks) AS all_clicks, sum(goals) AS all_goals FROM lpstream.lp_windows"
)
BUSIEST = "GROUP BY lp_id ORDER BY views DESC, lp_id LIMIT {most:UInt32}"
LISTED = "has({listed:Array(String)}, lp_id)"
OF_TENANT = f"({{any:UInt8}} OR startsWith(lp_id, {{prefix:String}}) OR {LISTED})"
PAGES_OF_TENANT = f"{TOTALS} WHERE {TIMES} AND {OF_TENANT} {BUSIEST}"
PAGES_LISTED = f"{TOTALS} WHERE {TIMES} AND {LISTED} {BUSIEST}"


@dataclass(frozen=True, slots=True)
class Selection:
    """A page, a device and a time range from `start` up to but without `end`."""

    lp_id: str
    device: str
    start: datetime
    end: datetime

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the queries."""
        return {"lp_id": self.lp_id, "device": self.device, "start": self.start, "end": self.end}


@dataclass(frozen=True, slots=True)
class DeviceViews:
    """Pageviews of a kind of device, its most common width, and the median height and fold there (px)."""

    device: str
    pageviews: int
    w: int
    h: int
    fold: int


@dataclass(frozen=True, slots=True)
class PageTotals:
    """A page and its totals."""

    lp_id: str
    pageviews: int
    clicks: int
    goals: int


async def cells(clickhouse: ClickHouse, kind: str, selection: Selection) -> pa.Table:
    """Return the MOST_CELLS heaviest cells.

    Columns: x (0..127), y (rows of 16 px), fixed, weight (hits, or ms of dwell).
    """
    return await clickhouse.query(CELLS[kind], selection.parameters())


async def bands(clickhouse: ClickHouse, selection: Selection) -> pa.Table:
    """Return the columns band (of 100 px), reached and exposure_ms."""
    return await clickhouse.query(BANDS, selection.parameters())


async def sections(clickhouse: ClickHouse, selection: Selection) -> list[dict[str, Any]]:
    """Return rows with section, reached, clicks and exposure_ms, those that most pageviews reached first."""
    return await clickhouse.rows(SECTIONS, selection.parameters())


async def elements(clickhouse: ClickHouse, kind: str, selection: Selection) -> list[dict[str, Any]]:
    """Return the MOST_ELEMENTS elements with the most clicks of a kind: click (any), dead or rage.

    Columns: element, clicks, rage_clicks, dead_clicks, measured, the clicks of that kind, and total, those of all
    elements.
    """
    return await clickhouse.rows(ELEMENTS[kind], selection.parameters())


async def devices(clickhouse: ClickHouse, lp_id: str, start: datetime, end: datetime) -> list[DeviceViews]:
    """Return the kinds of devices that saw a page, most pageviews first."""
    rows = await clickhouse.rows(DEVICES, {"lp_id": lp_id, "start": start, "end": end})
    return [
        DeviceViews(row["name"], int(row["pageviews"]), int(row["w"]), int(row["h"]), int(row["fold"])) for row in rows
    ]


async def readable_from(clickhouse: ClickHouse, lp_id: str, start: datetime, end: datetime) -> date | None:
    """Return the UTC day from which the range is complete, or None if all of it is.

    It is the day after the last day whose counts of the page are on Glacier.
    """
    rows = await clickhouse.rows(COLD, {"lp_id": lp_id, "start": start, "end": end})
    return rows[0]["last"] + timedelta(days=1) if rows else None


async def pages(
    clickhouse: ClickHouse, prefix: str, listed: list[str], start: datetime, end: datetime, *, any_page: bool, most: int
) -> list[PageTotals]:
    """Return the pages with that prefix, listed, or any, most pageviews first."""
    values = {"prefix": prefix, "listed": listed, "any": int(any_page), "start": start, "end": end, "most": most}
    return _totals(await clickhouse.rows(PAGES_OF_TENANT, values))


async def pages_named(clickhouse: ClickHouse, lp_ids: list[str], start: datetime, end: datetime) -> list[PageTotals]:
    """Return those of the pages that have visits, most pageviews first.

    The ids are sent in the request's head, so give at most 50.
    """
    values = {"listed": lp_ids, "start": start, "end": end, "most": len(lp_ids)}
    return _totals(await clickhouse.rows(PAGES_LISTED, values))


def _totals(rows: list[dict[str, Any]]) -> list[PageTotals]:
    return [PageTotals(row["lp_id"], int(row["views"]), int(row["all_clicks"]), int(row["all_goals"])) for row in rows]
