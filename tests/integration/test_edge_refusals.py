"""Refusals that a browser and an operator can read: foreign origins and invalid paths."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from beacons import some_beacons
from nginx_and_edge import bare_edge
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
    """Return the answers of the quick and the ordinary path."""
    whole = request(body, [f"Origin: {origin}"])
    head, _, rest = whole.partition(b"\r\n\r\n")
    ways: list[list[Part]] = [[whole], [head + b"\r\n\r\n", 0.05, rest]]
    return [await ask(url, *parts) for parts in ways]


async def test_a_page_can_read_the_refusal_of_its_origin(edge: tuple[str, str]) -> None:
    beacon = msgspec.json.encode(some_beacons("doors", 1)[0])
    for refused in await both(edge[0], beacon, FOREIGN):
        assert (refused.status, refused.headers[ALLOWED]) == (403, "*"), "otherwise the snippet would retry for ever"
        assert "access-control-allow-credentials" not in refused.headers
    for accepted in await both(edge[0], beacon, LISTED):
        assert (accepted.status, accepted.headers[ALLOWED]) == (204, LISTED)


@pytest.mark.parametrize("origin", [LISTED, FOREIGN, "null"])
async def test_a_preflight_passes_for_every_origin(edge: tuple[str, str], origin: str) -> None:
    headers = [f"Origin: {origin}", "Access-Control-Request-Method: POST"]
    answer = await ask(edge[0], request(b"", headers, "/topics/heatmap.events", "OPTIONS"))
    assert (answer.status, answer.headers[ALLOWED]) == (204, origin if origin == LISTED else "*")
    assert "access-control-allow-credentials" not in answer.headers
    kind = "Content-Type: application/vnd.kafka.json.v2+json"
    posted = await ask(edge[0], request(b"{}", [f"Origin: {origin}", kind], "/topics/heatmap.events"))
    assert (posted.status, posted.headers[ALLOWED]) == ((422, origin) if origin == LISTED else (403, "*"))


async def test_a_foreign_origin_can_read_only_refusals(edge: tuple[str, str]) -> None:
    for path in ("/healthz", "/readyz"):
        answer = await ask(edge[0], request(b"", [f"Origin: {FOREIGN}"], path, "GET"))
        assert answer.status == 200 and ALLOWED not in answer.headers
    private = await ask(edge[1], request(b"", [f"Origin: {FOREIGN}"], "/topics", "GET"))
    assert private.status == 401 and ALLOWED not in private.headers


@pytest.mark.parametrize("path", ["/lp/..", "/lp/.", "/lp/.a", "/assets/..", "/assets/%2e%2e", "/lp/%00", "/lp/a%2fb"])
async def test_a_path_outside_the_pages_is_404(edge: tuple[str, str], folder: Path, path: str) -> None:
    # The store is down here, so a 503 would mean that the edge asked it.
    assert (await ask(edge[0], request(b"", path=path, method="GET"))).status == 404
    assert "Traceback" not in (folder / "edge.log").read_text("utf-8")
