"""Producers other than the edge that write beacons directly to the log."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiokafka import AIOKafkaProducer
from beacons import PARTITIONS

from infra.embedded.stack import Stack
from infra.kafka.producer import partition_of
from schemas.heatmap import TOPIC


@contextlib.asynccontextmanager
async def producing(stack: Stack, **settings: Any) -> AsyncIterator[AIOKafkaProducer]:
    """Run a plain aiokafka producer with these settings while the block runs."""
    async with AIOKafkaProducer(bootstrap_servers=stack.addresses.kafka, acks="all", **settings) as producer:
        yield producer


async def append(producer: AIOKafkaProducer, beacon: dict[str, Any]) -> None:
    """Append a beacon to the edge's partition; retries of a beacon must share its partition."""
    place = partition_of(beacon["pageview_id"].encode(), PARTITIONS)
    await producer.send_and_wait(TOPIC, msgspec.json.encode(beacon), partition=place)


async def in_transactions(producer: AIOKafkaProducer, beacons: list[dict[str, Any]], abort_every: int) -> int:
    """Append five beacons per transaction; abort and repeat each `abort_every`th.

    Return the number of aborts.
    """
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
