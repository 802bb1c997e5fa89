"""`lpstream rebuild`: the tables anew from the log while traffic goes on, and the refusal that leads to it."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from beacons import analyst, assert_tables_equal, post, some_beacons, totals, wait_counted
from command import lpstream
from harness import full_only

from infra.clickhouse.client import ClickHouse
from infra.embedded.stack import Stack
from infra.kafka.admin import members
from streams.heatmap import GROUP
from streams.proof.visitors import tally
from streams.services import Installation

pytestmark = pytest.mark.stack


async def command(stack: Stack, *args: str) -> Any:
    return await asyncio.to_thread(lpstream, *args, data=stack.data)


async def send(installation: Installation, beacons: list[dict[str, Any]], pause_s: float = 0.0) -> None:
    async with aiohttp.ClientSession() as session:
        for at, beacon in enumerate(beacons):
            for _ in range(2 if at % 10 == 0 else 1):
                assert await post(session, installation, beacon) == 204
            await asyncio.sleep(pause_s)


@full_only
async def test_tables_are_the_same_after_a_rebuild_under_traffic(stack: Stack, installation: Installation) -> None:
    lp_id = "rebuilt"
    beacons = some_beacons(lp_id, 200)
    half = len(beacons) // 2
    await send(installation, beacons[:half])
    clickhouse = analyst(stack)
    await wait_counted(clickhouse, lp_id, tally(beacons[:half]).total())
    writer = ClickHouse.open(stack.addresses.clickhouse_url, "lpstream", stack.addresses.clickhouse_password)
    # damage that only a rebuild can mend
    await writer.command("ALTER TABLE heatmap_windows DELETE WHERE lp_id = 'rebuilt' SETTINGS mutations_sync = 1")
    traffic = asyncio.create_task(send(installation, beacons[half:], 0.05))
    for _ in range(2):
        done = await command(stack, "rebuild", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["records"] > half
    await traffic
    assert (await wait_counted(clickhouse, lp_id, tally(beacons).total()))["events"] == tally(beacons).total()
    await asyncio.sleep(7)
    await assert_tables_equal(clickhouse, lp_id, beacons)
    assert await writer.rows("SELECT name FROM system.databases WHERE name = 'lpstream_rebuild'") == []
    await writer.close()
    await clickhouse.close()


@full_only
async def test_a_group_moved_by_hand_is_refused_until_a_rebuild(stack: Stack, installation: Installation) -> None:
    lp_id = "rewound"
    beacons = some_beacons(lp_id, 20)
    await send(installation, beacons)
    clickhouse = analyst(stack)
    await wait_counted(clickhouse, lp_id, tally(beacons).total())
    worker = installation.children["heatmap"]
    await asyncio.to_thread(worker.stop)
    while await members(stack.addresses.kafka, GROUP):
        await asyncio.sleep(0.5)
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.addresses.kafka, group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    places = [TopicPartition("heatmap.events", number) for number in range(12)]
    consumer.assign(places)
    await consumer.commit(dict.fromkeys(places, 0))
    await consumer.stop()
    try:
        refused = await command(stack, "worker", "heatmap")
        assert refused.returncode == 1 and "lpstream rebuild" in refused.stderr and "moved by hand" in refused.stderr
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
