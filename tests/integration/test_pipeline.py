"""The heatmap pipeline on the embedded stack, from HTTP to ClickHouse.

Exact totals, also after kills.
"""

import asyncio
import random
import signal
from collections import Counter

import aiohttp
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from beacons import (
    PARTITIONS,
    analyst,
    assert_counted,
    assert_tables_equal,
    post,
    post_all,
    record_at,
    some_beacons,
    totals,
    wait_counted,
)
from harness import full_only
from patience import PATIENCE_S

from infra.embedded.stack import Stack
from infra.kafka.producer import partition_of
from schemas.errors import Refused, Retryable
from schemas.heatmap import decode_beacon, encode_beacon
from streams.local.installation import Installation
from streams.proof.visitors import tally

pytestmark = pytest.mark.stack


async def test_all_five_tables_equal_a_plain_count(stack: Stack, installation: Installation) -> None:
    lp_id = "exact"
    beacons = some_beacons(lp_id, 60)
    await post_all(installation, beacons)
    clickhouse = analyst(stack)
    await wait_counted(clickhouse, lp_id, tally(beacons).total())
    await assert_tables_equal(clickhouse, lp_id, beacons)
    await clickhouse.close()


async def test_a_retry_is_counted_once(stack: Stack, installation: Installation) -> None:
    lp_id = "again"
    beacons = some_beacons(lp_id, 10)
    await post_all(installation, beacons, times=3)
    clickhouse = analyst(stack)
    await wait_counted(clickhouse, lp_id, tally(beacons).total())
    await asyncio.sleep(7)
    assert (await totals(clickhouse, lp_id))["events"] == tally(beacons).total()
    await clickhouse.close()


@full_only
async def test_events_are_counted_once_after_kills_of_the_worker(stack: Stack, installation: Installation) -> None:
    lp_id = "killed"
    rng = random.Random(7)
    acknowledged: Counter[str] = Counter()

    async def load() -> None:
        async with aiohttp.ClientSession() as session:
            for beacon in some_beacons(lp_id, 250):
                if await post(session, installation, beacon) == 204:
                    acknowledged.update(tally([beacon]))
                await asyncio.sleep(0.012)

    async def kill() -> None:
        for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
            await asyncio.sleep(rng.uniform(3, 6))
            worker = installation.children["heatmap"]
            await asyncio.to_thread(worker.kill if number == signal.SIGKILL else worker.stop)
            installation.launch("heatmap")

    await asyncio.gather(load(), kill())
    clickhouse = analyst(stack)
    await wait_counted(clickhouse, lp_id, acknowledged.total())
    await asyncio.sleep(7)
    assert (await totals(clickhouse, lp_id))["events"] == acknowledged.total() > 1_000
    await clickhouse.close()


async def test_undecodable_records_become_dead_letters(stack: Stack, installation: Installation) -> None:
    lp_id = "poison"
    beacons = some_beacons(lp_id, 5)
    async with (
        AIOKafkaProducer(bootstrap_servers=stack.addresses.kafka) as producer,
        AIOKafkaConsumer("heatmap.events.dlq", bootstrap_servers=stack.addresses.kafka) as consumer,
    ):
        await consumer.seek_to_end()
        for beacon in beacons:
            value = msgspec.json.encode(beacon)
            place = partition_of(beacon["pageview_id"].encode(), PARTITIONS)
            await producer.send_and_wait("heatmap.events", b'{"schema":1,"poison":true}', partition=place, key=b"k")
            await producer.send_and_wait("heatmap.events", value, partition=place)
        letters = []
        async with asyncio.timeout(PATIENCE_S):
            async for letter in consumer:
                letters.append(letter)
                if len(letters) == len(beacons):
                    break
    headers = dict(letters[0].headers)
    assert letters[0].value == b'{"schema":1,"poison":true}' and letters[0].key == b"k"
    assert headers["topic"] == b"heatmap.events" and {"error", "partition", "offset", "timestamp"} <= headers.keys()
    await assert_counted(stack, lp_id, tally(beacons).total())


async def test_the_edge_refuses_invalid_beacons_with_the_field(installation: Installation) -> None:
    good = some_beacons("strict", 1)[0]
    door = f"{installation.edge_url}/e/heatmap.events"
    v2 = {"Content-Type": "application/vnd.kafka.json.v2+json"}
    async with aiohttp.ClientSession() as session:
        async with session.post(door, data=msgspec.json.encode({**good, "seq": -1})) as answer:
            assert answer.status == 422
            assert (await answer.json())["message"].startswith("seq: ")
        async with session.post(
            door, data=msgspec.json.encode(good), headers={"Origin": "https://evil.example"}
        ) as answer:
            assert answer.status == 403
        async with session.post(door, data=b"x" * (2**20 + 1)) as answer:
            assert answer.status == 413
        body = msgspec.json.encode({"records": [{"value": good}, {"value": {**good, "dt": []}}]})
        async with session.post(f"{installation.edge_url}/topics/heatmap.events", data=body, headers=v2) as answer:
            assert answer.status == 422
            assert (await answer.json())["message"].startswith("records[1].value: dt")
        for listener in (installation.edge_url, installation.api_url):
            token = {"Authorization": f"Bearer {installation.token}"}
            async with session.post(f"{listener}/topics/lp.steps", data=body, headers=v2 | token) as answer:
                assert (answer.status, (await answer.json())["error_code"]) == (404, 40401)
        async with session.get(f"{installation.api_url}/metrics") as answer:
            assert answer.status == 401


async def test_the_rest_proxy_returns_offsets_and_stores_the_beacon(stack: Stack, installation: Installation) -> None:
    beacon = some_beacons("rest", 1)[0]
    value = msgspec.json.encode(beacon).replace(b'"schema":1', b'"unknown":"x","schema" : 1')
    body = b'{"records":[{"value":' + value + b"}]}"
    headers = {"Content-Type": "application/vnd.kafka.json.v2+json"}
    door = f"{installation.edge_url}/topics/heatmap.events"
    async with aiohttp.ClientSession() as session, session.post(door, data=body, headers=headers) as answer:
        assert answer.headers["Content-Type"] == "application/vnd.kafka.v2+json"
        found = (await answer.json())["offsets"][0]
    assert found["partition"] == partition_of(beacon["pageview_id"].encode(), PARTITIONS)
    assert (await record_at(stack, "heatmap.events", found)).value == encode_beacon(decode_beacon(value))


async def test_the_analyst_can_read_but_not_write(stack: Stack, installation: Installation) -> None:
    clickhouse = analyst(stack)
    for refused in (
        "INSERT INTO heatmap_windows (lp_id, window_start, device) VALUES ('x', now(), 'mobile')",
        "DROP TABLE heatmap_windows",
        "SELECT file('/etc/hostname')",
        "SELECT * FROM system.processes",
        "SELECT * FROM heatmap_windows INTO OUTFILE '/tmp/x'",
    ):
        with pytest.raises((Refused, Retryable), match=r"READONLY|ACCESS_DENIED"):
            await clickhouse.rows(refused)
    assert await clickhouse.rows("SELECT count() AS n FROM lp_daily")
    await clickhouse.close()


async def test_every_column_has_a_comment(stack: Stack, installation: Installation) -> None:
    clickhouse = analyst(stack)
    bare = await clickhouse.rows(
        "SELECT table, name FROM system.columns WHERE database = 'lpstream' AND comment = '' AND table LIKE 'heatmap%'"
    )
    assert bare == []
    await clickhouse.close()
