"""A flood of what strangers send: nothing crashes, nothing leaks, nothing is produced, each gets its status.

Short for every change; LPSTREAM_GUARANTEES=full sends 100,000.
"""

import asyncio
import gzip
import itertools
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from beacons import some_beacons
from raw_http import RawConnection, ask, request

from infra.embedded.stack import Stack
from schemas.heatmap import decode_beacon
from streams.cli.services import prepare
from streams.cli.up import settings_of
from streams.proof.edge_process import EdgeProcess, edge_process

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]
FULL = os.environ.get("LPSTREAM_GUARANTEES") == "full"
REQUESTS = 100_000 if FULL else 3_000
CONNECTIONS = 60
SLOW = 200 if FULL else 20
GROWN_MB = 60
JSON = "Content-Type: application/vnd.kafka.json.v2+json"
BINARY = "Content-Type: application/vnd.kafka.binary.v2+json"
AVRO = "Content-Type: application/vnd.kafka.avro.v2+json"


@pytest.fixture(scope="module")
def edge(stack: Stack) -> Iterator[EdgeProcess]:
    asyncio.run(prepare(settings_of(stack)))
    rates = ("CLIENT_RATE", "CLIENT_BYTE_RATE", "RATE", "BYTE_RATE", "CLIENT_BODY_BYTES")
    settings = {f"LPSTREAM_EDGE_{name}": "0" for name in rates} | {"LPSTREAM_EDGE_BODY_TIMEOUT_S": "2"}
    with edge_process(stack, "abuse", settings) as one:
        yield one


GOOD = some_beacons("abuse", 1)[0]
GOOD_BODY = msgspec.json.encode(GOOD)


def change(rng: random.Random) -> bytes:
    """A beacon with one field of the wrong type, out of range, missing or too long."""
    wrong = [None, True, -1, 2**31, 2**63, 2**200, 1.5, "x", "", [], {}, [[1]], "\u0000", "a\nb", "=" * 1_000]
    beacon = dict(GOOD)
    name = rng.choice(
        ["schema", "lp_id", "pageview_id", "seq", "device", "viewport_w", "page_h", "t0", "depth", "type", "dt"]
    )
    if rng.random() < 0.2:
        del beacon[name]
    else:
        beacon[name] = rng.choice(wrong)
    body = json.dumps(beacon).encode()
    return body if not _is_beacon(body) else b"{}"


def _is_beacon(body: bytes) -> bool:
    try:
        decode_beacon(body)
    except Exception:  # noqa: BLE001 - whatever it is, it is no beacon
        return False
    return True


def cut(rng: random.Random) -> bytes:
    """A beacon with bytes cut out or changed."""
    body = bytearray(GOOD_BODY)
    at = rng.randrange(len(body))
    body[at : at + rng.randrange(1, 9)] = rng.randbytes(rng.randrange(4))
    return bytes(body) if not _is_beacon(bytes(body)) else b"["


def rest(body: bytes, kind: str = JSON) -> bytes:
    """A request to the rest door."""
    return request(body, [kind], "/topics/heatmap.events")


STRANGE_TOPICS = ["x", "lp.requests", "..", "a" * 300]
STRANGE_PATHS = ["%00", "..%2f..%2fetc", "?" * 50, "é"]
WRONG_ENVELOPES = [b"[]", b'{"records":[]}', b'{"records":[5]}', b"{"]
MANY_RECORDS = b'{"records":[' + b",".join([b"{}"] * 10_001) + b"]}"
STRANGE_SCHEMA = b'{"value_schema":"\\"int\\"","records":[{"value":1}]}'
DEEP_SCHEMA = json.dumps({"value_schema": "[" * 60_000, "records": [{}]}).encode()
BOMB = gzip.compress(gzip.compress(b"0" * 10_000_000))
DEEP = b'{"a":' * 12_000
PADDED = gzip.compress(GOOD_BODY + b" " * 65_536)
FOREIGN_PLACES = b'{"records":[{"value":%b,"partition":12}]}' % GOOD_BODY
WIDE_AVRO = json.dumps({"value_schema_id": 1, "records": [{"value": {"fixed": [0] * 15_000}}]}).encode()
BIG_NUMBER = msgspec.json.encode({**GOOD, "seq": 1}).replace(b'"seq":1', b'"seq":' + b"9" * 5_000)
Attack = tuple[str, Callable[[random.Random], bytes], set[int]]
ATTACKS: list[Attack] = [
    ("random bytes", lambda rng: request(rng.randbytes(rng.randrange(2_000))), {400, 422}),
    ("wrong fields", lambda rng: request(change(rng)), {422}),
    ("cut bodies", lambda rng: request(cut(rng)), {422, 400}),
    ("deep", lambda rng: request(rng.choice([DEEP, b"[" * 50_000, b'{"type":' * 8_000])), {422}),
    ("deep in the rest door", lambda rng: rest(b'{"records":' + DEEP), {400}),
    ("great numbers", lambda rng: request(BIG_NUMBER), {422}),
    ("oversized", lambda rng: request(b" " * 1_100_000), {413}),
    ("length of 10 GB", lambda rng: request(b"").replace(b"Length: 0", b"Length: 10000000000"), {413}),
    ("gzip bomb", lambda rng: request(gzip.compress(b"0" * 5_000_000), ["Content-Encoding: gzip"]), {413}),
    ("padded beacon", lambda rng: request(PADDED), {413}),
    ("foreign partition", lambda rng: rest(FOREIGN_PLACES), {400}),
    ("wide avro", lambda rng: rest(WIDE_AVRO, AVRO), {422}),
    ("avro over its limit", lambda rng: rest(gzip.compress(WIDE_AVRO * 2), AVRO), {413}),
    ("nested gzip", lambda rng: request(BOMB), {422}),
    ("cut gzip", lambda rng: request(gzip.compress(b"{}")[: rng.randrange(3, 15)]), {400}),
    ("encoding that is not so", lambda rng: request(b"{}", ["Content-Encoding: gzip"]), {400}),
    ("strange encoding", lambda rng: request(b"{}", ["Content-Encoding: br"]), {415}),
    ("foreign origin", lambda rng: request(GOOD_BODY, [f"Origin: https://{rng.random()}.example"]), {403}),
    ("foreign preflight", lambda rng: request(b"", ["Origin: null"], method="OPTIONS"), {204}),
    ("strange topic", lambda rng: request(b"{}", [JSON], f"/topics/{rng.choice(STRANGE_TOPICS)}"), {404}),
    ("strange path", lambda rng: request(b"", path=f"/{rng.choice(STRANGE_PATHS)}"), {400, 404}),
    ("strange method", lambda rng: request(b"{}", method=rng.choice(["PUT", "PATCH", "DELETE", "TRACE"])), {405, 400}),
    ("wrong envelope", lambda rng: rest(rng.choice(WRONG_ENVELOPES)), {400, 422}),
    ("many records", lambda rng: rest(MANY_RECORDS), {413}),
    ("wrong base64", lambda rng: rest(b'{"records":[{"value":"%%%"}]}', BINARY), {400}),
    ("no beacon in base64", lambda rng: rest(b'{"records":[{"value":"AAAA"}]}', BINARY), {422}),
    ("strange schema", lambda rng: rest(STRANGE_SCHEMA, AVRO), {422}),
    ("deep schema", lambda rng: rest(DEEP_SCHEMA, AVRO), {422}),
    ("no http", lambda rng: b"\x00" + rng.randbytes(40) + b"\r\n\r\n", {400}),
    ("two lengths", lambda rng: request(b"{}", ["Content-Length: 3"]), {400}),
    ("many headers", lambda rng: request(b"{}", [f"X-{number}: y" for number in range(100)]), {400}),
    ("split header", lambda rng: request(b"{}", ["Origin: a\rb"]), {400, 403}),
]  # fmt: skip


async def end_offsets(stack: Stack) -> int:
    """Records in the topics that strangers can reach."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.addresses.kafka)
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for topic in ("heatmap.events", "lp.requests") for number in range(12)]
        return sum((await consumer.end_offsets(places)).values())
    finally:
        await consumer.stop()


async def attacker(url: str, attacks: Iterator[Attack], rng: random.Random, told: Counter[tuple[str, int]]) -> None:
    """One client; it keeps its connection for as long as the server does."""
    connection = await RawConnection.open(url)
    for name, make, allowed in attacks:
        await connection.send(make(rng))
        reply = await connection.reply()
        if reply.status == 0:  # the server closed while we sent: a connection that had been told so, or a huge body
            await connection.close()
            connection = await RawConnection.open(url)
            await connection.send(make(rng))
            reply = await connection.reply()
        told[name, reply.status] += 1
        assert reply.status in allowed | ({0} if name in ("oversized", "length of 10 GB") else set()), (name, reply)
        if reply.headers.get("connection", "").lower() == "close" or reply.status in (0, 413):
            await connection.close()
            connection = await RawConnection.open(url)
    await connection.close()


async def test_a_flood_leaves_the_edge_as_it_was(stack: Stack, edge: EdgeProcess) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    told: Counter[tuple[str, int]] = Counter()
    await _flood(edge, seed, 600, told)  # caches and pools are filled before memory is looked at
    before, offsets, logged = edge.child.memory_mb(), await end_offsets(stack), _log(edge).stat().st_size
    started = time.monotonic()
    await asyncio.gather(_flood(edge, seed + 1, REQUESTS, told), *(_slow(edge, number) for number in range(SLOW)))
    seconds = time.monotonic() - started
    assert await end_offsets(stack) == offsets, "nothing was produced"
    assert edge.child.alive
    assert (await ask(edge.url, request(GOOD_BODY))).status == 204
    await asyncio.sleep(2)
    after = edge.child.memory_mb()
    print(f"{REQUESTS:,} requests in {seconds:.0f} s; memory {before:.0f} MB before, {after:.0f} after")
    for (name, status), count in sorted(told.items()):
        print(f"  {name}: {status} × {count:,}")
    assert after - before < GROWN_MB
    assert _log(edge).stat().st_size - logged < 20_000, "a flood of requests is none of log lines"
    assert "127.0.0.1:" not in _log(edge).read_text("utf-8").replace(edge.url, "")[logged:], "no client's address"
    assert {name for name, _ in told} == {name for name, _, _ in ATTACKS}


async def _flood(edge: EdgeProcess, seed: int, count: int, told: Counter[tuple[str, int]]) -> None:
    rng = random.Random(seed)
    attacks = iter(list(itertools.islice(itertools.cycle(ATTACKS), count)))
    clients = [attacker(edge.url, attacks, random.Random(rng.random()), told) for _ in range(CONNECTIONS)]
    await asyncio.gather(*clients)


async def _slow(edge: EdgeProcess, number: int) -> None:
    """A client that sends a byte now and then, or reads no answer."""
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
