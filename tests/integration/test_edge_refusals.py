"""Refusals that a browser and an operator can read: foreign origins, and paths that lead nowhere."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from beacons import some_beacons
from fronts import bare_edge
from raw_http import Part, Reply, ask, request

LISTED, FOREIGN = "https://shop.example", "https://evil.example"
ALLOWED = "access-control-allow-origin"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edge")


@pytest.fixture(scope="module")
def edge(folder: Path) -> Iterator[tuple[str, str]]:
    with bare_edge(folder, {"LPSTREAM_ALLOWED_ORIGINS": f'["{LISTED}"]'}) as addresses:
        yield addresses


async def both(url: str, body: bytes, origin: str) -> list[Reply]:
    """The answers of the quick door and of the ordinary way."""
    whole = request(body, [f"Origin: {origin}"])
    head, _, rest = whole.partition(b"\r\n\r\n")
    ways: list[list[Part]] = [[whole], [head + b"\r\n\r\n", 0.05, rest]]
    return [await ask(url, *parts) for parts in ways]


async def test_a_page_may_read_that_its_origin_is_not_listed(edge: tuple[str, str]) -> None:
    beacon = msgspec.json.encode(some_beacons("doors", 1)[0])
    for refused in await both(edge[0], beacon, FOREIGN):
        assert (refused.status, refused.headers[ALLOWED]) == (403, "*"), "or the snippet tries again for ever"
        assert "access-control-allow-credentials" not in refused.headers
    for taken in await both(edge[0], beacon, LISTED):
        assert (taken.status, taken.headers[ALLOWED]) == (204, LISTED)


@pytest.mark.parametrize("origin", [LISTED, FOREIGN, "null"])
async def test_a_preflight_only_allows_to_ask(edge: tuple[str, str], origin: str) -> None:
    headers = [f"Origin: {origin}", "Access-Control-Request-Method: POST"]
    told = await ask(edge[0], request(b"", headers, "/topics/heatmap.events", "OPTIONS"))
    assert (told.status, told.headers[ALLOWED]) == (204, origin if origin == LISTED else "*")
    assert "access-control-allow-credentials" not in told.headers
    kind = "Content-Type: application/vnd.kafka.json.v2+json"
    asked = await ask(edge[0], request(b"{}", [f"Origin: {origin}", kind], "/topics/heatmap.events"))
    assert (asked.status, asked.headers[ALLOWED]) == ((422, origin) if origin == LISTED else (403, "*"))


async def test_a_foreign_origin_may_read_its_refusal_alone(edge: tuple[str, str]) -> None:
    for path in ("/healthz", "/readyz"):
        told = await ask(edge[0], request(b"", [f"Origin: {FOREIGN}"], path, "GET"))
        assert told.status == 200 and ALLOWED not in told.headers
    private = await ask(edge[1], request(b"", [f"Origin: {FOREIGN}"], "/topics", "GET"))
    assert private.status == 401 and ALLOWED not in private.headers


@pytest.mark.parametrize("path", ["/lp/..", "/lp/.", "/lp/.a", "/assets/..", "/assets/%2e%2e", "/lp/%00", "/lp/a%2fb"])
async def test_a_path_out_of_the_pages_is_not_there(edge: tuple[str, str], folder: Path, path: str) -> None:
    # the store is away here: 503 would mean that it was asked
    assert (await ask(edge[0], request(b"", path=path, method="GET"))).status == 404
    assert "Traceback" not in (folder / "edge.log").read_text("utf-8")
