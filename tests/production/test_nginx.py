"""nginx in front of the edge.

Valid configuration, caching of pages, passing of beacons, hidden routes.
"""

import contextlib
import json
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from nginx_and_edge import adapted, free_port, nginx_before, runnable, running_nginx
from patience import PATIENCE_S
from production_tools import run


class Edge(BaseHTTPRequestHandler):
    """A fake edge that records requests."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str, dict[str, str], bytes]]
    experiment = gone = False

    def do_GET(self) -> None:
        self._answer(200, self.path.encode())

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def do_POST(self) -> None:
        self._answer(204, b"")

    def _answer(self, status: int, body: bytes) -> None:
        if self.gone:
            self.close_connection = True
            return
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.command, self.path, dict(self.headers), sent))
        if self.path.startswith("/lp/demo-arm"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("demo-arm", "demo-a"))
            self.send_header("Cache-Control", "private, no-store")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(status)
        if self.experiment and self.path.startswith("/lp/"):
            self.send_header("Cache-Control", "private, no-store")
            self.send_header("Set-Cookie", "lpa=demo-b; Path=/lp/demo-a")
            body = b"arm %d" % len(self.seen)
        else:
            self.send_header("Cache-Control", "public, max-age=3600")
            self.send_header("Content-Security-Policy", "script-src 'self'")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.mark.parametrize("client", ["direct", "google"])
def test_nginx_accepts_the_configuration(tmp_path: Path, client: str) -> None:
    file = adapted(tmp_path, 9, free_port(), free_port(), client)
    output = run(runnable(), "-t", "-q", "-e", tmp_path / "start.log", "-c", file)
    assert "emerg" not in output


@pytest.fixture
def door(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    Edge.seen, Edge.experiment = [], False
    edge = ThreadingHTTPServer(("127.0.0.1", 0), Edge)
    threading.Thread(target=edge.serve_forever, daemon=True).start()
    try:
        with nginx_before(edge.server_port, tmp_path) as address:
            yield address, tmp_path
    finally:
        edge.shutdown()


def test_nginx_caches_pages_and_passes_beacons_only(door: tuple[str, Path]) -> None:
    address, folder = door
    for query in ("?x=1", "?x=2", ""):
        with urllib.request.urlopen(f"{address}/lp/demo-1{query}", timeout=PATIENCE_S) as page:
            assert page.read().startswith(b"/lp/demo-1")
            assert page.headers.get_all("Cache-Control") == ["public, max-age=3600"]
            assert page.headers.get_all("Content-Security-Policy") == ["script-src 'self'"]
    assert page.headers["X-Cache"] == "HIT"
    assert [path for _, path, _, _ in Edge.seen] == ["/lp/demo-1?x=1"], "the cache key is the path without the query"
    beacon = urllib.request.Request(f"{address}/e/heatmap.events", data=b"{}", method="POST")
    for _ in range(2):
        with urllib.request.urlopen(beacon, timeout=PATIENCE_S) as answer:
            assert answer.status == 204
    posts = [one for one in Edge.seen if one[0] == "POST"]
    assert [body for *_, body in posts] == [b"{}", b"{}"]
    assert posts[0][2]["X-Forwarded-For"] == "127.0.0.1"
    assert re.fullmatch("[0-9a-f]{32}", posts[0][2]["X-Request-Id"])
    for hidden in ("/metrics", "/lp", "/studio", "/heatmaps/demo-1.png"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address + hidden, timeout=PATIENCE_S)
    lines = [json.loads(line) for line in (folder / "access.log").read_text("utf-8").splitlines()]
    assert {line["route"] for line in lines} == {"/lp/{lp_id}", "/e/heatmap.events", "other"}
    assert lines[-5]["request_id"] == posts[1][2]["X-Request-Id"]
    assert "127.0.0.1" not in (folder / "access.log").read_text("utf-8")


class Unfollowed(urllib.request.HTTPRedirectHandler):
    """Redirects are answers."""

    def redirect_request(self, *_: object) -> None:
        """Follow none."""


def test_the_redirect_from_an_arms_address_keeps_each_visitors_query(door: tuple[str, Path]) -> None:
    opener = urllib.request.build_opener(Unfollowed)
    for query in ("?utm_source=a&x=%E3%81%82", "?gclid=b", "", "?"):
        with pytest.raises(urllib.error.HTTPError, match="302") as found:
            opener.open(f"{door[0]}/lp/demo-arm{query}", timeout=PATIENCE_S)
        headers = found.value.headers
        assert headers["Location"] == f"/lp/demo-a{query.rstrip('?')}"
        assert (headers["X-Cache"], headers["Cache-Control"]) == ("MISS", "private, no-store")


def test_nginx_passes_what_search_engines_ask_for(door: tuple[str, Path]) -> None:
    address, _ = door
    paths = ["/robots.txt", "/sitemap.xml", "/sitemap-acme_1-0.xml", "/favicon.ico"]
    for path in paths:
        with urllib.request.urlopen(address + path, timeout=PATIENCE_S) as answer:
            assert answer.status == 200
    assert [path for _, path, _, _ in Edge.seen] == paths
    for other in ("/sitemap.xml.gz", "/sitemap-A.xml", "/robots.txt/x"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(address + other, timeout=PATIENCE_S)


def test_a_visitors_text_does_not_reach_the_log(door: tuple[str, Path]) -> None:
    address, folder = door
    before = (folder / "access.log").read_text("utf-8").count("\n")
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    for value, method in ((trace, "GET"), ("secret-text", "GET"), ("\xff\xfe", "GET"), ("z" * 7_000, "SECRETMETHOD")):
        request = urllib.request.Request(f"{address}/t.js?secret", headers={"traceparent": value}, method=method)
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=PATIENCE_S).close()
    log, until = folder / "access.log", time.monotonic() + PATIENCE_S
    while (text := log.read_text("utf-8")).count("\n") < before + 4 and time.monotonic() < until:
        time.sleep(0.05)
    lines = text.splitlines()[before:]
    assert [json.loads(line)["trace"] for line in lines] == [trace, "", "", ""]
    assert [json.loads(line)["method"] for line in lines] == ["GET", "GET", "GET", "other"]
    assert max(map(len, lines)) < 400
    assert "secret" not in "".join(lines).lower()


def test_a_failing_cache_writes_no_visitors_data_to_the_log(door: tuple[str, Path]) -> None:
    address, folder = door
    for name in "0123456789abcdef":  # a file in the place of each folder of the cache, so that no answer can be stored
        (folder / "cache" / name).write_text("", "utf-8")
    (folder / "proxy").rename(folder / "moved")
    for path in ("/lp/acme-99?email=taro@example.jp", "/assets/name-of-visitor.png", "/t.js"):
        request = urllib.request.Request(address + path, headers={"Referer": "https://shop.example.jp/taro"})
        with contextlib.suppress(urllib.error.HTTPError, ConnectionError):
            urllib.request.urlopen(request, timeout=PATIENCE_S).close()
    assert len(Edge.seen) == 3, "nginx asks the edge, and fails after that"
    assert (folder / "error.log").read_text("utf-8") == ""


def test_nginx_stores_no_arm_and_passes_the_arms_cookie_alone(door: tuple[str, Path]) -> None:
    Edge.experiment = True
    headers = {"Cookie": "a=1; lpa=demo-b; session=secret", "User-Agent": "Agent/1", "DNT": "1", "Sec-GPC": "1"}
    bodies = set()
    for method in ("GET", "GET", "GET", "HEAD"):
        request = urllib.request.Request(f"{door[0]}/lp/demo-a", headers={**headers, "X-Own": "1"}, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            bodies.add(answer.read())
            assert answer.headers["X-Cache"] == "MISS" and answer.headers["Set-Cookie"].startswith("lpa=demo-b")
    assert len(bodies) == 4
    assert [method for method, *_ in Edge.seen] == ["GET", "GET", "GET", "HEAD"]
    passed = {name.lower(): value for name, value in Edge.seen[0][2].items()}
    assert (passed["cookie"], passed["user-agent"], passed["dnt"], passed["sec-gpc"]) == (
        "lpa=demo-b",
        "Agent/1",
        "1",
        "1",
    )
    assert "x-own" not in passed


@pytest.mark.parametrize("forged", ["a=1", "lpa=", "lpa=<script>", "lpa=a b", "lpa=" + "b" * 200])
def test_nginx_passes_no_cookie_that_is_no_arm(door: tuple[str, Path], forged: str) -> None:
    request = urllib.request.Request(f"{door[0]}/lp/demo-a", headers={"Cookie": forged})
    urllib.request.urlopen(request, timeout=PATIENCE_S).close()
    assert "cookie" not in {name.lower() for name in Edge.seen[0][2]}


def test_an_experiment_begins_when_the_page_has_left_the_cache(tmp_path: Path) -> None:
    Edge.seen, Edge.experiment, Edge.gone = [], False, False
    edge = ThreadingHTTPServer(("127.0.0.1", 0), Edge)
    threading.Thread(target=edge.serve_forever, daemon=True).start()
    public = free_port()
    file = adapted(tmp_path, edge.server_port, public, free_port())
    file.write_text(file.read_text("utf-8").replace("proxy_cache_valid 200 1m;", "proxy_cache_valid 200 1s;"), "utf-8")
    url = f"http://127.0.0.1:{public}/lp/demo-a"
    try:
        with running_nginx(file, tmp_path, f"http://127.0.0.1:{public}/healthz"):
            assert urllib.request.urlopen(url, timeout=PATIENCE_S).read() == b"/lp/demo-a"
            Edge.experiment = True
            time.sleep(2.1)
            bodies = [urllib.request.urlopen(url, timeout=PATIENCE_S).read() for _ in range(4)]
            assert len(set(bodies)) == 4 and all(body.startswith(b"arm") for body in bodies)
            Edge.gone = True
            # better an earlier page than none; it must not count as a visit to the control, and soon be replaced
            with urllib.request.urlopen(url, timeout=PATIENCE_S) as stale:
                assert stale.read() == b"/lp/demo-a"
                assert stale.headers["Cache-Control"] == "public, max-age=60"
                assert stale.headers.get_all("Content-Security-Policy") == ["script-src 'self'", "script-src 'none'"]
    finally:
        Edge.gone = False
        edge.shutdown()
