"""`lpstream bench --only picture_cold,picture_cached`: heatmap pictures by HTTP, new and cached.

The page is a generated page with a week of the visitor model's traffic, copied to other times of each day until the
table of cells has MOST_ROWS rows. The edge, ClickHouse, Redis, S3 and Chromium are real. A cold picture bypasses the
cache, but its screenshot exists. The details have the time of each first picture, which waits for the screenshot, and
the time of each query without the edge.
"""

import asyncio
import time
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any, Literal
from uuid import uuid4

import aiohttp

from infra.clickhouse import map_queries
from infra.clickhouse.client import ClickHouse
from infra.embedded.stack import Stack
from schemas.errors import LpstreamError
from schemas.generation import Business, GenerationRequest
from streams.client import over_http
from streams.local.installation import Installation
from streams.local.prepare import settings_of
from streams.pictures.maps import MapKind
from streams.proof.bench.frame import Row, Say, own_services, quiet, row
from streams.proof.percentiles import spread
from streams.proof.traffic import Traffic, folded, midnight_ms
from streams.runtime.stores import open_analyst, open_writer

DAYS, VISITS = 7, 2_000
MOST_ROWS = 10_000_000
COPIED = """INSERT INTO lpstream.heatmap_cells SELECT cells.* REPLACE (
    toStartOfDay(window_start) + (toUnixTimestamp(window_start) + (number + 1) * 35) % 86400 AS window_start)
    FROM lpstream.heatmap_cells AS cells CROSS JOIN numbers({copies:UInt64}) AS copies"""
COLD, CACHED = 8, 60  # pictures per kind, device and round
MAPS: tuple[tuple[MapKind, str], ...] = tuple(
    (kind, device) for kind in ("click", "attention", "scroll") for device in ("mobile", "desktop")
)
Which = Literal["picture_cold", "picture_cached"]


def picture(*, which: Which, rounds: int, say: Say = quiet) -> list[Row]:
    """Return the rows `which`: p50 and p99 in ms over all kinds of maps on a phone and a desktop."""
    with own_services(say, "tansu") as (stack, services):
        return asyncio.run(_run(stack, services, which, rounds, say))


async def _run(stack: Stack, services: Installation, which: Which, rounds: int, say: Say) -> list[Row]:
    lp_id = await _page(services)
    first = datetime.now(UTC).date() - timedelta(days=DAYS)
    rows = await _fill(stack, lp_id, first, say)
    queries_ms = await _queries_ms(stack, lp_id, first)
    headers = {"Authorization": f"Bearer {services.token}"}
    ends = [midnight_ms(first + timedelta(days=days)) for days in (0, DAYS)]
    async with aiohttp.ClientSession(headers=headers) as http:
        addresses = [
            f"{services.api_url}/heatmaps/{lp_id}.png?kind={kind}&device={device}&from={ends[0]}&to={ends[1]}"
            for kind, device in MAPS
        ]
        before = [await _timed(http, address) for address in addresses]
        say(f"{which}: {rounds} rounds")
        anew = which == "picture_cold"
        times: dict[str, list[float]] = {}
        for _ in range(rounds * (COLD if anew else CACHED)):
            for (kind, device), address in zip(MAPS, addresses, strict=True):
                times.setdefault(f"{kind} {device}", []).append((await _timed(http, address, anew=anew))[0])
    return _rows(which, times, before, {"rows": rows, "queries_ms": queries_ms})


async def _page(services: Installation) -> str:
    request = GenerationRequest(
        request_id=uuid4(), tenant_id="demo", industry="美容", purpose="予約", business=Business(name="サロン 凪")
    )
    async with over_http(services.api_url, services.token) as pages:
        await pages.request(request)
        result = await pages.result(request.request_id)
    if result.lp_id is None:
        raise LpstreamError(f"picture: no page was made: {result.error}")
    return result.lp_id


async def _fill(stack: Stack, lp_id: str, first: date, say: Say) -> int:
    say(f"{DAYS} days of {VISITS:,} visits")
    writer = open_writer(settings_of(stack))
    traffic = Traffic((lp_id,), VISITS)
    for day in range(DAYS):
        for number, (_, tables) in enumerate(folded(traffic.day(first + timedelta(days=day)))):
            for table, part in tables.items():
                await writer.insert(table, part, f"{lp_id}/{day}/{number}/{table}")
    copies = MOST_ROWS // await _cells(writer)
    say(f"{copies} copies of the cells")
    await writer.command(COPIED, {"copies": copies - 1})
    rows = await _cells(writer)
    await writer.close()
    return rows


async def _cells(clickhouse: ClickHouse) -> int:
    """Return the number of rows in the table of cells."""
    return int((await clickhouse.rows("SELECT count() AS n FROM lpstream.heatmap_cells"))[0]["n"])


async def _queries_ms(stack: Stack, lp_id: str, first: date) -> dict[str, float]:
    """Return the median time of each query of a map of clicks on phones, asked as the analyst."""
    start, end = (datetime.fromtimestamp(midnight_ms(first + timedelta(days=n)) / 1000, UTC) for n in (0, DAYS))
    selection = map_queries.Selection(lp_id, "mobile", start, end)
    clickhouse, times = open_analyst(settings_of(stack)), defaultdict[str, list[float]](list)
    for _ in range(COLD):
        for name, query in (
            ("devices", map_queries.devices(clickhouse, lp_id, start, end)),
            ("cells", map_queries.cells(clickhouse, "click", selection)),
            ("elements", map_queries.elements(clickhouse, "click", selection)),
        ):
            started = time.perf_counter()
            await query
            times[name].append((time.perf_counter() - started) * 1000)
    await clickhouse.close()
    return {name: round(median(each), 1) for name, each in times.items()}


async def _timed(http: aiohttp.ClientSession, address: str, *, anew: bool = False) -> tuple[float, int]:
    """Fetch a picture. Return the milliseconds until it is complete, and its bytes.

    Raise LpstreamError if the answer is no picture.
    """
    started = time.perf_counter()
    async with http.get(address, headers={"Cache-Control": "no-cache"} if anew else {}) as answer:
        body = await answer.read()
    if answer.status != 200 or not body.startswith(b"\x89PNG"):
        raise LpstreamError(f"picture: the edge answered {answer.status} without a PNG to {address}")
    return (time.perf_counter() - started) * 1000, len(body)


def _rows(which: Which, times: dict[str, list[float]], before: list[tuple[float, int]], about: Row) -> list[Row]:
    together = spread([ms for each in times.values() for ms in each])
    detail: dict[str, Any] = {
        "pictures": sum(len(each) for each in times.values()),
        **about,
        "bytes": {f"{kind} {device}": size for (kind, device), (_, size) in zip(MAPS, before, strict=True)},
        "first_ms": {f"{kind} {device}": round(ms) for (kind, device), (ms, _) in zip(MAPS, before, strict=True)},
        "by_map_ms": {name: spread(each, 1) for name, each in times.items()},
    }
    return [row(which, name, together[name], "ms", None, detail, digits=1) for name in ("p50", "p99")]
