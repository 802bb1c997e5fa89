"""What nginx keeps under a name is what the edge answers to that name, whatever a visitor asks for."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from fronts import bare_edge, nginx_before, port_of
from raw_http import ask, request

ORIGIN = "https://shop.example"


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = {"LPSTREAM_ALLOWED_ORIGINS": f'["{ORIGIN}"]'}
    with bare_edge(tmp_path_factory.mktemp("edge"), settings) as (public, _):
        yield public


@pytest.fixture
def front(edge: str, tmp_path: Path) -> Iterator[str]:
    with nginx_before(port_of(edge), tmp_path) as address:
        yield address


def get(path: str, *headers: str) -> bytes:
    return request(b"", headers, path, "GET")


# every way to write another path that some program takes for /t.js
DISGUISED = [
    "//t.js",
    "/x/../t.js",
    "/./t.js",
    "/x/%2e%2e/t.js",
    "/x/%2E./t.js",
    "/x/..%2ft.js",
    "/%74.js",
    "/t%2ejs",
    "/t.js/.",
    "/t.js/x/..",
    "/t.js/",
    "/t.js#x",
    "/t.js%23x",
    "/t.js;v=1",
    "/t.js%00",
    "/t.js%20",
    "/t.js%3fx",
    "/\\t.js",
    "/t.js\xa0",
]


@pytest.mark.parametrize("path", DISGUISED)
async def test_a_disguised_path_is_refused_and_spoils_no_key(front: str, edge: str, path: str) -> None:
    for door in (front, edge):
        assert (await ask(door, get(path))).status in (400, 404), door
    kept = await ask(front, get("/t.js"))
    assert (kept.status, kept.headers["x-cache"]) == (200, "MISS"), "nothing was kept under the name"


@pytest.mark.parametrize(
    "whole",
    [
        get("/t.js?x=1"),
        get("/t.js?../../x"),
        get("/t.js", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: ftp", "X-Original-URL: /x"),
        get("/t.js", "X-HTTP-Method-Override: DELETE", "Range: bytes=0-3", "If-None-Match: *"),
        get("/t.js").replace(b"Host: edge", b"Host: evil.example"),
        get("http://evil.example/t.js"),
        get("/t.js", "Accept-Encoding: x", "Cookie: a=b", "Authorization: Bearer x", "Expect: 100-continue"),
        request(b"", path="/t.js", method="HEAD"),
        request(b"x", path="/t.js"),
        request(b"x" * 100, path="/t.js", method="GET"),
        get("/t.js", "Origin: https://evil.example"),
    ],
)
async def test_no_header_query_or_method_changes_what_others_get(front: str, edge: str, whole: bytes) -> None:
    good = await ask(edge, get("/t.js"))
    connection = ask(front, whole, within_s=5)
    if not whole.startswith(b"HEAD"):
        await connection
    else:
        connection.close()
        _, writer = await asyncio.open_connection("127.0.0.1", port_of(front))
        writer.write(whole)
        await asyncio.sleep(0.3)
        writer.close()
    kept = await ask(front, get("/t.js"))
    assert (kept.status, kept.body) == (200, good.body)


async def test_a_listed_origin_and_none_have_answers_of_their_own(front: str) -> None:
    for _ in range(2):
        assert "access-control-allow-origin" not in (await ask(front, get("/t.js"))).headers
        listed = await ask(front, get("/t.js", f"Origin: {ORIGIN}"))
        assert listed.headers["access-control-allow-origin"] == ORIGIN


async def test_no_error_is_kept(front: str) -> None:
    for path, status in (("/t.0123456789abcdef.js", 404), ("/lp/demo-1", 503), ("/assets/x.css", 503)):
        for _ in range(2):
            answer = await ask(front, get(path))
            assert (answer.status, answer.headers.get("x-cache", "MISS")) == (status, "MISS")


async def test_what_is_kept_is_found_whatever_the_query(front: str) -> None:
    first = await ask(front, get("/t.js?a"))
    again = await ask(front, get("/t.js?b"))
    assert (first.headers["x-cache"], again.headers["x-cache"], again.body) == ("MISS", "HIT", first.body)


PIECES = ["/", "/", "t.js", "t.js", "..", ".", "%2e", "%2E%2e", "%2f", "%5c", "\\", ";", "#", "?", "%00", "%", "x"]
SEED, PATHS = 18, 1_500


async def test_no_path_of_any_pieces_spoils_a_key(front: str, edge: str) -> None:
    rng, good = random.Random(SEED), await ask(edge, get("/t.js"))
    for _ in range(PATHS):
        path = "/" + "".join(rng.choices(PIECES, k=rng.randrange(1, 7)))
        told = await ask(front, get(path))
        assert told.status in (200, 400, 404, 503), path
        if told.status == 200:
            assert path.partition("?")[0] == "/t.js", "one path has one name"
        if told.headers.get("x-cache") == "HIT":
            assert told.body == good.body, path
    kept = await ask(front, get("/t.js"))
    assert (kept.status, kept.body) == (200, good.body)
