"""A log full of costly beacons.

The worker drains it within its memory limit and counts the allowed ones.
"""

import asyncio
import random
import time
from typing import Any
from uuid import UUID

import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from beacons import PARTITIONS, analyst, example_beacon, totals, wait_counted
from cgroups import limited
from foreign_producers import producing
from harness import Traffic, full_only, scaled

from infra.embedded.stack import Stack
from schemas.errors import TooMuchError
from schemas.heatmap import TOPIC, decode_beacon
from streams.local.installation import Installation
from streams.proof.processes import peak_mb

pytestmark = pytest.mark.stack
# The manifests give the worker 1 GiB.
MOST_MB, LIMIT = 600, 2**30
MB = 2**20


def beacon_of(lp_id: str, rng: random.Random, **rest: Any) -> dict[str, Any]:
    pageview_id = str(UUID(int=rng.getrandbits(128), version=4))
    t0 = int(time.time() * 1000) - rng.randrange(80_000_000)
    values = {"lp_id": lp_id, "pageview_id": pageview_id, "viewport_h": 65_536, "page_h": 65_536, "t0": t0}
    return example_beacon(**values | rest)


def events(letter: str, count: int, every_ms: int, **rest: Any) -> dict[str, Any]:
    column = [0] * count
    dt = [every_ms * at for at in range(count)]
    return {"type": letter * count, "dt": dt, "x": column, "y": column, "dwell": [1] * count, **rest}


def bomb(lp_id: str, rng: random.Random) -> dict[str, Any]:
    """Return 500 views of the tallest page, 5 s apart, with 30 sections: a third of a million rows."""
    sections = [[f"s{number}", 0, 65_536] for number in range(30)]
    return beacon_of(lp_id, rng, **events("s", 500, 5_000), sections=sections)


def costly_beacon(lp_id: str, rng: random.Random) -> dict[str, Any]:
    """Return one of the costliest allowed beacons."""
    kind = rng.randrange(3)
    if kind == 0:
        sections = [[f"{rng.randrange(10**6)}", 0, 9_000] for _ in range(30)]
        return beacon_of(lp_id, rng, **events("s", 12, 5_000), page_h=6_000, sections=sections)
    if kind == 1:
        return beacon_of(lp_id, rng, **events("s", 4, 4_999))
    tops = [rng.randrange(600) * 100 for _ in range(500)]
    return beacon_of(lp_id, rng, **events("s", 500, 38, viewport_h=100, y=tops))


async def write(producer: AIOKafkaProducer, beacons: list[bytes]) -> None:
    sent = [
        await producer.send(TOPIC, body, partition=number % PARTITIONS, timestamp_ms=None)
        for number, body in enumerate(beacons)
    ]
    await asyncio.gather(*sent)


@full_only
async def test_a_log_full_of_costly_beacons_is_drained(
    traffic: Traffic, stack: Stack, installation: Installation
) -> None:
    rng = random.Random(18)
    bombs = [msgspec.json.encode(bomb("bomb", rng)) for _ in range(60)]
    with pytest.raises(TooMuchError):
        decode_beacon(bombs[0])
    costly, size = [], 0
    while size < scaled(2, 12) * MB:
        costly.append(msgspec.json.encode(costly_beacon(traffic.lp_id, rng)))
        size += len(costly[-1])
    expected = sum(len(decode_beacon(body).type) for body in costly)
    await asyncio.to_thread(installation.children["heatmap"].stop)
    async with producing(stack) as producer:
        await write(producer, [*bombs, *costly, *bombs])
    installation.launch("heatmap")
    clickhouse = analyst(stack)
    with limited(installation.children["heatmap"].pid, LIMIT) as charged:
        try:
            await wait_counted(clickhouse, traffic.lp_id, expected, 600)
            found, of_bombs = await totals(clickhouse, traffic.lp_id), await totals(clickhouse, "bomb")
        finally:
            await clickhouse.close()
        peak = int(peak_mb(installation.children["heatmap"].pid))
        group = f"{charged()} MB in a cgroup of 1 GiB" if charged else "this machine allows no cgroup"
    print(
        f"{traffic.lp_id}: {len(costly):,} costly beacons of {size / MB:.0f} MB and 120 bombs, "
        f"worker's peak {peak} MB resident, {group}"
    )
    assert (found["events"], of_bombs["events"]) == (expected, 0)
    assert peak < MOST_MB
