"""Days moving through hot, warm and cold on a test clock.

Readers always get the answers of an untiered copy.
"""

import asyncio
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, time
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import boto3
import pyarrow.parquet as pq
import pytest
import pytest_asyncio
import requests
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from grafana import sent
from harness import full_only
from moto.server import ThreadedMotoServer
from tiering import LP_IDS, World, clean
from typer.testing import CliRunner

from infra.embedded.stack import Stack
from infra.tiers.archive import GLACIER, STANDARD
from infra.tiers.tables import HOT_TABLES
from schemas.errors import LpstreamError, Retryable
from schemas.heatmap import GROUP, TOPIC
from schemas.tiers import Step
from streams.__main__ import app
from streams.local.prepare import prepare
from streams.proof.traffic import Traffic, midnight_ms
from streams.proof.twin import COPY
from streams.tiers.run import Tiers, status
from streams.tiers.stores import Clock

RUNBOOKS = (Path(__file__).parents[2] / "docs" / "runbooks.md").read_text("utf-8")
ANALYSTS = Path(__file__).parents[2] / "infra" / "monitoring" / "grafana" / "dashboards" / "analysts.json"
TABLES = len(HOT_TABLES)
pytestmark = pytest.mark.stack
OTHERS = ("t2-0000", "t2-0001")
SITE = Traffic(LP_IDS + OTHERS, visits=250)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("tiers"), "tansu", print) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="function")
async def world(stack: Stack) -> AsyncIterator[World]:
    """Open a world in which one day before today is hot and two are warm."""
    async with World(stack, SITE, hot_days=1, warm_days=2) as opened:
        yield opened


async def load(world: World, days: int) -> None:
    for number in range(days):
        await world.load(number)


async def stretches(world: World) -> dict[str, tuple[str | None, str | None]]:
    """Return the first and last day of each tier."""
    return {row["tier"]: (row["first"], row["last"]) for row in await status(world.settings)}


@full_only
async def test_queries_are_unchanged_while_days_move(world: World) -> None:
    await load(world, 3)
    for today in (4, 5):
        await world.load(today - 1)
        async with world.read(today - 2, today) as reads:
            await world.run(today)
        assert reads[0] > 0
    assert await stretches(world) == {
        "hot": (f"{world.day(4)}", f"{world.day(4)}"),
        "warm": (f"{world.day(2)}", f"{world.day(3)}"),
        "cold": (f"{world.day(0)}", f"{world.day(1)}"),
    }
    # The kit's days are in Tokyo time, so the first begins on the UTC day before.
    answers, expected = await world.kit_answers("lpstream", 3, 5), await world.kit_answers(COPY, 3, 5)
    # Only the mean of seven days needs the days on Glacier.
    expected["daily_trend"] = [(*row[:-1], None) for row in expected["daily_trend"]]
    assert answers == expected
    assert [name for name, rows in answers.items() if not rows] == []
    objects = await world.stores.archive.held("heatmap-cold/")
    assert Counter(one.storage_class for one in objects) == {GLACIER: 2 * TABLES}
    assert (await world.run(5)).done == {}


@full_only
async def test_late_rows_of_a_moved_day_are_visible_and_move_later(world: World) -> None:
    await load(world, 2)
    await world.run(3)
    late = Traffic(LP_IDS, visits=20, seed=2).day(world.day(1))
    await world.insert(late, "late", came_ms=midnight_ms(world.day(3)))
    await world.assert_same(0, 2)
    assert (await world.run(3)).done == {}  # more late rows may arrive until the day is over
    async with world.read(1, 2):
        moved = (await world.run(4)).done["moved"]
    assert Counter(row["day"] for row in moved)[f"{world.day(1)}"] == TABLES
    await world.assert_same(1, 2)


@full_only
async def test_restore_brings_cold_days_back_for_some_days(stack: Stack) -> None:
    glacier = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    glacier.start()
    host, port = glacier.get_host_and_port()
    url = f"http://{host}:{port}"
    await asyncio.to_thread(_make_slow, url)
    try:
        async with World(stack, SITE, hot_days=1, warm_days=2, s3_endpoint_url=url) as world:
            await load(world, 3)
            await world.run(4)
            before = await world.sums("lpstream", 0, 3)
            assert {rows[0][0] for rows in (await world.sums("lpstream", 0, 1)).values()} == {"0"}
            first = await world.tiers(4).restore(world.day(0), world.day(1), 1)
            assert first is not None
            assert first.waiting == [f"{TABLES} objects: requested from Glacier; run the command again later"]
            assert await world.sums("lpstream", 0, 3) == before
            for _ in range(5):
                report = await world.tiers(4).restore(world.day(0), world.day(1), 1)
                assert report is not None
                if not report.waiting:
                    break
            assert len(clean(report).done["restored"]) == TABLES
            await world.assert_same(0, 3)
            assert "expired" not in (await world.run(5)).done
            await world.assert_same(0, 1)
            assert len((await world.run(6)).done["expired"]) == TABLES
            assert {rows[0][0] for rows in (await world.sums("lpstream", 0, 1)).values()} == {"0"}
            assert {one.storage_class for one in await world.stores.archive.held("heatmap-cold/")} == {GLACIER}
    finally:
        glacier.stop()


def _make_slow(url: str) -> None:
    """Make the fake Glacier finish a restore after it was queried three times."""
    slow = {"model_name": "s3::keyrestore", "transition": {"progression": "manual", "times": 3}}
    requests.post(f"{url}/moto-api/state-manager/set-transition", json=slow, timeout=10).raise_for_status()


async def pages_at_rest(world: World) -> set[str]:
    """Return the pages in all Parquet objects of the bucket, warm and cold."""
    s3 = boto3.client(
        "s3",
        endpoint_url=world.settings.s3_endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=world.settings.s3_access_key_id.get_secret_value(),
        aws_secret_access_key=world.settings.s3_secret_access_key.get_secret_value(),
    )
    found: set[str] = set()
    for prefix in ("heatmap/", "heatmap-cold/"):
        for one in await world.stores.archive.held(prefix):
            body = s3.get_object(Bucket=world.settings.s3_bucket, Key=one.key)["Body"].read()
            pages = pq.read_table(io.BytesIO(body), columns=["lp_id"])["lp_id"].to_pylist()
            found |= {page.decode() if isinstance(page, bytes) else page for page in pages}
    return found


@full_only
async def test_pages_and_tenants_are_erased_in_every_tier(world: World) -> None:
    await load(world, 4)
    await world.run(4)
    assert [days for days, _ in (await stretches(world)).values()] == [f"{world.day(number)}" for number in (3, 1, 0)]
    assert await pages_at_rest(world) == set(SITE.lp_ids)
    gone = LP_IDS[1]

    async with world.read(1, 4, where=f"lp_id != '{gone}'"):
        clean(await world.tiers(4).erase([gone], ""))
    assert await pages_at_rest(world) == set(SITE.lp_ids) - {gone}
    await world.insert(Traffic((gone,), visits=20, seed=2).day(world.day(3)), "late")
    await world.run(4)
    clean(await world.tiers(4).restore(world.day(0), world.day(0), 30))
    clean(await world.tiers(4).erase([], "t2-"))

    assert await pages_at_rest(world) == set(LP_IDS) - {gone}
    left = f"NOT (lp_id = '{gone}' OR startsWith(lp_id, 't2-'))"
    await world.assert_same(0, 4, where=left)
    assert {rows[0][0] for rows in (await world.sums("lpstream", 0, 4, where=f"NOT ({left})")).values()} == {"0"}
    assert (await world.run(4)).done == {}


@full_only
async def test_a_day_without_rows_makes_no_object(world: World) -> None:
    await load(world, 2)
    clean(await world.tiers(2).erase([], "t"))
    await world.run(3)
    assert await world.stores.archive.held("heatmap/") == []
    assert {rows[0][0] for rows in (await world.sums("lpstream", 0, 2)).values()} == {"0"}


@full_only
async def test_running_queries_and_changed_partitions_delay_a_drop(world: World) -> None:
    await load(world, 3)
    tiers = Tiers(world.settings.model_copy(update={"tier_patience_s": 0.3}), Clock.at(world.day(2), datetime.now(UTC)))
    slow = asyncio.create_task(
        world.writer.rows("SELECT sleepEachRow(0.5) FROM numbers(120) SETTINGS max_block_size = 1")
    )
    await asyncio.sleep(0.3)
    report = await tiers.run()
    assert report is not None
    why = "earlier queries are still running, or a replica lags; a later run continues"
    assert report.waiting == [f"{TABLES} objects: {why}"]
    assert not slow.done()
    await world.writer.command("KILL QUERY WHERE query LIKE '%sleepEachRow%' AND query_kind = 'Select' SYNC")
    with pytest.raises(Retryable, match="cancelled"):
        await slow
    await world.assert_same(0, 3)
    # A worker never does this: insert a row into a complete partition.
    await world.insert(Traffic(LP_IDS, visits=5, seed=3).day(world.day(0)), "never", came_ms=midnight_ms(world.day(0)))
    report = await world.tiers(2).run()
    assert report is not None
    assert len(report.problems) == TABLES
    assert "they are kept, and the views read the object" in report.problems[0]
    assert {one.day for one in await world.stores.hot.partitions()} >= {world.day(0)}


async def test_days_do_not_move_before_the_log_is_read(world: World) -> None:
    await load(world, 2)
    servers = world.settings.kafka_bootstrap_servers
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        sent = await producer.send_and_wait(TOPIC, b"{}", partition=1)
    report = await world.tiers(2).run()
    assert report is not None
    assert report.waiting == [f"the heatmap workers have not read {TOPIC} up to {world.day(2)} yet"]
    assert report.done == {}
    async with AIOKafkaConsumer(bootstrap_servers=servers, group_id=GROUP, enable_auto_commit=False) as worker:
        worker.assign([TopicPartition(TOPIC, 1)])
        await worker.commit({TopicPartition(TOPIC, 1): sent.offset + 1})
    assert len((await world.run(2)).done["moved"]) == TABLES


@full_only
async def test_missing_objects_and_unavailable_s3_are_reported(world: World) -> None:
    await load(world, 3)
    away = World(world.stack, SITE, hot_days=1, warm_days=2, s3_endpoint_url="http://127.0.0.1:9")
    with pytest.raises(Retryable, match="S3"):
        await away.tiers(3).run()
    await away.close()
    await world.assert_same(0, 3)
    await world.run(3)
    missing = (await world.stores.archive.held(f"heatmap/table=heatmap_cells/date={world.day(0)}/"))[0]
    await world.stores.archive.delete([missing.key])
    report = await world.tiers(3).run()
    assert report is not None
    assert [line for line in report.problems if missing.key in line and "is missing" in line]
    await world.assert_same(1, 3)  # a filter on utc_date opens no other day
    with pytest.raises(LpstreamError, match=r"S3|key"):
        await world.sums("lpstream", 0, 3)


@full_only
async def test_an_erasure_after_a_restore_of_lpstream_alone_loses_no_other_page(world: World) -> None:
    await load(world, 3)
    await world.run(3)
    await world.writer.command("DROP DATABASE lpstream_warm SYNC")
    await prepare(world.settings)
    await world.run(3)
    await world.assert_same(0, 3)
    await world.writer.command("DROP DATABASE lpstream_warm SYNC")
    await prepare(world.settings)
    clean(await world.tiers(3).erase([LP_IDS[0]], ""))
    await world.assert_same(0, 3, where=f"lp_id != '{LP_IDS[0]}'")


@full_only
async def test_expired_cold_objects_are_gone_until_s3_has_them_again(stack: Stack) -> None:
    async with World(stack, SITE, hot_days=1, warm_days=2, tier_cold_days=1) as world:
        await load(world, 2)
        await world.run(4)
        one = next(entry for entry in await world.stores.ledger.objects() if entry.step is Step.COLD)
        archive = world.stores.archive
        await archive.copy(one.cold_key, "kept", STANDARD)
        await archive.delete([one.cold_key])
        assert len((await world.run(5)).done["gone"]) == 1
        clean(await world.tiers(5).erase([LP_IDS[0]], ""))
        await archive.copy("kept", one.cold_key, GLACIER)
        assert {"returned", "erased"} <= (await world.run(5)).done.keys()
        assert LP_IDS[0] not in await pages_at_rest(world)


@full_only
async def test_a_lost_object_is_a_problem_until_it_is_noted_as_gone(world: World) -> None:
    await load(world, 3)
    await world.run(4)
    entries = await world.stores.ledger.objects()
    for step in (Step.COLD, Step.SETTLED):
        lost = next(entry for entry in entries if entry.step is step)
        await world.stores.archive.delete([lost.key, lost.cold_key])
        report = await world.tiers(4).run()
        assert report is not None and [line.split(":")[0] for line in report.problems] == [lost.name]
        sql = next(line.strip() for line in RUNBOOKS.splitlines() if "INSERT INTO lpstream.tier_objects" in line)
        await world.writer.command(sql.replace("…", lost.name))
        await world.run(4)
    assert await world.sums("lpstream", 0, 3)


@full_only
async def test_an_empty_ledger_removes_no_object(world: World) -> None:
    await load(world, 2)
    await world.run(4)
    prefixes = ("heatmap/", "heatmap-cold/")
    before = [await world.stores.archive.held(prefix) for prefix in prefixes]
    await world.writer.command("TRUNCATE TABLE tier_objects")
    report = await world.tiers(9).run()
    assert report is not None and len(report.problems) == 2 * TABLES
    assert [await world.stores.archive.held(prefix) for prefix in prefixes] == before


async def test_analysts_cannot_see_s3_keys(world: World) -> None:
    await load(world, 3)
    await world.run(3)
    secrets = [
        world.settings.s3_access_key_id.get_secret_value(),
        world.settings.s3_secret_access_key.get_secret_value(),
    ]
    for client in (world.analyst, world.writer):
        definitions = str(
            await client.rows("SELECT name, create_table_query FROM system.tables WHERE database LIKE 'lpstream%'")
        )
        assert "heatmap_cells" in definitions
        assert not [one for one in secrets if one in definitions]
    for query in (
        "SELECT * FROM s3(lpstream_s3, filename = 'heatmap/**', format = 'Parquet')",
        "SELECT * FROM system.named_collections",
    ):
        with pytest.raises(LpstreamError, match="497"):
            await world.analyst.rows(query)


async def command(world: World, *args: str) -> Any:
    """Run `lpstream ARGS` with the world's settings in the environment."""
    rule = {"LPSTREAM_TIER_HOT_DAYS": "1", "LPSTREAM_TIER_WARM_DAYS": "2"}
    return await asyncio.to_thread(CliRunner().invoke, app, args, env=world.stack.env() | rule)


async def test_the_tier_commands_plan_run_and_report(world: World) -> None:
    await load(world, 3)
    today = f"{world.day(4)}"
    plan = json.loads((await command(world, "tier", "--dry-run", "--today", today, "--json")).stdout)
    assert {row["day"] for row in plan["move"]} == {f"{world.day(number)}" for number in range(3)}
    assert plan["chill"] == plan["waiting"] == []
    assert (await stretches(world))["hot"] == (f"{world.day(0)}", f"{world.day(2)}")
    done = json.loads((await command(world, "tier", "--today", today, "--json")).stdout)
    assert {what: len(rows) for what, rows in done["done"].items()} == {"moved": 3 * TABLES, "chilled": TABLES}
    shown = json.loads((await command(world, "tier", "show", "--json")).stdout)
    assert [(row["tier"], row["days"]) for row in shown] == [("hot", 0), ("warm", 2), ("cold", 1)]
    wrong = await command(world, "tier", "erase", "--tenant", "nobody", "--yes")
    assert "--tenant 'nobody': is not in" in str(wrong.exception)
    wrong = await command(world, "restore", "--from", today, "--to", f"{world.day(0)}")
    assert "--to: is before --from" in str(wrong.exception)


async def test_the_users_files_have_valid_settings_and_grants(world: World) -> None:
    """No server with users files runs here, so settings and grants are compared with the engine's lists."""
    known = {row["name"] for row in await world.writer.rows("SELECT name FROM system.settings")}
    found = sorted(one for one in files("infra.clickhouse").joinpath("users.d").iterdir() if one.name.endswith(".xml"))
    assert [one.name for one in found] == ["analyst.xml", "writer.xml"]
    for one in found:
        tree = ElementTree.fromstring(one.read_text("utf-8"))  # noqa: S314 - our own file
        profiles = tree.find("profiles")
        assert profiles is not None
        assert {setting.tag for profile in profiles for setting in profile} - {"constraints"} <= known
        assert {setting.tag for limits in tree.iter("constraints") for setting in limits} <= known
        grants = [f"{grant.text} TO somebody" for grant in tree.iter("query")]
        assert grants
        for grant in grants:
            rows = await world.writer.rows("SELECT formatQuerySingleLine({grant:String}) AS text", {"grant": grant})
            assert rows[0]["text"] == grant


@full_only
async def test_every_panel_of_the_analysts_dashboard_has_data(world: World) -> None:
    await load(world, 3)
    await world.run(3)
    since, until = datetime.combine(world.day(0), time(), UTC), datetime.combine(world.day(3), time(), UTC)
    picked = {"lp_id": list(LP_IDS), "device": ["mobile", "tablet", "desktop"]}
    board = json.loads(ANALYSTS.read_text("utf-8"))
    panels = {panel["title"]: panel["targets"] for panel in board["panels"] if panel["type"] != "row"}
    answers = {
        title: await world.analyst.rows(sent(target["rawSql"], picked, since, until))
        for title, targets in panels.items()
        for target in targets
    }
    assert [title for title, rows in answers.items() if not rows] == []
    own = f"lp_id IN {LP_IDS}"
    assert answers["Pageviews"] == await world.copy.rows(
        f"SELECT sum(pageviews) AS value FROM heatmap_windows WHERE {own}"
    )
    assert sum(row["views"] for row in answers["Pages"]) == answers["Pageviews"][0]["value"]
    variable = next(one for one in board["templating"]["list"] if one["name"] == "lp_id")
    assert set(LP_IDS) < {row["lp_id"] for row in await world.analyst.rows(variable["query"])}
    hostile = sent(panels["Pageviews"][0]["rawSql"], picked | {"lp_id": ["'; --"]}, since, until)
    quoting = await world.analyst.rows(hostile)
    assert quoting == [{"value": 0}]
