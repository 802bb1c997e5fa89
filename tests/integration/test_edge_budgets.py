"""Budgets of the edge.

Visitors, the private listener, its streams and the probes have separate limits.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
from beacons import some_beacons
from nginx_and_edge import bare_edge
from raw_http import RawConnection, ask, request

TOKENS = {"acme": "acme-token", "other": "other-token"}
SETTINGS = {
    "LPSTREAM_EDGE_MAX_REQUESTS": "3",
    "LPSTREAM_EDGE_MAX_IN_FLIGHT_BYTES": str(2**20),
    "LPSTREAM_EDGE_CLIENT_BODY_BYTES": "0",
    "LPSTREAM_EDGE_BODY_TIMEOUT_S": "30",
}
PROBES = ("/healthz", "/readyz")
JSON = "Content-Type: application/vnd.kafka.json.v2+json"
TENANT = '[[tenant]]\nid = "{}"\n\n[[tenant.token]]\nsha256 = "{}"\nrole = "operator"\n\n'


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder: Path = tmp_path_factory.mktemp("edge")
    tenants = folder / "tenants.toml"
    tenants.write_text(
        "".join(TENANT.format(name, hashlib.sha256(one.encode()).hexdigest()) for name, one in TOKENS.items()), "utf-8"
    )
    with bare_edge(folder, SETTINGS | {"LPSTREAM_TENANTS_FILE": str(tenants)}) as addresses:
        yield addresses


def get(path: str, tenant: str = "acme") -> bytes:
    return request(b"", [f"Authorization: Bearer {TOKENS[tenant]}"], path, "GET")


@contextlib.asynccontextmanager
async def slow_posts(url: str, count: int, length: int, *headers: str) -> AsyncIterator[list[RawConnection]]:
    """Hold posts open whose body is never sent."""
    path = "/topics/heatmap.events" if JSON in headers else "/e/heatmap.events"
    head = request(b"", headers, path).replace(b"Content-Length: 0", b"Content-Length: %d" % length)
    held = [await RawConnection.open(url) for _ in range(count)]
    try:
        for one in held:
            await one.send(head)
        await asyncio.sleep(0.2)
        yield held
    finally:
        for one in held:
            await one.close()
        await asyncio.sleep(0.2)


async def test_visitors_cannot_use_up_the_private_requests(edge: tuple[str, str]) -> None:
    public, private = edge
    async with slow_posts(public, 3, 10):
        assert (await ask(public, request(b"{}"))).status == 503
        for path in PROBES:
            assert [(await ask(url, request(b"", path=path, method="GET"))).status for url in edge] == [200, 200]
        assert (await ask(private, get("/"))).status == 200


async def test_visitors_cannot_use_up_the_private_bytes(edge: tuple[str, str]) -> None:
    public, private = edge
    async with slow_posts(public, 1, 2**20, JSON):
        assert (await ask(public, request(b"{}"))).status == 503
        answer = await ask(
            private, request(b"{", [JSON, f"Authorization: Bearer {TOKENS['acme']}"], "/topics/lp.requests")
        )
        assert answer.status == 400, "the body was read"


async def test_probes_are_answered_when_private_requests_are_full(edge: tuple[str, str]) -> None:
    public, private = edge
    async with slow_posts(private, 3, 10, JSON, f"Authorization: Bearer {TOKENS['acme']}"):
        assert (await ask(private, get("/"))).status == 503
        for path in PROBES:
            assert [(await ask(url, request(b"", path=path, method="GET"))).status for url in edge] == [200, 200]
        assert (await ask(public, request(b"{}"))).status == 422


async def test_streams_do_not_count_as_requests(edge: tuple[str, str]) -> None:
    async with slow_posts(edge[1], 3, 10, JSON, f"Authorization: Bearer {TOKENS['acme']}"):
        answer = await ask(edge[1], get(f"/lp/requests/{uuid4()}/events"))
        assert b"Redis" in answer.body, "the stream was admitted; only Redis is missing here"


async def test_a_clients_unfinished_bodies_are_limited(tmp_path: Path) -> None:
    settings = {
        "LPSTREAM_EDGE_CLIENT_BODY_BYTES": str(2 * 65_536),
        "LPSTREAM_EDGE_MAX_BODY_BYTES": str(2 * 65_536),
        "LPSTREAM_EDGE_TRUSTED_PROXIES": "1",
    }
    mine, others = "X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 192.0.2.8"
    beacon = msgspec.json.encode(some_beacons("slow", 1)[0])
    with bare_edge(tmp_path, settings) as (public, _):
        async with slow_posts(public, 2, len(beacon), mine) as held:
            async with slow_posts(public, 1, 10, mine) as beyond:
                assert (await beyond[0].reply()).status == 429
            async with slow_posts(public, 1, 65_537, others, JSON) as whole:
                await whole[0].send(b" " * 65_537)
                assert (await whole[0].reply()).status == 400, "another client has its own limit"
            assert (await ask(public, request(beacon, [mine]))).status == 204, (
                "a body that arrives with its head does not count"
            )
            await held[0].send(beacon)
            assert (await held[0].reply()).status == 204
            async with slow_posts(public, 1, 10, mine) as again:
                await again[0].send(b"{}        ")
                assert (await again[0].reply()).status == 422, "a complete body no longer counts"
        async with slow_posts(public, 2, 10, mine):
            assert (await ask(public, request(b"", [mine]).replace(b"Length: 0", b"Length: 9999999"))).status == 413
        async with slow_posts(public, 1, 65_536 * 2, mine, JSON) as alone:
            await alone[0].send(b" " * 65_536 * 2)
            assert (await alone[0].reply()).status == 400, "closed connections no longer count"
