"""A flood of hostile requests through nginx and at the private listener, next to a regular visitor.

Short for every change; LPSTREAM_GUARANTEES=full sends 100,000. The figures are printed: `pytest -s`.
"""

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from attacks import ATTACKS, GOOD_BODY, Attack
from nginx_and_edge import bare_edge_process, nginx_before, port_of
from raw_http import RawConnection, request

from infra.embedded.process import ChildProcess

REQUESTS = 100_000 if os.environ.get("LPSTREAM_GUARANTEES") == "full" else 2_000
ADDRESSES = 20
GROWN_MB = 60
# No rates: they would refuse nearly all requests, and this test is about the code behind them.
RATES = ("CLIENT_RATE", "CLIENT_BYTE_RATE", "RATE", "BYTE_RATE", "CLIENT_BODY_BYTES", "CLIENT_CONNECTIONS")
SETTINGS = {f"LPSTREAM_EDGE_{name}": "0" for name in RATES} | {"LPSTREAM_EDGE_TRUSTED_PROXIES": "3"}


def named(whole: bytes, address: str) -> bytes:
    """Return the request as Google's load balancer forwards it."""
    head, separator, rest = whole.partition(b"\r\n")
    return head + separator + b"X-Forwarded-For: %b, 198.51.100.1\r\n" % address.encode() + rest


async def attacker(url: str, attacks: Iterator[Attack], rng: random.Random, statuses: Counter[int]) -> None:
    connection = await RawConnection.open(url)
    for name, make, _ in attacks:
        whole = make(rng)
        if rng.random() < 0.2:
            whole = whole.replace(b"Host: edge", b"Host: edge\r\nAuthorization: Bearer %d" % rng.randrange(10**9), 1)
        await connection.send(named(whole, f"192.0.2.{rng.randrange(ADDRESSES)}"))
        reply = await connection.reply()
        statuses[reply.status] += 1
        assert reply.status not in (500, 502, 504), (name, reply)
        if reply.headers.get("connection", "").lower() == "close" or reply.status in (0, 413):
            await connection.close()
            connection = await RawConnection.open(url)
    await connection.close()


async def visits(url: str, stop: asyncio.Event, took_s: list[float]) -> Counter[int]:
    """Send beacons of a regular visitor, ten a second; return the counts of statuses."""
    statuses: Counter[int] = Counter()
    whole = named(request(GOOD_BODY), "203.0.113.7")
    connection = await RawConnection.open(url)
    while not stop.is_set():
        began = time.perf_counter()
        await connection.send(whole)
        statuses[(await connection.reply()).status] += 1
        took_s.append(time.perf_counter() - began)
        await asyncio.sleep(0.1)
    await connection.close()
    return statuses


async def flood(doors: list[str], count: int, seed: int) -> Counter[int]:
    rng = random.Random(seed)
    attacks = iter(list(itertools.islice(itertools.cycle(ATTACKS), count)))
    statuses: Counter[int] = Counter()
    clients = [attacker(doors[n % len(doors)], attacks, random.Random(rng.random()), statuses) for n in range(40)]
    await asyncio.gather(*clients)
    return statuses


async def test_a_flood_through_nginx_does_not_disturb_a_visitor(tmp_path: Path) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    with (
        bare_edge_process(tmp_path, SETTINGS) as (edge, public, private),
        nginx_before(port_of(public), tmp_path, "google") as front,
    ):
        await flood([front, private], 600, seed)
        before, stop, took_s = edge.memory_mb(), asyncio.Event(), list[float]()
        visitor = asyncio.create_task(visits(front, stop, took_s))
        statuses = await flood([front, front, private], REQUESTS, seed + 1)
        stop.set()
        answers = await visitor
        await asyncio.sleep(1)
        _report(edge, before, statuses, took_s)
        assert edge.alive
        assert set(answers) == {204}
        assert edge.memory_mb() - before < GROWN_MB


def _report(edge: ChildProcess, before: float, statuses: Counter[int], took_s: list[float]) -> None:
    p99_ms = sorted(took_s)[int(len(took_s) * 0.99)] * 1000
    print(f"{sum(statuses.values()):,} requests: {dict(sorted(statuses.items()))}")
    print(
        f"edge {before:.0f} MB before, {edge.memory_mb():.0f} after; {len(took_s)} visitor beacons, p99 {p99_ms:.0f} ms"
    )
