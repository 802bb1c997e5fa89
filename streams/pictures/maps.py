"""Heatmaps on demand: aggregates from ClickHouse become numbers or a picture, made once and kept for an hour."""

import hashlib
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec
import numpy as np
import pyarrow as pa

from infra.clickhouse import map_queries
from infra.clickhouse.client import ClickHouse
from infra.clickhouse.map_queries import DeviceViews, Selection
from infra.redis.response_cache import Kept, ResponseCache
from processors.pictures.heat import likely_height, likely_width
from processors.pictures.maps import Canvas, Cells, height_of, peak_of, render_bands, render_cells
from processors.pictures.summary import MapSummary, SectionSeen, reach_of, spots_of
from processors.pictures.words import WORDS, Language
from streams.pictures.drawing import DrawingProcess
from streams.pictures.screenshots import Shots
from streams.runtime import metrics

MapKind = Literal["click", "attention", "scroll"]
Suffix = Literal["png", "json"]
Form = Literal["png", "json", "summary"]
Device = Literal["mobile", "tablet", "desktop"]

VERSION = 1  # of what is drawn: another one is another key
KEEP_S, KEEP_WITHOUT_SHOT_S = 3_600, 60
DEFAULT_SPAN = timedelta(days=1)
# what a page that nobody saw is drawn as
UNSEEN = {
    "mobile": DeviceViews("mobile", 0, 384, 832, 832),
    "tablet": DeviceViews("tablet", 0, 816, 1_168, 1_168),
    "desktop": DeviceViews("desktop", 0, 1_440, 896, 896),
}
MS = 1_000
REST_BLUR = 1.5  # eyes are not where the pointer rests to the pixel


@dataclass(frozen=True, slots=True)
class MapQuery:
    """A map that is asked for. No device: the one most seen; no times: the day until now.

    `top` is what the hottest colour stands for, in hits or ms, instead of the hottest place of this map.
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
    """What was counted: of which device, when, and the rows."""

    query: MapQuery
    seen: DeviceViews
    devices: list[DeviceViews]
    start: datetime
    end: datetime
    rows: pa.Table | None

    def column(self, name: str) -> Any:
        """A column as int64."""
        return np.zeros(0, np.int64) if self.rows is None else self.rows[name].to_numpy().astype(np.int64)

    def cells(self, unit: int = 1) -> Cells:
        """The cells, weights divided by the unit."""
        weight = self.column("weight") if unit == 1 else self.column("weight") / unit
        blur = REST_BLUR if self.query.kind == "attention" else 1.0
        return Cells(self.column("x"), self.column("y"), self.column("fixed"), weight, blur)


class Heatmaps:
    """Answers for one ClickHouse. Times on pictures are of the time zone."""

    def __init__(
        self, clickhouse: ClickHouse, kept: ResponseCache, shots: Shots, process: DrawingProcess, timezone: str
    ) -> None:
        self._clickhouse = clickhouse
        self._kept = kept
        self._shots = shots
        self._process = process
        self._zone = ZoneInfo(timezone)

    async def get(self, query: MapQuery, form: Form, *, again: bool = False) -> Kept:
        """The map in that form, kept, or made where none is kept or `again` is said; Retryable without ClickHouse."""
        made = False

        async def make() -> Kept:
            nonlocal made
            made = True
            with metrics.MAP_SECONDS.labels(form).time():
                return await self._make(await self._find(query), form)

        since_ms = int(time.time() * MS) if again else 0
        kept = await self._kept.get(key_of(query, form, str(self._zone)), make, since_ms=since_ms)
        metrics.MAPS.labels(form, "made" if made else "kept").inc()
        return kept

    async def _find(self, query: MapQuery) -> Found:
        end = query.end or datetime.now(UTC).replace(microsecond=0)
        start = query.start or end - DEFAULT_SPAN
        seen = await map_queries.devices(self._clickhouse, query.lp_id, start, end)
        wanted = query.device or (seen[0].device if seen else "mobile")
        mine = next((one for one in seen if one.device == wanted), None)
        selection = Selection(query.lp_id, wanted, start, end)
        if query.kind == "scroll":
            rows = await map_queries.bands(self._clickhouse, selection)
        else:
            rows = await map_queries.cells(self._clickhouse, query.kind, selection)
        return Found(query, mine or UNSEEN[wanted], seen, start, end, rows)

    async def _make(self, found: Found, form: Form) -> Kept:
        if form == "png":
            return await self._picture(found)
        if form == "json":
            return Kept.of(await self._process.run(numbers, found), "application/json", KEEP_S)
        selection = Selection(found.query.lp_id, found.seen.device, found.start, found.end)
        sections = await map_queries.sections(self._clickhouse, selection)
        return Kept.of(await self._process.run(summary, found, sections), "application/json", KEEP_S)

    async def _picture(self, found: Found) -> Kept:
        seen = found.seen
        width = likely_width(seen.w)
        shot = await self._shots.get(found.query.lp_id, width, likely_height(seen.fold))
        canvas = self._canvas(found, width, shot)
        body = await self._process.run(draw, found, canvas)
        lasting = shot not in ("no_shot_late", "no_shot_failed")
        return Kept.of(body, "image/png", KEEP_S if lasting else KEEP_WITHOUT_SHOT_S)

    def _canvas(self, found: Found, width: int, shot: bytes | str) -> Canvas:
        query, words = found.query, WORDS[found.query.language]
        weights = 0 if query.kind == "scroll" else int(found.column("weight").sum())
        total = weights // MS if query.kind == "attention" else weights
        counted = words[f"counted_{query.kind}"].format(total=total, pageviews=found.seen.pageviews)
        return Canvas(
            width,
            found.seen.h,
            likely_height(found.seen.fold) if found.seen.pageviews else 0,
            f"{words[query.kind]} · {words[found.seen.device]}",
            (counted, f"{self._told(found.start)} – {self._told(found.end)} ({self._zone})"),
            query.language,
            shot if isinstance(shot, bytes) else None,
            shot if isinstance(shot, str) else "",
        )

    def _told(self, at: datetime) -> str:
        return f"{at.astimezone(self._zone):%Y-%m-%d %H:%M}"


def key_of(query: MapQuery, form: Form, timezone: str) -> str:
    """The cache's key: the page, and a hash of everything else that the answer depends on."""
    told = {**asdict(query), "form": form, "timezone": timezone, "version": VERSION}
    return f"{query.lp_id}:{hashlib.sha256(msgspec.json.encode(told, order='sorted')).hexdigest()[:32]}"


def numbers(found: Found) -> bytes:
    """The map as JSON: cells of [x, y, fixed, weight], or bands of [band, reached, exposure_ms]. Runs aside."""
    query, seen = found.query, found.seen
    answer: dict[str, Any] = {
        "lp_id": query.lp_id,
        "kind": query.kind,
        "device": seen.device,
        "from": found.start.isoformat(),
        "to": found.end.isoformat(),
        "page": {"w": seen.w, "h": seen.h, "fold": seen.fold},
        "pageviews": seen.pageviews,
    }
    if query.kind == "scroll":
        answer["bands"] = _rows(found, ("band", "reached", "exposure_ms"))
    else:
        answer["cells"] = _rows(found, ("x", "y", "fixed", "weight"))
        answer["truncated"] = len(answer["cells"]) == map_queries.MOST_CELLS
        answer["peak"] = round(peak_of(found.cells(), likely_width(seen.w), seen.h), 3)
    return msgspec.json.encode(answer)


def summary(found: Found, sections: list[dict[str, Any]]) -> bytes:
    """What a table tells of the map, as the JSON of a MapSummary. Runs aside."""
    query, seen = found.query, found.seen
    weight = found.column("weight") if query.kind != "scroll" else np.zeros(0, np.int64)
    cells = None if query.kind == "scroll" else found.cells()
    return msgspec.json.encode(
        MapSummary(
            device=seen.device,
            devices={one.device: one.pageviews for one in found.devices},
            pageviews=seen.pageviews,
            total=int(weight.sum()),
            peak=0.0 if cells is None else peak_of(cells, likely_width(seen.w), seen.h),
            fold=seen.fold,
            spots=[] if cells is None else spots_of(cells),
            reached=reach_of(found.column("band"), found.column("reached"), seen.pageviews) if cells is None else [],
            sections=[
                SectionSeen(one["section"], int(one["reached"]), int(one["clicks"]), int(one["exposure_ms"]))
                for one in sections
            ],
        )
    )


def _rows(found: Found, names: tuple[str, ...]) -> list[list[int]]:
    rows: list[list[int]] = np.stack([found.column(name) for name in names], axis=1).tolist()
    return rows


def draw(found: Found, canvas: Canvas) -> bytes:
    """The map as PNG. Runs aside."""
    kind, top = found.query.kind, found.query.top
    if canvas.shot is not None:  # the page may have grown since, or its footer have been seen by nobody
        canvas = replace(canvas, height=max(canvas.height, height_of(canvas.shot)))
    if kind == "scroll":
        band, counted = found.column("band"), found.column("reached")
        reached = np.zeros(int(band.max(initial=0)) + 1, dtype=np.int64)
        reached[band] = counted
        return render_bands(canvas, reached, pageviews=found.seen.pageviews)
    unit = MS if kind == "attention" else 1
    return render_cells(
        canvas, found.cells(unit), unit="seconds" if unit == MS else "clicks", top=None if top is None else top / unit
    )
