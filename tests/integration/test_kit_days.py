"""Days of the kit's queries: they begin and end at midnight of LPSTREAM_TIMEZONE."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from beacons import example_beacon
from harness import full_only

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.kit import kit
from infra.clickhouse.migrate import migrate
from processors.heatmap.decode import Fold, decode
from processors.heatmap.tiers import with_days_late

ZONES = ("Asia/Tokyo", pytest.param("America/New_York", marks=full_only))
TODAY = datetime.now(UTC).date()
DAY = TODAY - timedelta(days=3)
INSIDE = [time(0, 0), time(0, 30), time(8, 59), time(12), time(23, 59, 54)]
BEFORE, AFTER = time(23, 59, 54), time(0, 0)
LP = "lp_8f3a"


@pytest.fixture(params=ZONES)
async def writer(request: pytest.FixtureRequest, url: str) -> AsyncIterator[tuple[ClickHouse, ZoneInfo]]:
    """Yield a client for empty tables whose views have the zone's days."""
    server = ClickHouse.open(url, "lpstream", "writes", "default")
    await server.command("DROP DATABASE IF EXISTS lpstream SYNC")
    await migrate(server, timezone=request.param)
    await server.close()
    client = ClickHouse.open(url, "lpstream", "writes")
    yield client, ZoneInfo(request.param)
    await client.close()


async def visit(client: ClickHouse, zone: ZoneInfo, day: date, at: time) -> None:
    """Count a visit with every kind of event at that time of the zone."""
    ms = int(datetime.combine(day, at, zone).timestamp() * 1000)
    letters = "scdrmvt"
    columns = {"x": 40, "y": 300, "dwell": 900}
    beacon = example_beacon(
        t0=ms, type=letters, dt=[0] * 7, **{name: [value] * 7 for name, value in columns.items()},
        sections=[["hero", 0, 820]], elements=["call", 0, 0],
    )  # fmt: skip
    fold = Fold()
    fold.add(decode([msgspec.json.encode(beacon)], [ms]).columns)
    for name, rows in fold.tables().items():
        await client.insert(name, with_days_late(rows, ms), f"{day}{at}{name}")


async def answers(client: ClickHouse, first: date, until: date, *names: str) -> dict[str, list[dict[str, Any]]]:
    """Return the answers of the queries with these names, or of all."""
    values = {"from": first, "to": until, "change": DAY, "lp_id": LP}
    return {
        query.name: await client.rows(query.sql, {name: values[name] for name in query.parameters})
        for query in kit()
        if query.name in names or not names
    }


async def test_each_query_counts_exactly_the_days_of_the_zone(writer: tuple[ClickHouse, ZoneInfo]) -> None:
    client, zone = writer
    for at in INSIDE:
        await visit(client, zone, DAY, at)
    inside = await answers(client, DAY, DAY + timedelta(1))
    assert [name for name, rows in inside.items() if not rows] == []
    assert inside["daily_trend"][0] | {"day": DAY, "pageviews": len(INSIDE)} == inside["daily_trend"][0]
    assert [row["pageviews"] for row in inside["top_lps"]] == [len(INSIDE)]
    assert [row["pageviews_per_day"] for row in inside["weekday_pattern"]] == [len(INSIDE)]
    assert sorted(row["hour"] for row in inside["hourly_pattern"]) == [0, 8, 12, 23]
    assert [row["views_after"] for row in inside["before_and_after"]] == [len(INSIDE)]
    week = len(INSIDE) / 7
    assert [round(row["pageviews_7_days"] - week, 1) for row in inside["daily_trend"]] == [0]
    await visit(client, zone, DAY - timedelta(1), BEFORE)
    await visit(client, zone, DAY + timedelta(1), AFTER)
    inside["daily_trend"][0]["pageviews_7_days"] = round((len(INSIDE) + 1) / 7, 1)  # the day before counts in the mean
    assert await answers(client, DAY, DAY + timedelta(1)) == inside
    longer = await answers(client, DAY - timedelta(13), DAY + timedelta(1), "daily_trend", "weekday_pattern")
    assert [round(row["pageviews_7_days"] * 7) for row in longer["daily_trend"]] == [1, len(INSIDE) + 1]
    weekdays = {row["weekday"]: (row["days"], row["pageviews_per_day"]) for row in longer["weekday_pattern"]}
    assert weekdays[DAY.isoweekday()] == (2, len(INSIDE) / 2)
    around = await answers(client, DAY - timedelta(1), DAY + timedelta(2), "top_lps", "before_and_after")
    assert [row["pageviews"] for row in around["top_lps"]] == [len(INSIDE) + 2]
    assert [(row["views_before"], row["views_after"]) for row in around["before_and_after"]] == [(1, len(INSIDE) + 1)]
