"""nginx's cache keys: no request of a visitor changes the cached answer of a path."""

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from nginx_and_edge import bare_edge, nginx_before, port_of
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


# Other spellings of paths that some programs resolve to /t.js.
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
async def test_a_disguised_path_is_refused_and_not_cached(front: str, edge: str, path: str) -> None:
    for door in (front, edge):
        assert (await ask(door, get(path))).status in (400, 404), door
    cached = await ask(front, get("/t.js"))
    assert (cached.status, cached.headers["x-cache"]) == (200, "MISS"), "nothing was cached for /t.js"


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
async def test_headers_query_and_method_do_not_poison_the_cache(front: str, edge: str, whole: bytes) -> None:
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
    cached = await ask(front, get("/t.js"))
    assert (cached.status, cached.body) == (200, good.body)


async def test_answers_with_and_without_an_origin_are_cached_apart(front: str) -> None:
    for _ in range(2):
        assert "access-control-allow-origin" not in (await ask(front, get("/t.js"))).headers
        listed = await ask(front, get("/t.js", f"Origin: {ORIGIN}"))
        assert listed.headers["access-control-allow-origin"] == ORIGIN


async def test_errors_are_not_cached(front: str) -> None:
    away = ("/t.0123456789abcdef.js", "/lp/demo-1", "/assets/x.css")
    for path, status in (("/t.0123.js", 404), *((path, 503) for path in away)):
        for _ in range(2):
            answer = await ask(front, get(path))
            assert (answer.status, answer.headers.get("x-cache", "MISS")) == (status, "MISS")


async def test_the_query_is_not_part_of_the_cache_key(front: str) -> None:
    first = await ask(front, get("/t.js?a"))
    again = await ask(front, get("/t.js?b"))
    assert (first.headers["x-cache"], again.headers["x-cache"], again.body) == ("MISS", "HIT", first.body)


PIECES = ["/", "/", "t.js", "t.js", "..", ".", "%2e", "%2E%2e", "%2f", "%5c", "\\", ";", "#", "?", "%00", "%", "x"]
SEED, PATHS = 18, 1_500


async def test_random_paths_do_not_poison_the_cache(front: str, edge: str) -> None:
    rng, good = random.Random(SEED), await ask(edge, get("/t.js"))
    for _ in range(PATHS):
        path = "/" + "".join(rng.choices(PIECES, k=rng.randrange(1, 7)))
        reply = await ask(front, get(path))
        assert reply.status in (200, 400, 404, 503), path
        if reply.status == 200:
            assert path.partition("?")[0] == "/t.js", "only /t.js may answer as /t.js"
        if reply.headers.get("x-cache") == "HIT":
            assert reply.body == good.body, path
    cached = await ask(front, get("/t.js"))
    assert (cached.status, cached.body) == (200, good.body)
