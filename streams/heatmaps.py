"""Heatmaps on demand: aggregates from ClickHouse become numbers or a picture."""

import asyncio
from datetime import datetime
from typing import Any, Literal

import numpy as np

from infra import heatmaps
from infra.clickhouse.client import ClickHouse
from infra.heatmaps import Selection
from processors.picture import Canvas, render_bands, render_cells

MapKind = Literal["click", "attention", "scroll"]
UNITS = {"click": "clicks", "attention": "ms of rest"}
EMPTY = {"page_w": 390, "page_h": 800, "fold": 0}


class Heatmaps:
    """Answers for one ClickHouse."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def numbers(
        self, lp_id: str, kind: str, device: str | None, start: datetime, end: datetime
    ) -> dict[str, Any]:
        """The map as JSON: cells of [x, y, fixed, weight], or bands of [band, reached, exposure_ms]."""
        selection = Selection(lp_id, device, start, end)
        sizes = await heatmaps.sizes(self._clickhouse, selection)
        answer: dict[str, Any] = {
            "lp_id": lp_id,
            "kind": kind,
            "device": device,
            "from": start.isoformat(),
            "to": end.isoformat(),
            "page": {"w": sizes["page_w"], "h": sizes["page_h"], "fold": sizes["fold"]},
            "pageviews": sizes["pageviews"],
        }
        if kind == "scroll":
            answer["bands"] = _rows(await heatmaps.bands(self._clickhouse, selection))
        else:
            answer["cells"] = _rows(await heatmaps.cells(self._clickhouse, kind, selection))
        return answer

    async def picture(self, lp_id: str, kind: str, device: str | None, start: datetime, end: datetime) -> bytes:
        """The map as PNG; an empty page says so when nothing was counted."""
        selection = Selection(lp_id, device, start, end)
        sizes = await heatmaps.sizes(self._clickhouse, selection)
        pageviews = sizes["pageviews"]
        shape = sizes if pageviews else EMPTY
        what = f"{pageviews:,} pageviews" if pageviews else "nothing counted in this time"
        canvas = Canvas(
            shape["page_w"], shape["page_h"], shape["fold"], f"{kind} map, {device or 'all devices'}: {what}"
        )
        if kind == "scroll":
            table = await heatmaps.bands(self._clickhouse, selection)
            reached = np.zeros(shape["page_h"] // 100 + 1, dtype=np.int64)
            band = table["band"].to_numpy().astype(np.int64)
            inside = band < len(reached)
            reached[band[inside]] = table["reached"].to_numpy()[inside]
            return await asyncio.to_thread(render_bands, canvas, reached, pageviews=pageviews)
        table = await heatmaps.cells(self._clickhouse, kind, selection)
        return await asyncio.to_thread(
            render_cells,
            canvas,
            table["x"].to_numpy().astype(np.int64),
            table["y"].to_numpy().astype(np.int64),
            table["fixed"].to_numpy().astype(bool),
            table["weight"].to_numpy().astype(np.int64),
            unit=UNITS[kind],
        )


def _rows(table: Any) -> list[list[int]]:
    return [list(row) for row in zip(*(table[name].to_pylist() for name in table.column_names), strict=True)]
