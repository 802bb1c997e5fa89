"""The edge's connections in raw HTTP.

Limits, deadlines, order, and equal answers of quick and ordinary path.
"""

import asyncio
import gzip
import json
import signal
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from harness import full_only
from patience import PATIENCE_S, SLACK_S
from raw_http import RawConnection, Reply, ask, request

from infra.embedded.stack import Stack
from streams.local.prepare import prepare, settings_of
from streams.proof.edge_process import EdgeProcess, edge_process
from streams.proof.visitors import visits

pytestmark = pytest.mark.stack
V2 = "Content-Type: application/vnd.kafka.json.v2+json"
SETTINGS = {
    "LPSTREAM_EDGE_CLIENT_RATE": "0",
    "LPSTREAM_EDGE_CLIENT_BYTE_RATE": "0",
    "LPSTREAM_EDGE_MAX_CONNECTIONS": "50",
    "LPSTREAM_EDGE_CLIENT_CONNECTIONS": "0",
    "LPSTREAM_EDGE_MAX_IN_FLIGHT_BYTES": str(2**21),
    "LPSTREAM_ALLOWED_ORIGINS": '["https://shop.example"]',
}
IMPATIENT = {"LPSTREAM_EDGE_HEAD_TIMEOUT_S": "1", "LPSTREAM_EDGE_BODY_TIMEOUT_S": "3"}
TENANTS = """
[[tenant]]
id = "acme"
origins = ["https://www.acme.example"]
"""


@pytest.fixture(scope="module")
def edge(stack: Stack) -> Iterator[EdgeProcess]:
    asyncio.run(prepare(settings_of(stack)))
    with edge_process(stack, "connections", SETTINGS, tenants=TENANTS) as one:
        yield one


@pytest.fixture(scope="module")
def impatient_edge(edge: EdgeProcess, stack: Stack) -> Iterator[EdgeProcess]:
    """Start an edge with short deadlines, for tests of deadlines only: a busy machine could exceed them."""
    with edge_process(stack, "impatient", SETTINGS | IMPATIENT) as one:
        yield one


def a_beacon(**change: Any) -> bytes:
    seed = zlib.crc32(uuid4().bytes)
    beacon = next(iter(next(iter(visits(seed, ["doors"], 1, int(time.time() * 1000), 1))).beacons()))
    return msgspec.json.encode({**beacon, **change})


def in_two(whole: bytes) -> list[bytes | float]:
    """Split a request into head and body: the quick path takes only requests that arrive in one piece."""
    head, _, body = whole.partition(b"\r\n\r\n")
    return [head + b"\r\n\r\n", 0.05, body] if body else [whole]


def same(reply: Reply) -> tuple[int, dict[str, str], bytes]:
    return reply.status, {name: value for name, value in reply.headers.items() if name != "date"}, reply.body


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (a_beacon(), [], 204),
        (a_beacon(), ["Origin: https://shop.example"], 204),
        (a_beacon(), ["Origin: https://evil.example"], 403),
        (a_beacon(), ["Origin: null"], 403),
        (a_beacon(lp_id="acme-1"), ["Origin: https://www.acme.example"], 204),
        (a_beacon(lp_id="acme-1"), ["Origin: https://other.acme.example"], 403),
        (a_beacon(lp_id="doors"), ["Origin: https://www.acme.example"], 403),
        (gzip.compress(a_beacon()), [], 204),
        (gzip.compress(a_beacon())[:-3], [], 400),
        (gzip.compress(a_beacon()) + b"x", [], 400),
        (gzip.compress(b" " * 3_000_000), [], 413),
        (a_beacon(seq=-1), ["Origin: https://shop.example"], 422),
        (a_beacon(type="q"), [], 422),
        (b"", [], 422),
        (b"{", [], 422),
        (b"\xff\xfe", [], 422),
        (b"[" * 10_000, [], 422),
        (a_beacon() + b" " * 1_000_001, [], 413),
    ],
)
async def test_quick_and_ordinary_path_give_the_same_answer(
    edge: EdgeProcess, body: bytes, headers: list[str], status: int
) -> None:
    await ask(edge.url, *in_two(request(a_beacon())))  # let the edge load the partitions
    quick, ordinary = [
        await ask(edge.url, *parts) for parts in ([request(body, headers)], in_two(request(body, headers)))
    ]
    assert quick.status == status
    assert same(quick) == same(ordinary)
    assert "aiohttp" not in str(quick.headers) and quick.headers["server"] == "lpstream"


async def test_answers_have_the_order_of_requests_on_a_connection(edge: EdgeProcess) -> None:
    connection = await RawConnection.open(edge.url)
    expected = [204, 422, 204, 200, 204, 404, 204, 422]
    sent = {
        204: lambda: request(a_beacon()),
        422: lambda: request(b"{}"),
        200: lambda: request(b"", path="/healthz", method="GET"),
        404: lambda: request(b"", path="/nope"),
    }
    for _ in range(5):
        await connection.send(b"".join(sent[status]() for status in expected))
        assert [(await connection.reply()).status for _ in expected] == expected
    for status in expected * 3:  # one after another, each in two pieces
        whole = sent[status]()
        cut = len(whole) // 3
        await connection.send(whole[:cut], 0.01, whole[cut:])
        assert (await connection.reply()).status == status
    await connection.close()


async def test_dripping_heads_and_bodies_time_out(impatient_edge: EdgeProcess) -> None:
    async def dripping(start: bytes, drop: bytes) -> tuple[float, Reply]:
        connection = await RawConnection.open(impatient_edge.url)
        started = time.monotonic()
        await connection.send(start)
        reply = asyncio.create_task(connection.reply())
        while not reply.done():
            await connection.send(drop, 0.1)
        await connection.is_closed(5)
        return time.monotonic() - started, reply.result()

    seconds, reply = await dripping(b"POST /e/heatmap.events HTTP/1.1\r\nHost: edge\r\n", b"X-A: b\r\n")
    assert reply.status == 0 and 0.9 < seconds < 1 + SLACK_S
    sized = request(b"")[:-4].replace(b"Content-Length: 0", b"Content-Length: 500") + b"\r\n\r\n"
    chunked = b"POST /e/heatmap.events HTTP/1.1\r\nHost: edge\r\nTransfer-Encoding: chunked\r\n\r\n"
    for start, drop in ((sized, b" "), (chunked, b"1\r\n \r\n")):
        for _ in range(3):  # the edge reads on for a second; a drop that comes later resets the connection
            seconds, reply = await dripping(start, drop)
            if reply.status:
                break
        assert reply.status == 408 and 2.9 < seconds < 3 + SLACK_S


async def test_a_length_over_the_limit_is_refused_at_once(edge: EdgeProcess) -> None:
    head = request(b"").replace(b"Content-Length: 0", b"Content-Length: 100000000")
    started = time.monotonic()
    assert (await ask(edge.url, head)).status == 413
    assert time.monotonic() - started < SLACK_S


async def test_expect_100_continue_is_answered(edge: EdgeProcess) -> None:
    body = a_beacon()
    connection = await RawConnection.open(edge.url)
    head = request(body, ["Expect: 100-continue"])[: -len(body)]
    await connection.send(head)
    assert (await connection.reply()).status == 100
    await connection.send(body)
    assert (await connection.reply()).status == 204
    await connection.close()


@pytest.mark.parametrize(
    "whole",
    [
        request(b"12345", ["Content-Length: 6"]),
        request(b"12345", ["Transfer-Encoding: chunked"]),
        request(b"").replace(b"Length: 0", b"Length: -5"),
        request(b"12345").replace(b"Length: 5", b"Length: 5x"),
        b"POST /e/heatmap.events HTTP/1.1\r\nHost: e\r\nTransfer-Encoding: xchunked\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: e\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: e\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: e\r\nX-A: " + b"b" * 20_000 + b"\r\n\r\n",
        b"nonsense\r\n\r\n",
    ],
)
async def test_invalid_http_gets_a_json_error_and_a_closed_connection(edge: EdgeProcess, whole: bytes) -> None:
    connection = await RawConnection.open(edge.url)
    await connection.send(whole)
    reply = await connection.reply()
    assert reply.status == 400 and json.loads(reply.body)["error_code"] == 400
    assert b"Traceback" not in reply.body and b"aiohttp" not in reply.body
    assert await connection.is_closed(3)


@pytest.mark.parametrize("path", ["/e/heatmap.events", "/topics/heatmap.events"])
async def test_a_transfer_coding_other_than_chunked_is_not_supported(edge: EdgeProcess, path: str) -> None:
    body = a_beacon()
    head = f"POST {path} HTTP/1.1\r\nHost: e\r\n{V2}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".encode()
    reply = await ask(edge.url, head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    assert reply.status == 501 and b"Transfer-Encoding" in reply.body


async def test_connections_over_the_limit_get_503(edge: EdgeProcess) -> None:
    held = [await RawConnection.open(edge.url) for _ in range(50)]
    try:
        await asyncio.sleep(0.2)
        reply = await ask(edge.url, request(a_beacon()))
        assert (reply.status, "retry-after" in reply.headers) in ((503, True), (0, False))
        await held[0].send(request(a_beacon()))
        assert (await held[0].reply()).status == 204, "earlier connections are still served"
    finally:
        for connection in held:
            await connection.close()
    await asyncio.sleep(0.2)
    assert (await ask(edge.url, request(a_beacon()))).status == 204


async def test_bytes_in_memory_are_bounded_over_all_connections(impatient_edge: EdgeProcess) -> None:
    kind = "Content-Type: application/vnd.kafka.json.v2+json"
    head = request(b"", [kind], "/topics/heatmap.events").replace(b"Length: 0", b"Length: 1000000")
    held = [await RawConnection.open(impatient_edge.url) for _ in range(2)]
    for connection in held:
        await connection.send(head)
    await asyncio.sleep(0.1)
    reply = await ask(impatient_edge.url, head)
    assert reply.status == 503 and int(reply.headers["retry-after"]) >= 1
    assert [(await connection.reply()).status for connection in held] == [408, 408]
    assert (await ask(impatient_edge.url, head, b" " * 1_000_000)).status == 400, "the reserved bytes are released"
    for connection in held:
        await connection.close()


async def test_a_terminated_edge_answers_the_requests_it_has(stack: Stack) -> None:
    with edge_process(stack, "terminated", SETTINGS) as one:
        await ask(one.url, request(a_beacon()))
        connections = [await RawConnection.open(one.url) for _ in range(40)]
        for number, connection in enumerate(connections):
            await connection.send(*(in_two(request(a_beacon())) if number % 2 else [request(a_beacon())]))
        one.child.signal(signal.SIGTERM)
        assert [(await connection.reply()).status for connection in connections] == [204] * 40
        for connection in connections:
            assert await connection.is_closed(PATIENCE_S)
            await connection.close()
        while one.child.alive:
            await asyncio.sleep(0.05)
        assert one.child.returncode == 0


async def test_a_draining_edge_fails_readyz_answers_and_closes(stack: Stack) -> None:
    with edge_process(stack, "draining", SETTINGS | {"LPSTREAM_EDGE_DRAIN_S": "300"}) as one:
        before = await RawConnection.open(one.url)
        await before.send(request(a_beacon()))
        assert "connection" not in (await before.reply()).headers
        one.child.signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        while (await ask(one.url, request(b"", [], "/readyz", "GET"))).status != 503:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        for connection in (
            before,
            await RawConnection.open(one.url),
        ):  # a balancer may not know yet that the edge drains
            await connection.send(request(a_beacon()))
            reply = await connection.reply()
            assert (reply.status, reply.headers["connection"]) == (204, "close")
            assert await connection.is_closed(PATIENCE_S)
            await connection.close()
        one.child.signal(signal.SIGTERM)
        deadline = time.monotonic() + PATIENCE_S
        while one.child.alive:
            assert time.monotonic() < deadline, "a second signal ends the draining"
            await asyncio.sleep(0.05)
        assert one.child.returncode == 0


@full_only
async def test_processes_share_the_port_and_their_metrics_are_summed(stack: Stack) -> None:
    settings = SETTINGS | {"LPSTREAM_EDGE_PROCESSES": "2", "LPSTREAM_EDGE_MAX_CONNECTIONS": "12000"}
    with edge_process(stack, "processes", settings) as one:
        children = children_of(one.child.pid)
        assert len(children) >= 2
        for _ in range(60):
            assert (await ask(one.url, request(a_beacon()))).status == 204
        token = f"Authorization: Bearer {one.token}"
        page = (await ask(one.api_url, request(b"", [token], "/metrics", "GET"))).body.decode()
        line = next(line for line in page.splitlines() if line.startswith('lpstream_edge_records_total{topic="heatmap'))
        assert float(line.rpartition(" ")[2]) == 60
        one.child.kill()
        deadline = time.monotonic() + PATIENCE_S
        while any(_runs(pid) for pid in children):
            assert time.monotonic() < deadline, "child processes must end with their parent"
            await asyncio.sleep(0.1)


def children_of(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(") ")[2][0] != "Z"
    except OSError:
        return False
