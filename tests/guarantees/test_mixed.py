"""All kinds of producers under faults: edges, transactions, codecs, retries, kills, an emptied Redis."""

import asyncio

import pytest
from beacons import some_beacons
from foreign_producers import append, in_transactions, producing
from harness import Traffic, full_only, kill_and_launch, scaled
from redis.asyncio import Redis

from infra.embedded.stack import Stack
from streams.local.installation import Installation

pytestmark = pytest.mark.stack
KILLED = ("heatmap", "edge", "heatmap", "edge")
RETRIED_EVERY = 10


@full_only
async def test_producers_of_all_kinds_under_faults_are_counted_once(
    traffic: Traffic, stack: Stack, installation: Installation
) -> None:
    count = int(scaled(150, 400))
    beacons = some_beacons(traffic.lp_id, 24_000)[-3 * count :]  # different from the beacons that the traffic posts
    second = installation.spare("edge", 1)
    second.start()
    redis = Redis.from_url(stack.addresses.redis_url)

    async def compressed(codec: str, mine: list[dict[str, object]]) -> None:
        async with producing(stack, compression_type=codec) as producer:
            for number, beacon in enumerate(mine):
                for _ in range(2 if number % RETRIED_EVERY == 0 else 1):
                    await append(producer, beacon)
                await asyncio.sleep(0.1)
        traffic.faults[f"beacons in {codec}"] = len(mine)

    async def transactional(mine: list[dict[str, object]]) -> None:
        async with producing(stack, transactional_id="mixed") as producer:
            traffic.faults["aborted transactions"] = await in_transactions(producer, mine, 4)
        traffic.faults["beacons in transactions"] = len(mine)

    async with traffic.flowing() as rng:
        outside = asyncio.gather(
            compressed("lz4", beacons[:count]),
            compressed("zstd", beacons[count : 2 * count]),
            transactional(beacons[2 * count :]),
        )
        for number, name in enumerate(KILLED):
            await asyncio.sleep(rng.uniform(4, 8))
            if number == 2:
                await redis.flushall()
                traffic.faults["Redis emptied"] += 1
            await kill_and_launch(installation, name)
            traffic.faults[f"SIGKILL of {name}"] += 1
        await outside
    await redis.aclose()
    await asyncio.to_thread(second.stop)
    traffic.acknowledged += beacons
    await traffic.assert_exact()
