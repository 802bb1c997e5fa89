"""The analysts' views: rows can be chosen by every column."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from beacons import example_beacon

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.kit import kit_query
from infra.clickhouse.map_queries import readable_from
from infra.clickhouse.migrate import migrate
from infra.clickhouse.views import OVER_ALL_TIERS, TIER_NOW, TIERED
from processors.heatmap.decode import Fold, decode
from processors.heatmap.tiers import with_days_late

VIEWS = [f"tiered_{name}" for name in TIERED] + [name for name, *_ in (*OVER_ALL_TIERS, TIER_NOW)]
OPERATORS = ("{name} = {value}", "{name} IN ({value})", "{name} BETWEEN {value} AND {value}", "{name} <= {value}")


@pytest.fixture(scope="module")
def address(url: str) -> Iterator[str]:
    """Yield the address of a server with a visit and an object of the cold tier."""
    asyncio.run(fill(url))
    yield url


async def fill(url: str) -> None:
    writer = ClickHouse.open(url, "lpstream", "writes", "default")
    await migrate(writer, timezone="Asia/Tokyo")
    now = int(datetime.now(UTC).timestamp() * 1000)
    numbers = {"dt": 0, "x": 40, "y": 300, "dwell": 9}
    beacon = example_beacon(
        t0=now, type="scdrmvt", **{name: [value] * 7 for name, value in numbers.items()},
        sections=[["hero", 0, 820]], elements=["call", 0, 0],
    )  # fmt: skip
    fold = Fold()
    fold.add(decode([msgspec.json.encode(beacon)], [now]).columns)
    for name, rows in fold.tables().items():
        await writer.insert(f"lpstream.{name}", with_days_late(rows, now), name)
    await writer.command(
        "INSERT INTO lpstream.tier_objects (source, day, object, revision, step, partitions, until)"
        " VALUES ('heatmap_cells', '2026-01-01', 'o', 1, 'cold', ['p'], '2026-01-01')"
    )
    await writer.close()


@pytest.mark.parametrize("view", VIEWS)
async def test_rows_can_be_chosen_by_every_column(address: str, view: str) -> None:
    analyst = ClickHouse.open(address, "analyst", "reads")
    types = {row["name"]: row["type"] for row in await analyst.rows(f"DESCRIBE {view}")}
    texts = ", ".join(f"toString({name}) AS t_{name}" for name in types)
    row = (await analyst.rows(f"SELECT {texts} FROM {view} LIMIT 1"))[0]
    values = {name: f"CAST({quoted(row[f't_{name}'])}, {quoted(kind)})" for name, kind in types.items()}
    for operator in OPERATORS:
        conditions = " AND ".join(operator.format(name=name, value=value) for name, value in values.items())
        for clause in ("WHERE", "GROUP BY ALL HAVING"):
            rows = await analyst.rows(f"SELECT {', '.join(types)} FROM {view} {clause} {conditions}")
            assert rows, (operator, clause)
    await analyst.close()


async def test_a_range_with_cold_days_of_a_page_says_from_when_it_is_complete(address: str) -> None:
    writer = ClickHouse.open(address, "lpstream", "writes")
    steps = [("01", 2, "cold"), ("03", 2, "cold"), ("03", 3, "restored"), ("04", 2, "settled")]
    rows = [
        f"('heatmap_windows', '2026-10-{day}', 'o{day}', {number}, '{step}', ['lp'])" for day, number, step in steps
    ]
    rows.append("('heatmap_windows', '2026-10-05', 'o05', 1, 'cold', ['other'])")
    columns = "(source, day, object, revision, step, lp_ids)"
    await writer.command(f"INSERT INTO lpstream.tier_objects {columns} VALUES {', '.join(rows)}")
    end = datetime(2026, 10, 10, tzinfo=UTC)
    found = [await readable_from(writer, lp, datetime(2026, 10, day, tzinfo=UTC), end) for lp, day in
             (("lp", 1), ("lp", 2), ("other", 1), ("new", 1))]  # fmt: skip
    assert found == [date(2026, 10, 2), None, date(2026, 10, 6), None]
    assert (
        await readable_from(writer, "other", datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 10, 5, tzinfo=UTC))
        is None
    )
    await writer.close()


async def test_the_weekly_mean_is_null_until_seven_days_can_be_read(address: str) -> None:
    writer = ClickHouse.open(address, "lpstream", "writes")
    await writer.command("SYSTEM STOP TTL MERGES lpstream.heatmap_windows")
    hours = "toStartOfDay(now(), 'UTC') + INTERVAL 23 HOUR - number * 3600"
    await writer.command(
        "INSERT INTO lpstream.heatmap_windows (lp_id, window_start, device, pageviews, events)"
        f" SELECT 'constant', {hours}, 'mobile', 10, 10 FROM numbers(32 * 24)"  # the days that the views can read
    )
    today = datetime.now(UTC).date()
    values = {"from": today - timedelta(30), "to": today, "lp_id": "constant"}
    means = [row["pageviews_7_days"] for row in await writer.rows(kit_query("daily_trend").sql, values)]
    assert means == [None] * 6 + [240] * 24
    cold = f"('heatmap_windows', '{today - timedelta(20)}', 'cold', 1, 'cold')"
    await writer.command(f"INSERT INTO lpstream.tier_objects (source, day, object, revision, step) VALUES {cold}")
    means = [row["pageviews_7_days"] for row in await writer.rows(kit_query("daily_trend").sql, values)]
    assert means == [None] * 6 + [240] * 4 + [None] * 8 + [240] * 12
    await writer.close()


def quoted(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"
