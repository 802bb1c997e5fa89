"""The analysts' views: rows can be chosen by every column."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec
import pytest
from beacons import example_beacon

from infra.clickhouse.client import ClickHouse
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


def quoted(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"
