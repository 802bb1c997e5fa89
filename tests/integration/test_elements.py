"""Clicks by element in ClickHouse: table, views, kit, erasure, warm tier, and an upgrade."""

from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any
from uuid import UUID

import msgspec
from beacons import example_beacon
from brute_force import count

from infra.clickhouse import finding_queries, map_queries
from infra.clickhouse.client import ClickHouse
from infra.clickhouse.experiment_counts import counts
from infra.clickhouse.finding_queries import Rectangle
from infra.clickhouse.kit import kit_query
from infra.clickhouse.map_queries import Selection
from infra.clickhouse.migrate import migrate, statements
from infra.tiers.hot import HotTables
from infra.tiers.warm import WarmTables
from processors.findings.counts import names_of
from processors.heatmap.decode import Fold, decode
from processors.heatmap.tiers import with_days_late
from processors.pictures.summary import elements_of
from schemas.heatmap import LATE_LIMIT_MS, WINDOW_MS, decode_beacon
from schemas.tiers import Erasure, Fingerprint, Step, TierObject

TABLE = "heatmap_elements"
EARLIER = ("0001_heatmap_tables.sql", "0002_tiers.sql", "0003_goals_and_sampling.sql")


def beacon(now_ms: int, letters: str, names: list[Any], **changes: Any) -> bytes:
    places = dict.fromkeys(("x", "y", "dwell"), [0] * len(letters))
    times = {"t0": now_ms // WINDOW_MS * WINDOW_MS, "dt": list(range(len(letters)))}
    return msgspec.json.encode(example_beacon(type=letters, **{**times, **places, "elements": names, **changes}))


async def insert(server: ClickHouse, values: list[bytes], now_ms: int, token: str) -> None:
    fold = Fold()
    fold.add(decode(values, [now_ms] * len(values)).columns)
    for name, rows in fold.tables().items():
        await server.insert(f"lpstream.{name}", with_days_late(rows, now_ms), f"{token}/{name}")


async def clicks(server: ClickHouse, source: str) -> list[tuple[Any, ...]]:
    rows = await server.rows(
        "SELECT lp_id, element, sum(t.clicks) AS clicks, sum(t.rage_clicks) AS rage, sum(t.dead_clicks) AS dead"
        f" FROM lpstream.{source} AS t GROUP BY lp_id, element ORDER BY lp_id, element"
    )
    return [(row["lp_id"], row["element"], *map(int, list(row.values())[2:])) for row in rows]


async def test_clicks_by_element_reach_the_views_the_kit_and_the_map(server: ClickHouse) -> None:
    await migrate(server, timezone="Asia/Tokyo")
    now = int(datetime.now(UTC).timestamp() * 1000)
    values = [
        beacon(now, "ccrd", ["料金", 0, 0, "nav'\\;--"]),
        beacon(now, "sd", ["料金"], seq=1, rate=0.5),
        beacon(now, "sc", ["tel"], lp_id="other"),
        msgspec.json.encode(example_beacon(t0=now, lp_id="earlier")),
    ]
    for number, value in enumerate(values):
        await insert(server, [value], now, f"{number}")
        await insert(server, [value], now, f"{number}")  # a retry of the same part
    expected = [("lp_8f3a", "nav'\\;--", 1, 0, 1), ("lp_8f3a", "料金", 4, 1, 1), ("other", "tel", 1, 0, 0)]
    rows = count([(decode_beacon(value), now) for value in values])[TABLE]
    assert sorted(row[3:7] for row in rows) == sorted(row[1:] for row in expected)
    await server.command(f"OPTIMIZE TABLE lpstream.{TABLE} FINAL")
    for source in (TABLE, "tiered_elements", "element_clicks"):
        assert await clicks(server, source) == expected
    today = datetime.now(UTC)
    given = {"lp_id": "lp_8f3a", "from": today.date() - timedelta(2), "to": today.date() + timedelta(2)}
    reader = ClickHouse.open(server._url, "lpstream", "writes")
    top = await reader.rows(kit_query("top_elements").sql, given)
    dead = await reader.rows(kit_query("dead_elements").sql, given)
    # the click at rate 0.5 counts twice, those of the same window at rate 1 once
    assert [(row["element"], row["dead"]) for row in top] == [(row["element"], row["dead"]) for row in dead]
    assert [row["element"] for row in top] == ["料金", "nav'\\;--"]
    assert [row["percent_of_clicks"] for row in top] == [83.33, 16.67]
    assert [row["all_clicks"] for row in top] == [5, 1]
    selection = Selection("lp_8f3a", "mobile", today - timedelta(1), today + timedelta(1))
    found, dead_ones = [elements_of(await map_queries.elements(reader, kind, selection)) for kind in ("click", "dead")]
    await reader.close()
    assert [(one.name, one.rank, one.share) for one in dead_ones] == [("nav'\\;--", 1, 0.5), ("料金", 1, 0.5)]
    assert [(one.name, one.rank, one.share) for one in found] == [("料金", 1, 0.8), ("nav'\\;--", 2, 0.2)]


async def test_an_installation_of_an_earlier_release_gets_an_empty_table(server: ClickHouse) -> None:
    for name in EARLIER:
        for statement in statements(files("infra.clickhouse").joinpath("ddl", name).read_text("utf-8")):
            await server.command(statement)
    await migrate(server, timezone="Asia/Tokyo")
    assert await clicks(server, "element_clicks") == []
    assert await migrate(server, timezone="Asia/Tokyo") == []


async def test_an_erasure_deletes_the_elements_of_a_page(server: ClickHouse) -> None:
    await migrate(server, timezone="Asia/Tokyo")
    now = int(datetime.now(UTC).timestamp() * 1000)
    for lp_id in ("t1-a", "t2-a"):
        await insert(server, [beacon(now, "sc", ["cta"], lp_id=lp_id)], now, lp_id)
    order = Erasure(1, (), "t1-", datetime.now(UTC) + timedelta(minutes=1))
    hot = HotTables(server)
    assert (await hot.concerned(order))[TABLE] == 1
    await hot.erase(order)
    assert await clicks(server, "element_clicks") == [("t2-a", "cta", 1, 0, 0)]


async def test_an_erasure_deletes_the_visits_of_fast_clocks(server: ClickHouse) -> None:
    """The window of such a visit lies after the erasure. A later visit with a right clock stays."""
    await migrate(server, timezone="Asia/Tokyo")
    asked = datetime.now(UTC).replace(microsecond=0)
    now = int(asked.timestamp() * 1000)
    posted = [(now - 1_000, 4 * 60_000), (now + 900, LATE_LIMIT_MS), (now + LATE_LIMIT_MS + 2 * WINDOW_MS, 0)]
    for number, (at, ahead) in enumerate(posted):
        letters, names = "c" * (number + 1), ["cta", *[0] * number]
        value = beacon(at, letters, names, t0=at + ahead - number, pageview_id=str(UUID(int=number)))
        await insert(server, [value], at, f"{number}")
    hot, order = HotTables(server), Erasure(1, ("lp_8f3a",), "", asked)
    assert (await hot.concerned(order))[TABLE] == 2
    await hot.erase(order)
    assert await clicks(server, "element_clicks") == [("lp_8f3a", "cta", 3, 0, 0)]


async def test_partitions_and_objects_are_compared_without_erased_rows(server: ClickHouse) -> None:
    item = await day_in_both_tiers(server, "lp_8f3a", "t1-a", "other")
    asked = datetime(2026, 11, 2, tzinfo=UTC)
    page, tenant = Erasure(1, ("lp_8f3a",), "", asked), Erasure(2, (), "t1-", asked)
    hot, warm = HotTables(server), WarmTables(server)
    for without, rows in (([], 3), ([page], 2), ([tenant], 2), ([page, tenant], 1)):
        assert await hot.fingerprint(TABLE, item.partitions, without) == await warm.fingerprint(item, without)
        assert (await warm.fingerprint(item, without)).rows == rows
    await hot.erase(page)
    assert await hot.fingerprint(TABLE, item.partitions, [page]) == await warm.fingerprint(item, [page])
    assert await hot.fingerprint(TABLE, item.partitions) != await warm.fingerprint(item)


async def test_a_day_of_the_warm_tier_has_its_elements(server: ClickHouse) -> None:
    item = await day_in_both_tiers(server, "lp_8f3a")
    hot = await HotTables(server).fingerprint(TABLE, item.partitions)
    assert hot == await WarmTables(server).fingerprint(item)
    assert hot.rows == 1 and hot.sums == (2, 0, 1)
    await server.command(
        "INSERT INTO lpstream.tier_objects (source, day, object, revision, step, partitions)"
        f" VALUES ('{TABLE}', '2026-11-01', '{item.name}', 1, 'published', ['20261101-0'])"
    )
    assert await clicks(server, "element_clicks") == [("lp_8f3a", "cta", 2, 0, 1)]
    await HotTables(server).drop(TABLE, item.partitions)
    assert await clicks(server, "element_clicks") == [("lp_8f3a", "cta", 2, 0, 1)]


async def day_in_both_tiers(server: ClickHouse, *lp_ids: str) -> TierObject:
    """Migrate, insert a visit of each page on 1 November, and fill the warm tier's table of that day."""
    await migrate(server, timezone="Asia/Tokyo")
    at = int(datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp() * 1000)
    await server.command(f"ALTER TABLE lpstream.{TABLE} REMOVE TTL")
    for lp_id in lp_ids:
        await insert(server, [beacon(at, "cd", ["cta", 0], lp_id=lp_id)], at, lp_id)
    name = f"{TABLE}_20261101_1"
    # stands for the object's table, whose engine is S3
    await server.command(
        f"CREATE TABLE lpstream_warm.{name} AS lpstream.warm_elements ENGINE = MergeTree ORDER BY lp_id"
    )
    item = TierObject(
        source=TABLE, day=date(2026, 11, 1), name=name, revision=1, step=Step.PUBLISHED, partitions=("20261101-0",),
        fingerprint=Fingerprint(0, (), 0), bytes=0, lp_ids=("lp_8f3a",), erased=0, until=date(2026, 11, 1),
    )  # fmt: skip
    await WarmTables(server).fill(item)
    return item


async def test_a_place_is_named_by_the_element_clicked_at_its_times(server: ClickHouse) -> None:
    await migrate(server, timezone="Asia/Tokyo")
    now = int(datetime.now(UTC).timestamp() * 1000) // 5_000 * 5_000
    for number in range(12):  # each pair in windows of its own: one click on each of two buttons
        for at, (x, y, name) in enumerate(((40, 160, "hero-call"), (40, 1_600, "price-call"))):
            value = beacon(
                now - 5_000 * (2 * number + at), "d", [name], x=[x], y=[y], viewport_w=400, page_w=400,
                pageview_id=f"00000000-0000-4000-8000-{2 * number + at:012}",
            )  # fmt: skip
            await insert(server, [value], now, f"{number}/{at}")
    today = datetime.now(UTC)
    span = await finding_queries.span(server, "lp_8f3a", today - timedelta(1), today + timedelta(1), 64)
    wide = {"fixed": 0, "left": 0, "right": 127}
    places = [
        Rectangle("mobile", "dead_click", top=8, bottom=12, **wide),
        Rectangle("mobile", "move", top=98, bottom=102, **wide),
        Rectangle("mobile", "dead_click", top=0, bottom=4_095, **wide),
        Rectangle("desktop", "dead_click", top=8, bottom=12, **wide),
        Rectangle("mobile", "rage_click", top=8, bottom=12, **wide),
    ]
    rows = await finding_queries.names(server, span, places)
    named = [(int(row["place"]), row["element"], int(row["together"])) for row in rows]
    assert named == [(0, "hero-call", 12), (1, "price-call", 12), (2, "hero-call", 12), (2, "price-call", 12)]
    assert names_of(rows) == {0: ("hero-call", 12), 1: ("price-call", 12)}


async def test_pageviews_that_came_to_the_half_of_the_page_are_counted(server: ClickHouse) -> None:
    await migrate(server, timezone="Asia/Tokyo")
    now = int(datetime.now(UTC).timestamp() * 1000) // 60_000 * 60_000
    for number, (lp_id, y) in enumerate((("lp_a", 0), ("lp_a", 2_000), ("lp_a", 1_250), ("lp_b", 0))):
        value = msgspec.json.encode(
            example_beacon(
                t0=now, lp_id=lp_id, type="s", dt=[0], x=[0], y=[y], dwell=[0], fixed=[], viewport_h=800, page_h=4_000,
                pageview_id=f"00000000-0000-4000-8000-{number:012}",
            )
        )  # fmt: skip
        await insert(server, [value], now, f"{number}")
    rows = await counts(server, {"lp_a": now // 1000, "lp_b": now // 1000}, now // 1000 + 600, 60)
    assert sorted((row.lp_id, row.pageviews, row.deep) for row in rows) == [("lp_a", 3, 2), ("lp_b", 1, 0)]


async def test_squares_of_a_minute_s_clicks_stay_in_rows_of_hours(server: ClickHouse) -> None:
    await migrate(server, timezone="Asia/Tokyo")
    hour = int(datetime.now(UTC).timestamp() * 1000) // 3_600_000 * 3_600_000 - 3_600_000
    for number, minute in enumerate((0, 0, 0, 30)):
        value = msgspec.json.encode(
            example_beacon(
                t0=hour + 60_000 * minute, lp_id="lp_a", type="d", dt=[0], x=[9], y=[9], dwell=[0], fixed=[],
                pageview_id=f"00000000-0000-4000-8000-{number:012}",
            )
        )  # fmt: skip
        await insert(server, [value], hour + 60_000 * minute, f"{number}")
    for span, expected in ((60, [(3, 9), (1, 1)]), (3_600, [(4, 10)]), (5, [(3, 9), (1, 1)])):
        rows = await counts(server, {"lp_a": hour // 1000}, hour // 1000 + 3_600, span)
        assert [(row.dead_clicks, row.dead_squares) for row in sorted(rows, key=lambda row: row.start_s)] == expected
