"""Heatmaps on demand, as JSON or PNG, made from aggregates in ClickHouse and cached for an hour."""

import asyncio
import hashlib
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa

from infra.clickhouse import map_queries
from infra.clickhouse.client import ClickHouse
from infra.clickhouse.map_queries import DeviceViews, Selection
from infra.redis.response_cache import CachedResponse, ResponseCache
from processors.pictures.heat import likely_height, likely_width
from processors.pictures.maps import Canvas, Cells, height_of, peak_of, render_bands, render_cells
from processors.pictures.summary import MapSummary, SectionSeen, elements_of, reach_of, spots_of
from processors.pictures.words import WORDS, Language
from schemas.heatmap import Device
from streams.pictures.drawing import DrawingProcess
from streams.pictures.screenshots import Shots
from streams.runtime import metrics

MapKind = Literal["click", "dead", "rage", "attention", "scroll"]
CLICKS: tuple[MapKind, ...] = ("click", "dead", "rage")
Suffix = Literal["png", "json"]
Form = Literal["png", "json", "summary"]

VERSION = 3  # of the drawing, part of the cache key
KEEP_S, KEEP_WITHOUT_SHOT_S = 3_600, 60
DEFAULT_SPAN = timedelta(days=1)
# the size at which a page without pageviews is drawn
UNSEEN = {
    "mobile": DeviceViews("mobile", 0, 384, 832, 832),
    "tablet": DeviceViews("tablet", 0, 816, 1_168, 1_168),
    "desktop": DeviceViews("desktop", 0, 1_440, 896, 896),
}
MS = 1_000
REST_BLUR = 1.5  # a resting pointer shows only roughly where the visitor looks


@dataclass(frozen=True, slots=True)
class MapQuery:
    """A request for a map. Default device: the most used one; default times: the last 24 hours.

    `top` is the value of the hottest colour, in hits or ms. By default it is the map's own maximum.
    """

    lp_id: str
    kind: MapKind = "click"
    device: Device | None = None
    start: datetime | None = None
    end: datetime | None = None
    language: Language = "en"
    top: float | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """The data of a map: the device, the time range and the rows.

    Days of the range before `readable_from` are not complete, because some are on Glacier.
    """

    query: MapQuery
    seen: DeviceViews
    devices: list[DeviceViews]
    start: datetime
    end: datetime
    rows: pa.Table | None
    elements: list[dict[str, Any]]
    readable_from: date | None = None

    def column(self, name: str) -> Any:
        """Return a column as an int64 array."""
        return np.zeros(0, np.int64) if self.rows is None else self.rows[name].to_numpy().astype(np.int64)

    def cells(self, unit: int = 1) -> Cells:
        """Return the cells, with weights divided by `unit`."""
        weight = self.column("weight") if unit == 1 else self.column("weight") / unit
        blur = REST_BLUR if self.query.kind == "attention" else 1.0
        return Cells(self.column("x"), self.column("y"), self.column("fixed"), weight, blur)


class Heatmaps:
    """The maps of one ClickHouse. Times on pictures are in `timezone`."""

    def __init__(
        self, clickhouse: ClickHouse, kept: ResponseCache, shots: Shots, process: DrawingProcess, timezone: str
    ) -> None:
        self._clickhouse = clickhouse
        self._cache = kept
        self._shots = shots
        self._process = process
        self._zone = ZoneInfo(timezone)

    async def get(self, query: MapQuery, form: Form, *, fresh: bool = False) -> CachedResponse:
        """Return the map in that form from the cache, or make it; raise Retryable without ClickHouse.

        `fresh` makes it even if it is cached.
        """
        made = False

        async def make() -> CachedResponse:
            nonlocal made
            made = True
            with metrics.MAP_SECONDS.labels(form).time():
                return await self._make(await self._find(query, form), form)

        since_ms = int(time.time() * MS) if fresh else 0
        answer = await self._cache.get(key_of(query, form, str(self._zone)), make, since_ms=since_ms)
        metrics.MAPS.labels(form, "made" if made else "kept").inc()
        return answer

    async def _find(self, query: MapQuery, form: Form) -> Found:
        end = query.end or datetime.now(UTC).replace(microsecond=0)
        start = query.start or end - DEFAULT_SPAN
        seen = await map_queries.devices(self._clickhouse, query.lp_id, start, end)
        device = query.device or (seen[0].device if seen else "mobile")
        views = next((each for each in seen if each.device == device), UNSEEN[device])
        selection = Selection(query.lp_id, device, start, end)
        rows, elements, readable_from = await asyncio.gather(
            self._rows(query.kind, selection),
            self._elements(query.kind, selection, form),
            map_queries.readable_from(self._clickhouse, query.lp_id, start, end),
        )
        return Found(query, views, seen, start, end, rows, elements, readable_from)

    async def _rows(self, kind: MapKind, selection: Selection) -> pa.Table:
        if kind == "scroll":
            return await map_queries.bands(self._clickhouse, selection)
        return await map_queries.cells(self._clickhouse, kind, selection)

    async def _elements(self, kind: MapKind, selection: Selection, form: Form) -> list[dict[str, Any]]:
        """Return the clicked elements; a picture shows none."""
        if form == "png" or kind not in CLICKS:
            return []
        return await map_queries.elements(self._clickhouse, kind, selection)

    async def _make(self, found: Found, form: Form) -> CachedResponse:
        if form == "png":
            return await self._picture(found)
        if form == "json":
            return CachedResponse.of(await self._process.run(numbers, found), "application/json", KEEP_S)
        selection = Selection(found.query.lp_id, found.seen.device, found.start, found.end)
        sections = await map_queries.sections(self._clickhouse, selection)
        return CachedResponse.of(await self._process.run(summary, found, sections), "application/json", KEEP_S)

    async def _picture(self, found: Found) -> CachedResponse:
        seen = found.seen
        width = likely_width(seen.w)
        shot = await self._shots.get(found.query.lp_id, width, likely_height(seen.fold))
        canvas = self._canvas(found, width, shot)
        body = await self._process.run(draw, found, canvas)
        try_again_soon = shot in ("no_shot_late", "no_shot_failed")
        return CachedResponse.of(body, "image/png", KEEP_WITHOUT_SHOT_S if try_again_soon else KEEP_S)

    def _canvas(self, found: Found, width: int, shot: bytes | str) -> Canvas:
        query, words = found.query, WORDS[found.query.language]
        weights = 0 if query.kind == "scroll" else int(found.column("weight").sum())
        total = weights // MS if query.kind == "attention" else weights
        counted = words[f"counted_{query.kind}"].format(total=total, pageviews=found.seen.pageviews)
        times = f"{self._local(found.start)} – {self._local(found.end)} ({self._zone})"
        if found.readable_from is not None:
            times += words["readable_from"].format(day=found.readable_from)
        return Canvas(
            width,
            found.seen.h,
            likely_height(found.seen.fold) if found.seen.pageviews else 0,
            f"{words[query.kind]} · {words[found.seen.device]}",
            (counted, times),
            query.language,
            shot if isinstance(shot, bytes) else None,
            shot if isinstance(shot, str) else "",
        )

    def _local(self, moment: datetime) -> str:
        return f"{moment.astimezone(self._zone):%Y-%m-%d %H:%M}"


def key_of(query: MapQuery, form: Form, timezone: str) -> str:
    """Return the cache key: the page, and a hash of everything else that the answer depends on."""
    inputs = {**asdict(query), "form": form, "timezone": timezone, "version": VERSION}
    return f"{query.lp_id}:{hashlib.sha256(msgspec.json.encode(inputs, order='sorted')).hexdigest()[:32]}"


def numbers(found: Found) -> bytes:
    """Return the map as JSON: cells of [x, y, fixed, weight], or bands of [band, reached, exposure_ms].

    A map of clicks, or of a kind of clicks, has the elements that were clicked.

    Runs in the drawing process.
    """
    query, seen = found.query, found.seen
    answer: dict[str, Any] = {
        "lp_id": query.lp_id,
        "kind": query.kind,
        "device": seen.device,
        "from": found.start.isoformat(),
        "to": found.end.isoformat(),
        "readable_from": found.readable_from,
        "page": {"w": seen.w, "h": seen.h, "fold": seen.fold},
        "pageviews": seen.pageviews,
    }
    if query.kind == "scroll":
        answer["bands"] = _rows(found, ("band", "reached", "exposure_ms"))
    else:
        answer["cells"] = _rows(found, ("x", "y", "fixed", "weight"))
        answer["truncated"] = len(answer["cells"]) == map_queries.MOST_CELLS
        answer["peak"] = round(peak_of(found.cells(), likely_width(seen.w), seen.h), 3)
    if query.kind in CLICKS:
        answer["elements"] = elements_of(found.elements)
    return msgspec.json.encode(answer)


def summary(found: Found, sections: list[dict[str, Any]]) -> bytes:
    """Return the map's figures for a table, as the JSON of a MapSummary. Runs in the drawing process."""
    query, seen = found.query, found.seen
    weight = found.column("weight") if query.kind != "scroll" else np.zeros(0, np.int64)
    cells = None if query.kind == "scroll" else found.cells()
    return msgspec.json.encode(
        MapSummary(
            device=seen.device,
            devices={views.device: views.pageviews for views in found.devices},
            pageviews=seen.pageviews,
            total=int(weight.sum()),
            peak=0.0 if cells is None else peak_of(cells, likely_width(seen.w), seen.h),
            fold=seen.fold,
            spots=[] if cells is None else spots_of(cells),
            reached=reach_of(found.column("band"), found.column("reached"), seen.pageviews) if cells is None else [],
            sections=[
                SectionSeen(row["section"], int(row["reached"]), int(row["clicks"]), int(row["exposure_ms"]))
                for row in sections
            ],
            elements=elements_of(found.elements),
            readable_from=found.readable_from,
        )
    )


def _rows(found: Found, names: tuple[str, ...]) -> list[list[int]]:
    rows: list[list[int]] = np.stack([found.column(name) for name in names], axis=1).tolist()
    return rows


def draw(found: Found, canvas: Canvas) -> bytes:
    """Draw the map as PNG. Runs in the drawing process."""
    kind, top = found.query.kind, found.query.top
    if canvas.shot is not None:  # the page may have grown since, or no visitor may have reached its footer
        canvas = replace(canvas, height=max(canvas.height, height_of(canvas.shot)))
    if kind == "scroll":
        band, counts = found.column("band"), found.column("reached")
        reached = np.zeros(int(band.max(initial=0)) + 1, dtype=np.int64)
        reached[band] = counts
        return render_bands(canvas, reached, pageviews=found.seen.pageviews)
    unit = MS if kind == "attention" else 1
    return render_cells(
        canvas, found.cells(unit), unit="seconds" if unit == MS else "clicks", top=None if top is None else top / unit
    )
