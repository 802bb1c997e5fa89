"""Retries of beacons with an empty or slow Redis."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import TopicPartition
from beacons import PARTITIONS, analyst, some_beacons, totals, wait_counted
from harness import Traffic, full_only, kill_and_launch
from redis.asyncio import Redis

from infra.embedded.stack import Stack
from infra.kafka.admin import committed, open_admin
from schemas.heatmap import GROUP, TOPIC
from streams.local.installation import Installation
from streams.proof.visitors import tally

pytestmark = pytest.mark.stack
ANSWER_S = 2.5
LONGEST_S = 240
PARTITION = 1
EVERY_MS, LOG_MS = 20_000, 32 * 60_000


@dataclass
class SlowRedis:
    """A proxy before Redis that delays each answer by ANSWER_S seconds."""

    target: str
    url: str = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["SlowRedis"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = urlsplit(self.target)
        there, back = await asyncio.open_connection(at.hostname, at.port)
        await asyncio.gather(self._pass(reader, back, 0.0), self._pass(there, writer, ANSWER_S))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, late_s: float) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(2**16):
                await asyncio.sleep(late_s)
                sink.write(data)
        sink.close()


async def until_all_move(stack: Stack) -> None:
    """Wait until every partition has committed a further offset."""
    before = await committed(stack.addresses.kafka, GROUP)
    started, moved = time.monotonic(), set[TopicPartition]()
    while len(moved) < PARTITIONS:
        assert time.monotonic() - started < LONGEST_S, f"only {sorted(tp.partition for tp in moved)} committed"
        await asyncio.sleep(1)
        now = await committed(stack.addresses.kafka, GROUP)
        moved = {tp for tp, mark in now.items() if mark.offset > (before[tp].offset if tp in before else 0)}
    print(f"{len(moved)} partitions committed within {time.monotonic() - started:.1f} s")


@full_only
async def test_a_slow_redis_does_not_block_buckets(traffic: Traffic, stack: Stack, installation: Installation) -> None:
    async with SlowRedis(stack.addresses.redis_url).running() as slow:
        await asyncio.to_thread(installation.children["heatmap"].stop)
        async with traffic.flowing():
            for _ in range(2):
                installation.launch("heatmap", {"LPSTREAM_REDIS_URL": slow.url})
                await until_all_move(stack)
                await asyncio.to_thread(installation.children["heatmap"].kill)
                traffic.faults["SIGKILL of the worker, Redis answers after 2.5 s"] += 1
            installation.launch("heatmap", {"LPSTREAM_REDIS_URL": slow.url})
        await traffic.assert_exact()
    await kill_and_launch(installation, "heatmap")


@contextlib.asynccontextmanager
async def producers_times(stack: Stack) -> AsyncIterator[None]:
    """Let producers set the times of records while the block runs."""
    async with open_admin(stack.addresses.kafka) as admin:
        for kind in ("CreateTime", "LogAppendTime"):
            config = {"message.timestamp.type": kind}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, TOPIC, config)])
            await asyncio.sleep(0.5)
            if kind == "CreateTime":
                yield


@full_only
async def test_retries_of_a_quiet_partition_count_once_without_redis(stack: Stack, installation: Installation) -> None:
    """Write 32 minutes of log, empty Redis while the worker is stopped, then send retries."""
    lp_id = "quiet"
    beacons = some_beacons(lp_id, 200)[: LOG_MS // EVERY_MS]
    start_ms = int(time.time() * 1000) - LOG_MS
    producer = AIOKafkaProducer(bootstrap_servers=stack.addresses.kafka, acks="all")
    await producer.start()

    async def append(beacon: dict[str, Any], at_ms: int) -> None:
        value = msgspec.json.encode(beacon)
        await producer.send_and_wait(TOPIC, value, partition=PARTITION, timestamp_ms=at_ms)

    clickhouse = analyst(stack)
    async with producers_times(stack):
        for number, beacon in enumerate(beacons):
            await append(beacon | {"t0": start_ms + number * EVERY_MS}, start_ms + number * EVERY_MS)
        await append(beacons[0] | {"lp_id": "after"}, start_ms + LOG_MS + 60_000)
        events = tally(beacons).total()
        await wait_counted(clickhouse, lp_id, events, LONGEST_S)
        await asyncio.to_thread(installation.children["heatmap"].stop)
        redis = Redis.from_url(stack.addresses.redis_url)
        await redis.flushall()
        await redis.aclose()
        now_ms = start_ms + LOG_MS
        for number in (-3, -12, -30, -45):  # 1 to 15 minutes old
            await append(beacons[number] | {"t0": start_ms + (len(beacons) + number) * EVERY_MS}, now_ms)
        await append(beacons[1] | {"lp_id": "after"}, now_ms + 120_000)
        installation.launch("heatmap")
        await wait_counted(clickhouse, "after", tally([beacons[0], beacons[1]]).total(), LONGEST_S)
    await producer.stop()
    assert (await totals(clickhouse, lp_id))["events"] == events
    await clickhouse.close()
