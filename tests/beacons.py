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
from aiokafka import AIOKafkaConsumer, TopicPartition
from brute_force import COLUMNS, MEASURES, count
from patience import PATIENCE_S

from infra.clickhouse.client import ClickHouse
from infra.embedded.stack import Stack
from infra.kafka.topics import load_topics
from schemas.heatmap import TOPIC, decode_beacon
from streams.local.installation import Installation
from streams.proof.visitors import visits

RECORDS = 100  # a request to the REST door
PARTITIONS = next(spec.partitions for spec in load_topics() if spec.name == TOPIC)
SUMS = {name for table, columns in COLUMNS.items() for name in columns.split()[-MEASURES[table] :]}


def some_beacons(lp_id: str, count_: int) -> list[dict[str, Any]]:
    """Return beacons of visits to a page.

    Pageview ids differ by page, so that they do not look like retries.
    """
    seed = zlib.crc32(lp_id.encode())
    start = int(time.time() * 1000) - 60_000
    return [beacon for visit in visits(seed, [lp_id], count_, start, 60_000) for beacon in visit.beacons()]


def example_beacon(**changes: Any) -> dict[str, Any]:
    """Return the contract's example beacon with changes."""
    return {
        "schema": 1,
        "lp_id": "lp_8f3a",
        "pageview_id": "0b7f9e58-3f0e-4c55-9a53-6a1c80a8f0d7",
        "seq": 0,
        "device": "mobile",
        "viewport_w": 390,
        "viewport_h": 844,
        "page_w": 390,
        "page_h": 5200,
        "t0": 1_795_451_374_000,
        "depth": 0,
        "type": "scm",
        "dt": [0, 120, 480],
        "x": [0, 120, 44],
        "y": [0, 340, 900],
        "dwell": [0, 0, 350],
        **changes,
    }


async def post(session: aiohttp.ClientSession, services: Installation, beacon: dict[str, Any]) -> int:
    """Post a beacon; return the status."""
    async with session.post(f"{services.edge_url}/e/heatmap.events", data=msgspec.json.encode(beacon)) as answer:
        return answer.status


async def post_all(services: Installation, beacons: list[dict[str, Any]], *, times: int = 1) -> None:
    """Post each beacon `times` times; assert that each post is acknowledged."""
    async with aiohttp.ClientSession() as session:
        for beacon in beacons:
            for _ in range(times):
                assert await post(session, services, beacon) == 204


async def produce_all(services: Installation, beacons: list[dict[str, Any]]) -> None:
    """Post the beacons by the REST door, many records a request; assert that each is acknowledged."""
    door, headers = f"{services.edge_url}/topics/heatmap.events", {"Content-Type": "application/vnd.kafka.json.v2+json"}
    async with aiohttp.ClientSession(headers=headers) as session:
        for start in range(0, len(beacons), RECORDS):
            records = [{"value": beacon} for beacon in beacons[start : start + RECORDS]]
            async with session.post(door, data=msgspec.json.encode({"records": records})) as answer:
                assert answer.status == 200 and not any(
                    place.get("error") for place in (await answer.json())["offsets"]
                )


async def record_at(stack: Stack, topic: str, place: dict[str, int]) -> Any:
    """Return the record at the partition and offset that the edge answered."""
    async with AIOKafkaConsumer(bootstrap_servers=stack.addresses.kafka) as consumer:
        partition = TopicPartition(topic, place["partition"])
        consumer.assign([partition])
        consumer.seek(partition, place["offset"])
        return await consumer.getone()


def analyst(stack: Stack) -> ClickHouse:
    """Return a ClickHouse client with the analyst's login."""
    return ClickHouse.open(stack.addresses.clickhouse_url, "analyst", stack.addresses.analyst_password)


async def totals(clickhouse: ClickHouse, lp_id: str) -> dict[str, int]:
    """Return the pageviews and events of a page from lp_daily."""
    sql = "SELECT sum(pageviews) AS pageviews, sum(events) AS events FROM lp_daily WHERE lp_id = {lp:String}"
    return {name: int(value) for name, value in (await clickhouse.rows(sql, {"lp": lp_id}))[0].items()}


async def wait_counted(clickhouse: ClickHouse, lp_id: str, events: int, within_s: float = PATIENCE_S) -> dict[str, int]:
    """Wait until `events` are counted or the timeout ends; return the totals."""
    deadline = time.monotonic() + within_s
    while (found := await totals(clickhouse, lp_id))["events"] < events and time.monotonic() < deadline:
        await asyncio.sleep(0.3)
    return found


async def assert_counted(stack: Stack, lp_id: str, events: int) -> None:
    """Wait until the events of a page are counted; assert that there are no more."""
    clickhouse = analyst(stack)
    assert (await wait_counted(clickhouse, lp_id, events))["events"] == events > 0
    await clickhouse.close()


async def assert_tables_equal(clickhouse: ClickHouse, lp_id: str, beacons: list[dict[str, Any]]) -> None:
    """Assert that all tables equal a plain count of the beacons, row by row."""
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
