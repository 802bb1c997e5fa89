"""Queries behind heatmap pictures and numbers. Values are bound by the server, never spliced."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from infra.clickhouse.client import ClickHouse

WHERE = (
    "lp_id = {lp_id:String} AND window_start >= {start:DateTime('UTC')} AND window_start < {end:DateTime('UTC')}"
    " AND ({device:String} = '' OR device = {device:String})"
)
CELLS = {
    "click": f"SELECT x, y, fixed, sum(hits) AS weight FROM lpstream.click_map WHERE {WHERE} GROUP BY x, y, fixed",
    "attention": (
        f"SELECT x, y, fixed, sum(dwell_ms) AS weight FROM lpstream.attention_map WHERE {WHERE} GROUP BY x, y, fixed"
    ),
}
BANDS = (
    "SELECT band, sum(reached) AS reached, sum(exposure_ms) AS exposure_ms FROM lpstream.scroll_depth"
    f" WHERE {WHERE} GROUP BY band ORDER BY band"
)
SIZES = (
    "SELECT toUInt32(topKWeighted(1)(page_w, pageviews)[1]) AS page_w, toUInt32(max(page_h)) AS page_h,"
    " toUInt32(quantileExactWeighted(0.5)(viewport_h, pageviews)) AS fold, sum(pageviews) AS total"
    f" FROM lpstream.heatmap_views WHERE {WHERE}"
)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which page, device (None: all) and stretch of time."""

    lp_id: str
    device: str | None
    start: datetime
    end: datetime

    def parameters(self) -> dict[str, Any]:
        """As the queries take them."""
        return {"lp_id": self.lp_id, "device": self.device or "", "start": self.start, "end": self.end}


async def cells(clickhouse: ClickHouse, kind: str, selection: Selection) -> pa.Table:
    """Columns x (0..127), y (rows of 16 px), fixed, weight (hits, or ms of dwell)."""
    return await clickhouse.query(CELLS[kind], selection.parameters())


async def bands(clickhouse: ClickHouse, selection: Selection) -> pa.Table:
    """Columns band (of 100 px), reached, exposure_ms."""
    return await clickhouse.query(BANDS, selection.parameters())


async def sizes(clickhouse: ClickHouse, selection: Selection) -> dict[str, int]:
    """Most seen page width, greatest page height, median viewport height (px), pageviews; zeros without data."""
    row = (await clickhouse.rows(SIZES, selection.parameters()))[0]
    named = {"page_w": "page_w", "page_h": "page_h", "fold": "fold", "pageviews": "total"}
    return {name: int(row[column] or 0) for name, column in named.items()}
