"""Findings on demand: from aggregates in ClickHouse to a ranked list, cached as maps are."""

import asyncio
import hashlib
import logging
import time
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta

import msgspec
import pyarrow as pa

from infra.clickhouse import finding_queries
from infra.clickhouse.client import ClickHouse
from infra.clickhouse.finding_queries import Rectangle, Span
from infra.clickhouse.map_queries import readable_from
from infra.redis.response_cache import CachedResponse, ResponseCache
from infra.s3.objects import Objects
from processors.findings.counts import (
    SPOT_KINDS,
    STRETCHES,
    Layout,
    Names,
    Place,
    Size,
    Tables,
    asked,
    counts_of,
    names_of,
    places_of,
    with_places,
)
from processors.findings.layout import layout_of
from processors.findings.report import Report, report_of
from processors.pictures.words import Language
from schemas.errors import LpstreamError
from schemas.heatmap import Device
from streams.pictures.drawing import DrawingProcess, Threads
from streams.pictures.stored import html_of

log = logging.getLogger(__name__)

VERSION = 2  # of the rules, part of the cache key
KEEP_S = 3_600
DEFAULT_SPAN = timedelta(days=7)
MS = 1_000


@dataclass(frozen=True, slots=True)
class FindingsQuery:
    """A request for findings. Default device: all; default times: the last seven days."""

    lp_id: str
    device: Device | None = None
    start: datetime | None = None
    end: datetime | None = None
    language: Language = "en"


class PageReport(Report, frozen=True, kw_only=True):
    """The report on a page, with its range of time and device (null: all).

    Days of the range before `readable_from` (UTC) are not complete, because some are on Glacier. It is null if none is.
    """

    lp_id: str
    device: str | None
    start: str = msgspec.field(name="from")
    end: str = msgspec.field(name="to")
    readable_from: date | None = None


class Findings:
    """The findings of the pages of one ClickHouse."""

    def __init__(
        self, clickhouse: ClickHouse, cache: ResponseCache, objects: Objects, process: DrawingProcess | Threads
    ) -> None:
        self._clickhouse = clickhouse
        self._cache = cache
        self._objects = objects
        self._process = process

    async def get(self, query: FindingsQuery, *, fresh: bool = False) -> CachedResponse:
        """Return the findings as JSON from the cache, or make them; raise Retryable without ClickHouse."""

        async def make() -> CachedResponse:
            return CachedResponse.of(await self._make(query), "application/json", KEEP_S)

        since_ms = int(time.time() * MS) if fresh else 0
        return await self._cache.get(key_of(query), make, since_ms=since_ms)

    async def _make(self, query: FindingsQuery) -> bytes:
        end = query.end or datetime.now(UTC).replace(microsecond=0)
        start = query.start or end - DEFAULT_SPAN
        span = await finding_queries.span(self._clickhouse, query.lp_id, start, end, STRETCHES)
        tables, layout = await asyncio.gather(self._tables(query, span), self._layout(query.lp_id))
        places = await self._process.run(places_of, tables)
        rows, names = await asyncio.gather(self._places(span, places), self._names(span, places))
        first = await readable_from(self._clickhouse, query.lp_id, start, end)
        return await self._process.run(report, query, (start, end), layout, tables, places, rows, names, first)

    async def _tables(self, query: FindingsQuery, span: Span) -> Tables:
        client = self._clickhouse
        rows = await finding_queries.sizes(client, span)
        sizes = (Size(**row) for row in rows if query.device in (None, row["device"]))
        names = (finding_queries.totals, finding_queries.sections, finding_queries.bands, finding_queries.cells)
        totals, sections, bands, cells = await asyncio.gather(*(ask(client, span) for ask in names))
        return Tables(tuple(sizes), totals, sections, bands, cells)

    async def _places(self, span: Span, places: list[Place]) -> pa.Table | None:
        """Return the events of the places and their surroundings, by index of `asked`."""
        every = asked(places)

        async def of(device: str) -> pa.Table:
            own = [at for at, place in enumerate(every) if place.device == device]
            boxes = [_rectangle(every[at]) for at in own]
            rows = await finding_queries.places(self._clickhouse, span, device, boxes)
            index = pa.array([own[at] for at in rows["place"].to_pylist()], pa.int64())
            return rows.set_column(rows.column_names.index("place"), "place", index)

        tables = await asyncio.gather(*(of(device) for device in dict.fromkeys(place.device for place in every)))
        return pa.concat_tables(tables) if tables else None

    async def _names(self, span: Span, places: list[Place]) -> Names:
        """Return the names of the elements at the places, by index of the place."""
        spots = [at for at, place in enumerate(places) if place.kind in SPOT_KINDS]
        boxes = [_rectangle(places[at]) for at in spots]
        named = names_of(await finding_queries.names(self._clickhouse, span, boxes))
        return {spots[at]: name for at, name in named.items()}

    async def _layout(self, lp_id: str) -> Layout:
        """Return the layout of a page that lpstream made.

        Other pages, and all pages while S3 does not answer, have an unknown layout.
        """
        try:
            page = await html_of(self._objects, lp_id)
        except LpstreamError as error:
            log.warning("findings of page %s without its layout: %s", lp_id, error)
            page = None
        return Layout() if page is None else layout_of(page.body)


def _rectangle(place: Place) -> Rectangle:
    return Rectangle(place.device, place.kind, int(place.fixed), place.left, place.right, place.top, place.bottom)


def key_of(query: FindingsQuery) -> str:
    """Return the cache key: the page, and a hash of everything else that the answer depends on."""
    inputs = {**asdict(query), "form": "findings", "version": VERSION}
    return f"{query.lp_id}:{hashlib.sha256(msgspec.json.encode(inputs, order='sorted')).hexdigest()[:32]}"


def report(
    query: FindingsQuery,
    times: tuple[datetime, datetime],
    layout: Layout,
    tables: Tables,
    places: list[Place],
    rows: pa.Table | None,
    names: Names,
    first: date | None = None,
) -> bytes:
    """Return the report as JSON. Runs in the drawing process."""
    counts = counts_of(tables)
    if rows is not None:
        counts = with_places(counts, places, rows, names)
    found = report_of(counts, layout, query.language)
    start, end = (time.isoformat() for time in times)
    answer = PageReport(
        *msgspec.structs.astuple(found),
        lp_id=query.lp_id,
        device=query.device,
        start=start,
        end=end,
        readable_from=first,
    )
    return msgspec.json.encode(answer)
