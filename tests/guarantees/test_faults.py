"""Faults at random times under load.

Totals must equal the acknowledged events, without loss or duplicates.

The short run is for every change; LPSTREAM_GUARANTEES=full (`make test-kafka`) uses the numbers of the specification.
"""

import asyncio
import signal
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from beacons import PARTITIONS
from harness import Traffic, full_only, kill_and_launch, scaled
from redis.asyncio import Redis

from infra.embedded.process import ChildProcess
from infra.embedded.stack import Stack
from streams.local.installation import Installation

pytestmark = pytest.mark.stack
STOP_WITHIN_S = 15


async def test_events_are_counted_once_when_the_worker_is_killed(traffic: Traffic, installation: Installation) -> None:
    async with traffic.flowing() as rng:
        for _ in range(int(scaled(3, 20))):
            await asyncio.sleep(rng.uniform(1, 7))
            await kill_and_launch(installation, "heatmap")
            traffic.faults["SIGKILL of the worker"] += 1
    await traffic.assert_exact()


@full_only
async def test_events_are_counted_once_when_the_worker_is_terminated(
    traffic: Traffic, installation: Installation
) -> None:
    took = []
    async with traffic.flowing() as rng:
        for _ in range(int(scaled(2, 6))):
            await asyncio.sleep(rng.uniform(4, 9))
            worker = installation.children["heatmap"]
            started = time.monotonic()
            worker.signal(signal.SIGTERM)
            while worker.alive:
                await asyncio.sleep(0.05)
            took.append(time.monotonic() - started)
            assert worker.returncode in (0, -signal.SIGTERM), "the worker must exit on SIGTERM without SIGKILL"
            installation.launch("heatmap")
            traffic.faults["SIGTERM of the worker"] += 1
    print("SIGTERM to end, s:", [round(seconds, 1) for seconds in took])
    assert max(took) < STOP_WITHIN_S
    await traffic.assert_exact()


@full_only
async def test_events_are_counted_once_when_the_edge_is_killed(traffic: Traffic, installation: Installation) -> None:
    async with traffic.flowing() as rng:
        for _ in range(int(scaled(2, 6))):
            await asyncio.sleep(rng.uniform(2, 5))
            await kill_and_launch(installation, "edge")
            traffic.faults["SIGKILL of the edge"] += 1
    await traffic.assert_exact()


@full_only
async def test_events_are_counted_once_when_workers_join_and_leave(
    traffic: Traffic, installation: Installation
) -> None:
    async with traffic.flowing() as rng:
        for round_ in range(int(scaled(2, 5))):
            second = installation.spare("heatmap", round_)
            second.start()
            await asyncio.sleep(rng.uniform(8, 14))
            await asyncio.to_thread(second.kill if round_ % 2 else second.stop)
            traffic.faults["join and " + ("kill" if round_ % 2 else "leave")] += 1
            await asyncio.sleep(rng.uniform(2, 6))
    await traffic.assert_exact()


@full_only
async def test_events_are_counted_once_when_a_broker_is_killed(traffic: Traffic, stack: Stack) -> None:
    names = [name for name in stack.processes if name.startswith("kafka")]
    async with traffic.flowing() as rng:
        for _ in range(int(scaled(1, 4))):
            await asyncio.sleep(rng.uniform(3, 8))
            name = rng.choice(names)
            await asyncio.to_thread(stack.kill, name)
            await asyncio.sleep(rng.uniform(0, 3))
            await asyncio.to_thread(stack.restart, name)
            traffic.faults[f"SIGKILL of {name}"] += 1
            await asyncio.sleep(5)
    await traffic.assert_exact()


@full_only
async def test_brokers_restarted_in_turn_fail_no_request(traffic: Traffic, stack: Stack) -> None:
    names = [name for name in stack.processes if name.startswith("kafka")]
    if len(names) < 3:
        pytest.skip("two brokers must remain: set LPSTREAM_TEST_KAFKA_NODES=3")
    async with traffic.flowing():
        for name in names:
            await asyncio.sleep(5)
            await asyncio.to_thread(stack.processes[name].stop)
            await asyncio.to_thread(stack.restart, name)
            traffic.faults[f"restart of {name}"] += 1
            await asyncio.sleep(15)  # until its replicas are in sync again
    await traffic.assert_exact()
    assert traffic.failed == 0


@full_only
@pytest.mark.parametrize("store", ["clickhouse", "redis"])
async def test_events_are_counted_once_when_a_store_is_down(
    traffic: Traffic, stack: Stack, installation: Installation, store: str
) -> None:
    away = scaled(8, 60)
    async with traffic.flowing() as rng:
        await asyncio.sleep(rng.uniform(2, 6))
        await asyncio.to_thread(stack.kill, store)
        await asyncio.sleep(away / 2)
        await kill_and_launch(installation, "heatmap")
        await asyncio.sleep(away / 2)
        await asyncio.to_thread(stack.restart, store)
        traffic.faults[f"{store} away {away:g} s, the worker killed meanwhile"] += 1
        await asyncio.sleep(5)
    await traffic.assert_exact()


@full_only
async def test_events_are_counted_once_when_redis_is_emptied(
    traffic: Traffic, stack: Stack, installation: Installation
) -> None:
    redis = Redis.from_url(stack.addresses.redis_url)
    async with traffic.flowing() as rng:
        for _ in range(int(scaled(2, 6))):
            await asyncio.sleep(rng.uniform(3, 7))
            await redis.flushall()
            await kill_and_launch(installation, "heatmap")
            traffic.faults["Redis emptied, the worker killed"] += 1
    await redis.aclose()
    await traffic.assert_exact()


@full_only
async def test_events_are_counted_once_among_poison_records(traffic: Traffic, stack: Stack) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=stack.addresses.kafka)
    await producer.start()
    async with traffic.flowing() as rng:
        until = time.monotonic() + scaled(12, 40)
        while time.monotonic() < until:
            value = rng.choice((b"{", b'{"schema":1}', b"\xff\xfe", b"[]", b"null", b'{"schema":2,"lp_id":"x"}'))
            await producer.send_and_wait("heatmap.events", value, partition=rng.randrange(PARTITIONS))
            traffic.faults["poison records"] += 1
            await asyncio.sleep(0.05)
    await producer.stop()
    await traffic.assert_exact()


@full_only
async def test_events_are_counted_once_under_all_faults(
    traffic: Traffic, stack: Stack, installation: Installation
) -> None:
    async def one(fault: str, rng: Any) -> None:
        if fault in ("edge", "heatmap"):
            await kill_and_launch(installation, fault)
        elif fault == "flush":
            async with Redis.from_url(stack.addresses.redis_url) as redis:
                await redis.flushall()
        elif fault == "spare":
            second: ChildProcess = installation.spare("heatmap", 9)
            second.start()
            await asyncio.sleep(rng.uniform(3, 10))
            await asyncio.to_thread(second.kill)
        else:
            await asyncio.to_thread(stack.kill, fault)
            await asyncio.sleep(rng.uniform(0, 4))
            await asyncio.to_thread(stack.restart, fault)
        traffic.faults[fault] += 1

    async with traffic.flowing() as rng:
        for _ in range(int(scaled(6, 30))):
            await asyncio.sleep(rng.uniform(0.5, 4))
            await one(rng.choice(["edge", "heatmap", "heatmap", "flush", "spare", "clickhouse", "redis", "kafka"]), rng)
    await traffic.assert_exact()
