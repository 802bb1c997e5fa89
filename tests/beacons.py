"""Helpers for the heatmap pipeline.

Beacons of the visitor model, posting them, and totals in ClickHouse.
"""

import asyncio
import time
import zlib
from datetime import UTC
from typing import Any

import aiohttp
import msgspec
from brute_force import COLUMNS, count

from infra.clickhouse.client import ClickHouse
from infra.embedded.stack import Stack
from schemas.heatmap import decode_beacon
from streams.local.installation import Installation
from streams.proof.visitors import visits

COUNTED_WITHIN_S = 60
SUMS = {
    "hits", "dwell_ms", "reached", "exposure_ms", "clicks", "pageviews", "events", "rage_clicks", "dead_clicks",
    "moves", "scrolls", "goals",
}  # fmt: skip


def some_beacons(lp_id: str, count_: int) -> list[dict[str, Any]]:
    """Return beacons of visits to a page.

    Pageview ids differ by page, so that they do not look like retries.
    """
    seed = zlib.crc32(lp_id.encode())
    start = int(time.time() * 1000) - 60_000
    return [beacon for visit in visits(seed, [lp_id], count_, start, 60_000) for beacon in visit.beacons()]


async def post(session: aiohttp.ClientSession, services: Installation, beacon: dict[str, Any]) -> int:
    """Post a beacon; return the status."""
    async with session.post(f"{services.edge_url}/e/heatmap.events", data=msgspec.json.encode(beacon)) as answer:
        return answer.status


def analyst(stack: Stack) -> ClickHouse:
    """Return a ClickHouse client with the analyst's login."""
    return ClickHouse.open(stack.addresses.clickhouse_url, "analyst", stack.addresses.analyst_password)


async def totals(clickhouse: ClickHouse, lp_id: str) -> dict[str, int]:
    """Return the pageviews and events of a page from lp_daily."""
    sql = "SELECT sum(pageviews) AS pageviews, sum(events) AS events FROM lp_daily WHERE lp_id = {lp:String}"
    return {name: int(value) for name, value in (await clickhouse.rows(sql, {"lp": lp_id}))[0].items()}


async def wait_counted(
    clickhouse: ClickHouse, lp_id: str, events: int, within_s: float = COUNTED_WITHIN_S
) -> dict[str, int]:
    """Wait until `events` are counted or the timeout ends; return the totals."""
    deadline = time.monotonic() + within_s
    while (found := await totals(clickhouse, lp_id))["events"] < events and time.monotonic() < deadline:
        await asyncio.sleep(0.3)
    return found


async def assert_tables_equal(clickhouse: ClickHouse, lp_id: str, beacons: list[dict[str, Any]]) -> None:
    """Assert that all five tables equal a plain count of the beacons, row by row."""
    now_ms = int(time.time() * 1000)
    expected = count([(decode_beacon(msgspec.json.encode(beacon)), now_ms) for beacon in beacons])
    for table, rows in expected.items():
        columns = COLUMNS[table].split()
        keys = [name for name in columns if name not in SUMS]
        sums = [f"sum({name}) AS {name}" for name in columns if name in SUMS]
        sql = f"SELECT {', '.join([*keys, *sums])} FROM {table} WHERE lp_id = '{lp_id}' GROUP BY {', '.join(keys)}"
        found = await clickhouse.rows(sql)
        for row in found:
            row["window_start"] = int(row["window_start"].replace(tzinfo=UTC).timestamp())
        assert sorted(tuple(row[name] for name in columns) for row in found) == sorted(rows), table
