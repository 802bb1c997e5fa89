"""Slow visitors behind nginx: limits per visitor, and the edge's timeout of bodies."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from beacons import some_beacons
from nginx_and_edge import bare_edge, nginx_before, port_of
from patience import SLACK_S
from raw_http import RawConnection, Reply, ask, request

BEACON = msgspec.json.encode(some_beacons("slow", 1)[0])
SETTINGS = {"LPSTREAM_EDGE_TRUSTED_PROXIES": "3", "LPSTREAM_EDGE_CLIENT_CONNECTIONS": "0"}
BODY_S = 3.0


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = SETTINGS | {"LPSTREAM_EDGE_BODY_TIMEOUT_S": str(BODY_S)}
    with bare_edge(tmp_path_factory.mktemp("edge"), settings) as (public, _):
        yield public


@pytest.fixture
def front(edge: str, tmp_path: Path) -> Iterator[str]:
    with nginx_before(port_of(edge), tmp_path, "google") as address:
        yield address


def via(address: str) -> str:
    """Return the X-Forwarded-For header that Google's load balancer sets for a visitor."""
    return f"X-Forwarded-For: {address}, 198.51.100.1"


def slow_head(visitor: str, path: str = "/e/heatmap.events", method: str = "POST") -> bytes:
    return request(b"", [via(visitor)], path, method).replace(b"Content-Length: 0", b"Content-Length: 900")


@asynccontextmanager
async def slow_posts(front: str, visitors: list[str]) -> AsyncIterator[list[RawConnection]]:
    """Hold posts open that have sent one byte of their body."""
    held = [await RawConnection.open(front) for _ in visitors]
    try:
        for one, visitor in zip(held, visitors, strict=True):
            await one.send(slow_head(visitor) + b"{")
        await asyncio.sleep(0.3)
        yield held
    finally:
        for one in held:
            await one.close()


async def refused(connections: list[RawConnection]) -> int:
    """Return how many connections were refused within 0.5 s."""

    async def answer(one: RawConnection) -> Reply | None:
        try:
            return await one.reply(0.5)
        except TimeoutError:
            return None

    replies = await asyncio.gather(*(answer(one) for one in connections))
    return sum(reply is not None and reply.status in (429, 503) for reply in replies)


async def test_a_slow_visitor_does_not_block_other_visitors(front: str) -> None:
    async with slow_posts(front, ["192.0.2.7"] * 500) as held:
        assert (await ask(front, request(BEACON, [via("192.0.2.8")]))).status == 204
        assert (await ask(front, request(b"", [via("192.0.2.8")], "/t.js", "GET"))).status == 200
        assert (await ask(front, request(b"", path="/readyz", method="GET"))).status == 200
        assert await refused(held) >= 450
    assert (await ask(front, request(BEACON, [via("192.0.2.7")]))).status == 204


@pytest.mark.parametrize(
    "forms",
    [
        ["2001:db8:1:2::7", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:aaaa::"],
        ["2001:db8::7", "2001:db8::a:b:c"],
        ["::ffff:192.0.2.9", "192.0.2.9"],
        ["203.0.113.1, 192.0.2.9", "203.0.113.2, 192.0.2.9"],
    ],
)
async def test_addresses_of_a_visitor_share_its_limit(front: str, forms: list[str]) -> None:
    async with slow_posts(front, [forms[number % len(forms)] for number in range(60)]) as held:
        assert await refused(held) == 10
        assert (await ask(front, request(BEACON, [via("2001:db8:1:3::7")]))).status == 204


async def test_a_dripping_body_ends_with_the_edges_timeout(front: str) -> None:
    connection = await RawConnection.open(front)
    started = time.monotonic()
    await connection.send(slow_head("192.0.2.7"))
    reply = asyncio.create_task(connection.reply(30))
    while not reply.done():
        await connection.send(b" ", 0.2)
    assert reply.result().status == 408
    assert BODY_S - 0.1 < time.monotonic() - started < BODY_S + SLACK_S
    while not await connection.is_closed(0.1):
        await connection.send(b" ", 0.1)
        assert time.monotonic() - started < BODY_S + SLACK_S, "the rest of the body is read for five seconds at most"
    await connection.close()


@pytest.mark.parametrize("path", ["/t.js", "/lp/demo-1", "/assets/x.css", "/readyz", "/healthz", "/other"])
async def test_nginx_waits_for_no_body_on_routes_without_bodies(front: str, path: str) -> None:
    for method in ("GET", "POST"):
        assert (await ask(front, slow_head("192.0.2.7", path, method), within_s=3)).status in (200, 404, 413)


async def test_a_refusal_comes_before_the_body(front: str) -> None:
    head = slow_head("192.0.2.7").replace(b"Host: edge", b"Host: edge\r\nOrigin: https://evil.example")
    answer = await ask(front, head, within_s=3)
    assert (answer.status, answer.headers["access-control-allow-origin"]) == (403, "*")
    big = slow_head("192.0.2.7").replace(b"Length: 900", b"Length: 1048577")
    assert (await ask(front, big, within_s=3)).status == 413
