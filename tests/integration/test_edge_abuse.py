"""A flood of hostile requests: no crash, no leak, no record produced, and the right status for each.

Short for every change; LPSTREAM_GUARANTEES=full sends 100,000.
"""

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from attacks import ATTACKS, GOOD_BODY, Attack
from raw_http import RawConnection, ask, request

from infra.embedded.stack import Stack
from infra.kafka.topics import load_topics
from streams.local.prepare import prepare, settings_of
from streams.proof.edge_process import EdgeProcess, edge_process

pytestmark = pytest.mark.stack
FULL = os.environ.get("LPSTREAM_GUARANTEES") == "full"
REQUESTS = 100_000 if FULL else 3_000
CONNECTIONS = 60
SLOW = 200 if FULL else 20
GROWN_MB = 60


@pytest.fixture(scope="module")
def edge(stack: Stack) -> Iterator[EdgeProcess]:
    asyncio.run(prepare(settings_of(stack)))
    rates = ("CLIENT_RATE", "CLIENT_BYTE_RATE", "RATE", "BYTE_RATE", "CLIENT_BODY_BYTES")
    settings = {f"LPSTREAM_EDGE_{name}": "0" for name in rates} | {"LPSTREAM_EDGE_BODY_TIMEOUT_S": "2"}
    with edge_process(stack, "abuse", settings) as one:
        yield one


async def end_offsets(stack: Stack) -> int:
    """Return the number of records in the topics that the public can reach."""
    async with AIOKafkaConsumer(bootstrap_servers=stack.addresses.kafka) as consumer:
        topics = [spec for spec in load_topics() if spec.name in ("heatmap.events", "lp.requests")]
        places = [TopicPartition(spec.name, number) for spec in topics for number in range(spec.partitions)]
        return sum((await consumer.end_offsets(places)).values())


async def attacker(url: str, attacks: Iterator[Attack], rng: random.Random, statuses: Counter[tuple[str, int]]) -> None:
    """Send attacks as one client, which keeps its connection until the server closes it."""
    connection = await RawConnection.open(url)
    for name, make, allowed in attacks:
        await connection.send(make(rng))
        reply = await connection.reply()
        if reply.status == 0:  # the server closed during the send, after `Connection: close` or a huge body
            await connection.close()
            connection = await RawConnection.open(url)
            await connection.send(make(rng))
            reply = await connection.reply()
        statuses[name, reply.status] += 1
        assert reply.status in allowed | ({0} if name in ("oversized", "length of 10 GB") else set()), (name, reply)
        if reply.headers.get("connection", "").lower() == "close" or reply.status in (0, 413):
            await connection.close()
            connection = await RawConnection.open(url)
    await connection.close()


async def test_a_flood_does_not_change_the_edge(stack: Stack, edge: EdgeProcess) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    statuses: Counter[tuple[str, int]] = Counter()
    await _flood(edge, seed, 600, statuses)  # fill caches and pools before the first look at memory
    before, offsets, logged = edge.child.memory_mb(), await end_offsets(stack), _log(edge).stat().st_size
    started = time.monotonic()
    await asyncio.gather(_flood(edge, seed + 1, REQUESTS, statuses), *(_slow(edge, number) for number in range(SLOW)))
    seconds = time.monotonic() - started
    assert await end_offsets(stack) == offsets, "nothing was produced"
    assert edge.child.alive
    assert (await ask(edge.url, request(GOOD_BODY))).status == 204
    await asyncio.sleep(2)
    after = edge.child.memory_mb()
    print(f"{REQUESTS:,} requests in {seconds:.0f} s; memory {before:.0f} MB before, {after:.0f} after")
    for (name, status), count in sorted(statuses.items()):
        print(f"  {name}: {status} × {count:,}")
    assert after - before < GROWN_MB
    assert _log(edge).stat().st_size - logged < 20_000, "a flood of requests must not flood the log"
    assert "127.0.0.1:" not in _log(edge).read_text("utf-8").replace(edge.url, "")[logged:], "no client's address"
    assert {name for name, _ in statuses} == {name for name, _, _ in ATTACKS}


async def _flood(edge: EdgeProcess, seed: int, count: int, statuses: Counter[tuple[str, int]]) -> None:
    rng = random.Random(seed)
    attacks = iter(list(itertools.islice(itertools.cycle(ATTACKS), count)))
    clients = [attacker(edge.url, attacks, random.Random(rng.random()), statuses) for _ in range(CONNECTIONS)]
    await asyncio.gather(*clients)


async def _slow(edge: EdgeProcess, number: int) -> None:
    """Act as a slow client: send few bytes, or read no answers."""
    connection = await RawConnection.open(edge.url)
    if number % 3 == 0:
        await connection.send(b"POST /e/heat")
    elif number % 3 == 1:
        await connection.send(request(b"").replace(b"Length: 0", b"Length: 900"), 0.5, b"{")
    else:
        await connection.send(request(b"", path="/t.js", method="GET") * 20)
        await asyncio.sleep(3)
        await connection.close()
        return
    assert await connection.is_closed(20)


def _log(edge: EdgeProcess) -> Path:
    return edge.child.log
