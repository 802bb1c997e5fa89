"""Producers of other programs: they write beacons to the log without the edge."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer

from infra.embedded.stack import Stack
from infra.kafka.producer import partition_of
from schemas.heatmap import TOPIC

PARTITIONS = 12


@contextlib.asynccontextmanager
async def producing(stack: Stack, **settings: Any) -> AsyncIterator[AIOKafkaProducer]:
    """A producer of another program's making."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.addresses.kafka, acks="all", **settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def append(producer: AIOKafkaProducer, beacon: dict[str, Any]) -> None:
    """Append a beacon where the edge would; retries of a beacon must share its partition."""
    place = partition_of(beacon["pageview_id"].encode(), PARTITIONS)
    await producer.send_and_wait(TOPIC, msgspec.json.encode(beacon), partition=place)


async def in_transactions(producer: AIOKafkaProducer, beacons: list[dict[str, Any]], abort_every: int) -> int:
    """Append five beacons a transaction; each `abort_every`th is aborted and then made again. Returns the aborts."""
    aborted = 0
    for start in range(0, len(beacons), 5):
        five = beacons[start : start + 5]
        if start // 5 % abort_every == 0:
            await producer.begin_transaction()
            for beacon in five:
                await append(producer, beacon)
            await producer.abort_transaction()
            aborted += 1
        async with producer.transaction():
            for beacon in five:
                await append(producer, beacon)
        await asyncio.sleep(0.05)
    return aborted
