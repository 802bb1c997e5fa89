"""Goals by kind and sampling in ClickHouse, in a new installation and in one of release 0.1.0."""

from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any

import msgspec
from beacons import example_beacon
from brute_force import COLUMNS, count

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.kit import kit
from infra.clickhouse.migrate import WarmStore, migrate, statements
from infra.clickhouse.views import SCALED
from infra.tiers.hot import HotTables
from infra.tiers.tables import HOT_TABLES
from infra.tiers.warm import WarmTables
from processors.heatmap.decode import Fold, decode
from processors.heatmap.tiers import with_days_late
from schemas.heatmap import WINDOW_MS, decode_beacon
from schemas.tiers import Fingerprint, Step, TierObject

FIRST_RELEASE = ("0001_heatmap_tables.sql", "0002_tiers.sql")
WARM = WarmStore("http://127.0.0.1:9/bucket", "key", "secret")
NAMES = COLUMNS["heatmap_windows"].split()[3:]
OBJECT = "heatmap_windows_20261101_1"


async def first_release(server: ClickHouse) -> None:
    for name in FIRST_RELEASE:
        for statement in statements(files("infra.clickhouse").joinpath("ddl", name).read_text("utf-8")):
            await server.command(statement)


def beacon(now_ms: int, letters: str, **changes: Any) -> bytes:
    places = dict.fromkeys(("x", "y", "dwell"), [0] * len(letters))
    times = list(range(len(letters)))
    return msgspec.json.encode(
        example_beacon(t0=now_ms // WINDOW_MS * WINDOW_MS, type=letters, dt=times, **places, **changes)
    )


async def insert(server: ClickHouse, values: list[bytes], now_ms: int, token: str) -> None:
    fold = Fold()
    fold.add(decode(values, [now_ms] * len(values)).columns)
    for name, rows in fold.tables().items():
        await server.insert(f"lpstream.{name}", with_days_late(rows, now_ms), f"{token}/{name}")


async def totals(server: ClickHouse, source: str, columns: list[str] = NAMES) -> dict[str, Any]:
    sums = ", ".join(f"sum(t.{name}) AS {name}" for name in columns)
    return (await server.rows(f"SELECT {sums} FROM lpstream.{source} AS t"))[0]


async def test_goals_count_by_kind_in_the_table_and_in_the_views(server: ClickHouse) -> None:
    await migrate(server, timezone="Asia/Tokyo")
    now = int(datetime.now(UTC).timestamp() * 1000)
    values = [beacon(now, "vsf", seq=1), beacon(now, "tts", rate=0.5), beacon(now + 60_000, "eovg", rate=0.1)]
    for number, value in enumerate(values):
        await insert(server, [value], now, f"{number}")
    rows = count([(decode_beacon(value), now) for value in values])["heatmap_windows"]
    expected = {name: sum(int(str(row[at])) for row in rows) for at, name in enumerate(NAMES, 3)}
    assert (expected["goals_tel"], expected["conversions"]) == (2, 2)
    assert (expected["left_out_goals"], expected["left_out_conversions"]) == (2 * 1000 + 3 * 9000, 9000)
    assert await totals(server, "heatmap_windows") == expected
    await server.command("OPTIMIZE TABLE lpstream.heatmap_windows FINAL")
    assert await totals(server, "heatmap_windows") == expected
    assert await totals(server, "tiered_windows") == expected
    for view in ("lp_windows", "lp_daily"):
        counted = [name for name in NAMES if name != "sampled_out" and not name.startswith("left_out_")]
        assert await totals(server, view, counted) == {name: expected[name] for name in counted}


async def test_a_change_of_sampling_makes_no_step_in_a_trend(server: ClickHouse) -> None:
    await migrate(server, timezone="Asia/Tokyo")
    now = int(datetime.now(UTC).timestamp() * 1000)
    for number, (rate, visitors) in enumerate(((1.0, 100), (0.25, 25))):
        at = now - 86_400_000 * (2 - number)
        await insert(server, [beacon(at, "scvt", rate=rate)] * visitors, at, f"{number}")
    raw = await server.rows("SELECT pageviews, clicks, conversions FROM lpstream.lp_daily ORDER BY day")
    assert [tuple(row.values()) for row in raw] == [(100, 100, 100), (25, 25, 25)]
    scaled = await server.rows(
        "SELECT scaled_pageviews, scaled_events, scaled_clicks, scaled_goals, scaled_conversions FROM lpstream.lp_daily"
    )
    assert [tuple(row.values()) for row in scaled] == [(100, 400, 100, 100, 100)] * 2
    trend = next(query for query in kit() if query.name == "daily_trend")
    today = datetime.now(UTC).date()
    values = {"from": today - timedelta(5), "to": today + timedelta(2), "lp_id": ""}
    reader = ClickHouse.open(server._url, "lpstream", "writes")
    answers = await reader.rows(trend.sql, values)
    await reader.close()
    assert [row["pageviews"] for row in answers] == [100, 100]


async def test_two_rates_in_one_window_count_exactly_before_and_after_a_merge(server: ClickHouse) -> None:
    await migrate(server, timezone="Asia/Tokyo")
    now = int(datetime.now(UTC).timestamp() * 1000)
    full = [beacon(now, "sccrdmvtcc", elements=["a", 0, 0, "b", 0, 0])] * 10
    tenth = [beacon(now, "sc", rate=0.1, elements=["b"])] * 10
    for number, values in enumerate((full, tenth)):
        await insert(server, values, now, f"{number}")
    true = [110, 300, 160, 10, 10, 10, 110, 10, 10]
    scaled = ", ".join(f"sum(scaled_{name})" for name in SCALED)
    clicked = (
        "SELECT sum(scaled_clicks), sum(scaled_dead_clicks) FROM lpstream.element_clicks"
        " GROUP BY element ORDER BY element"
    )
    for merge in (False, True):
        for table in ("windows", "elements") if merge else ():
            await server.command(f"OPTIMIZE TABLE lpstream.heatmap_{table} FINAL")
        for view in ("lp_windows", "lp_daily"):
            assert list((await server.rows(f"SELECT {scaled} FROM lpstream.{view}"))[0].values()) == true
        assert [tuple(row.values()) for row in await server.rows(clicked)] == [(50, 0), (110, 10)]


async def test_windows_of_a_worker_before_the_migration_keep_their_mean(server: ClickHouse) -> None:
    await migrate(server, timezone="Asia/Tokyo")
    now = int(datetime.now(UTC).timestamp() * 1000)
    at = now // WINDOW_MS * WINDOW_MS // 1000
    await server.command(
        "INSERT INTO lpstream.heatmap_windows (lp_id, window_start, device, pageviews, events, clicks,"
        " `countersMap.name`, `countersMap.value`)"
        f" VALUES ('lp_8f3a', {at}, 'mobile', 1, 3, 2, ['sampled_out'], [36000])"
    )
    query = "SELECT sum(scaled_pageviews), sum(scaled_events), sum(scaled_clicks) FROM lpstream.lp_daily"
    assert list((await server.rows(query))[0].values()) == [10, 30, 20]
    await insert(server, [beacon(now, "sc", rate=0.1)], now, "new")
    assert list((await server.rows(query))[0].values()) == [20, 50, 30]
    await server.command("OPTIMIZE TABLE lpstream.heatmap_windows FINAL")
    after = list((await server.rows(query))[0].values())
    assert after[0] + after[1] == 70  # the sum stays; a share of one worker's may go to the other's measures


async def test_an_installation_of_the_first_release_keeps_its_counts(server: ClickHouse) -> None:
    await first_release(server)
    now = datetime.now(UTC)
    await server.command(
        "INSERT INTO lpstream.heatmap_windows (lp_id, window_start, device, pageviews, events, goals)"
        " SELECT 'old', toDateTime(now(), 'UTC'), 'mobile', 2, 5, 1"
    )
    await migrate(server, timezone="Asia/Tokyo", warm=WARM)
    now_ms = int(now.timestamp() * 1000)
    await insert(server, [beacon(now_ms, "vt", lp_id="old")], now_ms, "new")
    await server.command("OPTIMIZE TABLE lpstream.heatmap_windows FINAL")
    expected = {"pageviews": 3, "events": 7, "goals": 2, "goals_tel": 1, "conversions": 1, "sampled_out": 0}
    assert await totals(server, "tiered_windows", list(expected)) == expected


async def test_warm_days_of_the_first_release_can_be_read_and_copied(server: ClickHouse) -> None:
    await first_release(server)
    columns = "lp_id String, window_start DateTime('UTC'), device Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3)"
    measures = ", ".join(f"{name} UInt64" for name in HOT_TABLES["heatmap_windows"].measures)
    # stands for the object's table, whose engine is S3
    await server.command(
        f"CREATE TABLE lpstream_warm.{OBJECT} ({columns}, {measures}) ENGINE = MergeTree ORDER BY lp_id"
    )
    row = "'old', '2026-11-01 00:00:00', 'mobile', 2, 5, 3, 1, 1, 0, 1, 1"
    await server.command(f"INSERT INTO lpstream_warm.{OBJECT} VALUES ({row})")
    recorded = (
        await server.rows(
            "SELECT count() AS n, sum(cityHash64(lp_id, device, window_start, pageviews, events, clicks, rage_clicks,"
            f" dead_clicks, moves, scrolls, goals)) AS digest FROM lpstream_warm.{OBJECT}"
        )
    )[0]
    await migrate(server, timezone="Asia/Tokyo")
    item = TierObject(
        source="heatmap_windows", day=date(2026, 11, 1), name=OBJECT, revision=1, step=Step.SETTLED, partitions=(),
        fingerprint=Fingerprint(0, (), 0), bytes=0, lp_ids=("old",), erased=0, until=date(2026, 11, 1),
    )  # fmt: skip
    found = await WarmTables(server).fingerprint(item)
    assert found == Fingerprint(1, (2, 5, 3, 1, 1, 0, 1, 1), recorded["digest"])
    assert await totals(server, "warm_windows", ["goals", "goals_tel"]) == {"goals": 1, "goals_tel": 0}


async def test_fingerprints_differ_if_only_a_kind_of_goals_differs(server: ClickHouse) -> None:
    await migrate(server, timezone="Asia/Tokyo")
    now = int(datetime.now(UTC).timestamp() * 1000)
    prints = []
    for letters in ("vt", "ve"):
        await server.command("TRUNCATE TABLE lpstream.heatmap_windows")
        await insert(server, [beacon(now, letters)], now, letters)
        parts = [row["partition_id"] for row in await server.rows(
            "SELECT DISTINCT partition_id FROM system.parts WHERE table = 'heatmap_windows' AND active"
        )]  # fmt: skip
        prints.append(await HotTables(server).fingerprint("heatmap_windows", parts))
    assert prints[0].rows == prints[1].rows == 1
    assert prints[0].sums == prints[1].sums
    assert prints[0].digest != prints[1].digest
