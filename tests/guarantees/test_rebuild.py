"""`lpstream rebuild`.

Rebuilding the tables from the log under traffic, and the errors that ask for it.
"""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from beacons import analyst, assert_tables_equal, post, some_beacons, totals, wait_counted
from command import lpstream
from foreign_producers import in_transactions, producing
from harness import Traffic, full_only, scaled, stop_worker

from infra.embedded.stack import Stack
from infra.kafka.admin import open_admin, partitions_of
from processors.heatmap.fold import TABLES
from schemas.heatmap import TOPIC
from streams.heatmap.rewound import UNFINISHED
from streams.local.installation import Installation
from streams.local.prepare import prepare, settings_of
from streams.operate.marks import commit_for_group
from streams.proof.visitors import tally
from streams.runtime.stores import open_writer

pytestmark = pytest.mark.stack


async def command(stack: Stack, *args: str) -> Any:
    return await asyncio.to_thread(lpstream, *args, data=stack.data, within_s=600)


async def send(installation: Installation, beacons: list[dict[str, Any]], pause_s: float = 0.0) -> None:
    async with aiohttp.ClientSession() as session:
        for at, beacon in enumerate(beacons):
            for _ in range(2 if at % 10 == 0 else 1):
                assert await post(session, installation, beacon) == 204
            await asyncio.sleep(pause_s)


@full_only
async def test_a_rebuild_under_traffic_needs_a_window_of_15_inserts(traffic: Traffic, stack: Stack) -> None:
    clickhouse = open_writer(settings_of(stack))
    for table in TABLES:
        await clickhouse.command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 15")
    async with traffic.flowing():
        await asyncio.sleep(8)
        for _ in range(int(scaled(1, 5))):
            done = await command(stack, "rebuild", "--json")
            assert done.returncode == 0, done.stderr
            traffic.faults["rebuild"] += 1
            print(done.stdout)
        await asyncio.sleep(2)
    await traffic.assert_exact()
    for row in await clickhouse.rows(
        "SELECT engine_full AS definition FROM system.tables WHERE startsWith(name, 'heatmap_')"
    ):
        assert "deduplication_window = 15," in row["definition"]
    for table in TABLES:
        await clickhouse.command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 20000")
    await clickhouse.close()


@full_only
async def test_transactions_and_their_markers_are_rebuilt(
    traffic: Traffic, stack: Stack, installation: Installation
) -> None:
    mine = some_beacons(traffic.lp_id, 20_000)[-100:]
    async with producing(stack, transactional_id="rebuilt") as producer, traffic.flowing():
        traffic.faults["aborted transactions"] = await in_transactions(producer, mine, 4)
        done = await command(stack, "rebuild")
        assert done.returncode == 0, done.stderr
    traffic.acknowledged += mine
    await traffic.assert_exact()
    await stop_worker(stack, installation)
    try:
        done = await command(stack, "rebuild")
        assert done.returncode == 0, done.stderr
    finally:
        installation.launch("heatmap")
    await traffic.assert_exact()


@full_only
async def test_a_rebuild_after_a_recreated_topic_keeps_older_days(stack: Stack, installation: Installation) -> None:
    beacons = some_beacons("made-anew", 20)
    clickhouse, owner = analyst(stack), open_writer(settings_of(stack))
    await stop_worker(stack, installation)
    async with open_admin(stack.addresses.kafka) as admin:
        await admin.delete_topics([TOPIC])
    await asyncio.sleep(2)
    await prepare(settings_of(stack))
    for table in TABLES:
        await owner.command(f"TRUNCATE TABLE {table}")
    await owner.command(
        "INSERT INTO heatmap_windows (lp_id, window_start, days_late, device, events)"
        " VALUES ('older-day', now() - INTERVAL 3 DAY, 0, 'mobile', 7)"
    )
    await send(installation, beacons)
    installation.launch("heatmap")
    await wait_counted(clickhouse, "made-anew", tally(beacons).total())
    done = await command(stack, "rebuild", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["days_kept"] == 1, done.stderr
    assert (await totals(clickhouse, "older-day"))["events"] == 7
    await assert_tables_equal(clickhouse, "made-anew", beacons)
    await owner.close()
    await clickhouse.close()


@full_only
async def test_a_rebuild_under_traffic_restores_the_tables(stack: Stack, installation: Installation) -> None:
    lp_id = "rebuilt"
    beacons = some_beacons(lp_id, 200)
    half = len(beacons) // 2
    await send(installation, beacons[:half])
    clickhouse = analyst(stack)
    await wait_counted(clickhouse, lp_id, tally(beacons[:half]).total())
    owner = open_writer(settings_of(stack))
    # Damage that only a rebuild can repair.
    await owner.command("ALTER TABLE heatmap_windows DELETE WHERE lp_id = 'rebuilt' SETTINGS mutations_sync = 1")
    traffic = asyncio.create_task(send(installation, beacons[half:], 0.05))
    for _ in range(2):
        done = await command(stack, "rebuild", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["records"] > half
    await traffic
    assert (await wait_counted(clickhouse, lp_id, tally(beacons).total()))["events"] == tally(beacons).total()
    await asyncio.sleep(7)
    await assert_tables_equal(clickhouse, lp_id, beacons)
    assert await owner.rows("SELECT name FROM system.tables WHERE name LIKE 'rebuild%'") == []
    await owner.close()
    await clickhouse.close()


@full_only
async def test_manually_moved_offsets_are_refused_until_a_rebuild(stack: Stack, installation: Installation) -> None:
    lp_id = "rewound"
    beacons = some_beacons(lp_id, 20)
    await send(installation, beacons)
    clickhouse = analyst(stack)
    await wait_counted(clickhouse, lp_id, tally(beacons).total())
    await stop_worker(stack, installation)
    places = await partitions_of(stack.addresses.kafka, TOPIC)
    await commit_for_group(stack.addresses.kafka, dict.fromkeys(places, 0), "")
    try:
        refused = await command(stack, "worker", "heatmap")
        assert refused.returncode == 1 and "lpstream rebuild" in refused.stderr and "moved by hand" in refused.stderr
        await commit_for_group(stack.addresses.kafka, dict.fromkeys(places, 0), UNFINISHED)
        refused = await command(stack, "worker", "heatmap")
        assert refused.returncode == 1 and "was interrupted" in refused.stderr
        done = await command(stack, "rebuild")
        assert done.returncode == 0, done.stderr
    finally:
        installation.launch("heatmap")
    more = some_beacons("after-rewound", 5)
    await send(installation, more)
    await wait_counted(clickhouse, "after-rewound", tally(more).total())
    assert (await totals(clickhouse, lp_id))["events"] == tally(beacons).total()
    await assert_tables_equal(clickhouse, lp_id, beacons)
    await clickhouse.close()
