"""The edge's HTTP interface, as seen by a browser, a REST Proxy client and an application."""

import asyncio
import base64
import gzip
import hashlib
import json
import re
import time
import zlib
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest
from beacons import PARTITIONS
from patience import PATIENCE_S

from infra.embedded.stack import Stack
from infra.kafka.producer import partition_of
from streams.edge.routes import PRIVATE, STUDIO
from streams.local.installation import Installation
from streams.local.prepare import settings_of
from streams.pictures.stored import erased_key
from streams.proof.visitors import visits
from streams.runtime.stores import open_objects

pytestmark = pytest.mark.stack
# Statuses without a login; the studio's login page and its files are open to visitors without a session.
OPEN = {
    "/healthz": 200,
    "/readyz": 200,
    "/studio": 200,
    "/studio/session": 415,
    "/studio/static/{name}": 404,
    "/studio/assets/{name}": 404,
}
V2 = {"Content-Type": "application/vnd.kafka.json.v2+json"}


@pytest.fixture
def beacon() -> dict[str, Any]:
    return next(iter(next(iter(visits(zlib.crc32(uuid4().bytes), ["doors"], 1, int(time.time() * 1000), 1))).beacons()))


def bearer(installation: Installation) -> dict[str, str]:
    return {"Authorization": f"Bearer {installation.token}"}


async def post(url: str, data: Any, **headers: str) -> tuple[int, Any, Any]:
    async with aiohttp.ClientSession() as http, http.post(url, data=data, headers=headers) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if text else None, answer.headers


@pytest.mark.parametrize("how", ["plain", "encoded", "bare gzip"])
async def test_a_beacon_may_be_compressed(installation: Installation, beacon: dict[str, Any], how: str) -> None:
    body = msgspec.json.encode(beacon)
    headers = {"Content-Type": "text/plain"} | ({"Content-Encoding": "gzip"} if how == "encoded" else {})
    data = body if how == "plain" else gzip.compress(body)
    status, answer, _ = await post(f"{installation.edge_url}/e/heatmap.events", data, **headers)
    assert (status, answer) == (204, None)


async def test_bodies_are_bounded_before_and_after_inflating(installation: Installation) -> None:
    door = f"{installation.edge_url}/e/heatmap.events"
    assert (await post(door, gzip.compress(b" " * (2**20 + 1))))[0] == 413
    assert (await post(door, gzip.compress(b"{}")[:-5]))[0] == 400
    assert (await post(door, b""))[0] == 422


async def test_a_beacon_that_is_too_large_gets_no_retry_after(
    installation: Installation, beacon: dict[str, Any]
) -> None:
    body = msgspec.json.encode(beacon)
    padded = body + b" " * (2**16 + 1 - len(body))
    door = f"{installation.edge_url}/e/heatmap.events"
    status, answer, headers = await post(door, padded)
    assert (status, "Retry-After" in headers) == (413, False), answer
    assert (await post(door, body))[0] == 204, "the next beacon of the same partition is accepted"


async def test_a_listed_origin_gets_cors_headers_on_errors_too(installation: Installation) -> None:
    door = f"{installation.edge_url}/e/heatmap.events"
    status, _, headers = await post(door, b"{}", Origin=installation.edge_url)
    assert (status, headers["Access-Control-Allow-Origin"]) == (422, installation.edge_url)
    assert "Access-Control-Allow-Credentials" not in headers
    status, answer, headers = await post(door, b"{}", Origin="https://evil.example")
    assert (status, answer["error_code"], headers["Access-Control-Allow-Origin"]) == (403, 403, "*")
    async with (
        aiohttp.ClientSession() as http,
        http.options(
            door, headers={"Origin": installation.edge_url, "Access-Control-Request-Method": "POST"}
        ) as preflight,
    ):
        assert preflight.status == 204 and "POST" in preflight.headers["Access-Control-Allow-Methods"]
        assert int(preflight.headers["Access-Control-Max-Age"]) > 0


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b'{"records":[]}', V2, 422, 422),
        (b'{"records":[{"value":1,"extra":2}]}', V2, 422, 422),
        (b'{"recs":[]}', V2, 422, 422),
        (b"{", V2, 400, 400),
        (b"", V2, 422, 422),
        (b"[" * 5_000, V2, 400, 400),
        (b'{"records":[{"value":{}}]}', {"Content-Type": "text/plain"}, 415, 415),
        (b'{"records":[{"value":{}}]}', V2 | {"Accept": "text/html"}, 406, 406),
    ],
)
async def test_the_rest_proxy_reports_errors_with_codes(
    installation: Installation, body: bytes, headers: dict[str, str], status: int, code: int
) -> None:
    found, answer, _ = await post(f"{installation.edge_url}/topics/heatmap.events", body, **headers)
    assert (found, answer["error_code"]) == (status, code) and answer["message"]


async def test_binary_records_may_name_their_own_partition(installation: Installation, beacon: dict[str, Any]) -> None:
    value = base64.b64encode(msgspec.json.encode(beacon)).decode()
    body = json.dumps({"records": [{"value": value, "key": base64.b64encode(b"k").decode()}]})
    kind = {"Content-Type": "application/vnd.kafka.binary.v2+json"}
    own = partition_of(beacon["pageview_id"].encode(), PARTITIONS)
    for number in (own, (own + 1) % PARTITIONS):
        path = f"/topics/heatmap.events/partitions/{number}"
        status, answer, _ = await post(installation.edge_url + path, body, **kind)
        assert status == (200 if number == own else 400), answer
        if number == own:
            assert (answer["offsets"][0]["partition"], answer["offsets"][0]["error_code"]) == (own, None)
    status, answer, _ = await post(f"{installation.edge_url}/topics/heatmap.events/partitions/99", body, **kind)
    assert (status, answer["error_code"]) == (404, 40402)


async def test_every_private_route_requires_a_token(installation: Installation) -> None:
    async with aiohttp.ClientSession() as http:
        for route in [*PRIVATE, *STUDIO]:
            path = route.template.replace("{suffix}", "png").replace("{upload_id}", "0" * 64)
            status = OPEN.get(path, 401)
            for name in ("name", "topic", "partition", "lp_id", "request_id"):
                path = path.replace(f"{{{name}}}", "0")
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}):
                async with http.request(route.method, installation.api_url + path, headers=headers) as answer:
                    assert answer.status == status, path


async def test_the_public_listener_has_no_private_route(installation: Installation) -> None:
    async with aiohttp.ClientSession(headers=bearer(installation)) as http:
        private = ("/metrics", "/topics", "/heatmaps/x.png", "/studio", "/studio/static/x", f"/lp/requests/{uuid4()}")
        for path in private:
            async with http.get(installation.edge_url + path) as answer:
                assert answer.status == 404 or path == "/topics", path
        async with http.post(f"{installation.edge_url}/topics/lp.requests", data=b"{}", headers=V2) as answer:
            assert (answer.status, (await answer.json())["error_code"]) == (404, 40401)


async def test_a_missing_page_is_readable_for_people_and_programs(installation: Installation) -> None:
    url = f"{installation.edge_url}/lp/nothing-here"
    async with aiohttp.ClientSession() as http:
        async with http.get(url, headers={"Accept": "text/html,*/*;q=0.8"}) as answer:
            assert answer.status == 404 and answer.content_type == "text/html"
            assert "ページが見つかりません" in await answer.text()
        # nginx removes a browser's headers
        async with http.get(url, skip_auto_headers=["Accept"]) as answer:
            assert answer.status == 404 and answer.content_type == "text/html"
        async with http.get(url, headers={"Accept": "application/json"}) as answer:
            assert answer.status == 404 and (await answer.json())["error_code"] == 404


async def test_an_erased_page_is_gone(installation: Installation, stack: Stack) -> None:
    await open_objects(settings_of(stack)).put(erased_key("demo-was-here"), b"gone", "text/plain", "no-store")
    url = f"{installation.edge_url}/lp/demo-was-here"
    async with aiohttp.ClientSession() as http:
        async with http.get(url) as answer:
            assert answer.status == 410 and "公開を終了しました" in await answer.text()
            assert answer.headers["Cache-Control"] == "no-store"
        async with http.get(url, headers={"Accept": "application/json"}) as answer:
            assert answer.status == 410 and (await answer.json())["message"] == "HTTP 410 Gone"


async def test_browsers_and_robots_find_their_files(installation: Installation) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{installation.edge_url}/robots.txt") as answer:
            text = await answer.text()
            assert answer.content_type == "text/plain" and "Disallow: /topics/" in text
        sitemap = re.findall("Sitemap: (.*)", text)
        assert sitemap == [f"{installation.edge_url}/sitemap.xml"]
        async with http.get(sitemap[0]) as answer:
            assert answer.content_type == "application/xml" and "<urlset" in await answer.text()
        async with http.get(f"{installation.edge_url}/sitemap-none-0.xml") as answer:
            assert answer.status == 404
        async with http.get(f"{installation.edge_url}/favicon.ico") as answer:
            assert answer.status == 204


async def test_the_snippet_is_cached_for_long_under_its_hash(installation: Installation) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{installation.edge_url}/t.js") as answer:
            body = await answer.read()
            assert "max-age=300" in answer.headers["Cache-Control"]
            assert answer.headers["SourceMap"] == "/t.js.map"
            assert answer.headers["Content-Type"].startswith("text/javascript")
        digest = hashlib.sha384(body).hexdigest()[:16]
        async with http.get(f"{installation.edge_url}/t.{digest}.js") as answer:
            assert await answer.read() == body and "immutable" in answer.headers["Cache-Control"]
        async with http.get(f"{installation.edge_url}/t.0123456789abcdef.js") as answer:
            assert answer.status == 404


async def test_head_answers_as_get_without_a_body(installation: Installation) -> None:
    async with aiohttp.ClientSession(headers=bearer(installation)) as http:
        for url in (
            f"{installation.edge_url}/t.js",
            f"{installation.edge_url}/t.js.map",
            f"{installation.edge_url}/healthz",
            f"{installation.edge_url}/lp/not-there",
            f"{installation.api_url}/topics",
        ):
            async with http.get(url) as got, http.head(url) as head:
                body = await got.read()
                assert (head.status, await head.read()) == (got.status, b""), url
                names = {"Content-Type", "Content-Length", "Cache-Control", "Vary"}
                assert {one: head.headers.get(one) for one in names} == {one: got.headers.get(one) for one in names}
                assert int(head.headers["Content-Length"]) == len(body) > 0
        async with http.head(f"{installation.edge_url}/e/heatmap.events") as answer:
            assert answer.status == 405


async def test_metrics_count_acknowledged_beacons(installation: Installation, beacon: dict[str, Any]) -> None:
    async def acknowledged() -> float:
        async with (
            aiohttp.ClientSession(headers=bearer(installation)) as http,
            http.get(f"{installation.api_url}/metrics") as answer,
        ):
            name = 'lpstream_edge_records_total{topic="heatmap.events"} '
            return next(
                (float(line.removeprefix(name)) for line in (await answer.text()).splitlines() if name in line), 0.0
            )

    before = await acknowledged()
    await post(f"{installation.edge_url}/e/heatmap.events", msgspec.json.encode(beacon))
    assert await acknowledged() == before + 1


async def test_progress_is_streamed_until_done(installation: Installation) -> None:
    request_id = str(uuid4())
    page_request = {
        "request_id": request_id,
        "tenant_id": "demo",
        "industry": "教育",
        "purpose": "集客",
        "business": {"name": "学び舎"},
    }
    async with aiohttp.ClientSession(headers=bearer(installation)) as http:
        async with http.get(f"{installation.api_url}/lp/requests/{request_id}/events") as answer:
            assert answer.status == 404
        body = json.dumps({"records": [{"value": page_request}]})
        async with http.post(f"{installation.api_url}/topics/lp.requests", data=body, headers=V2) as answer:
            assert answer.status == 200
        async with (
            asyncio.timeout(PATIENCE_S),
            http.get(f"{installation.api_url}/lp/requests/{request_id}/events") as answer,
        ):
            assert answer.headers["Content-Type"] == "text/event-stream"
            lines = (await answer.text()).splitlines()
        steps = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
        percents = [one["percent"] for one in steps]
        assert percents == sorted(percents) and percents[-1] == 100 and steps[-1]["stage"] == "done"
        assert {one["request_id"] for one in steps} == {request_id}
        async with http.get(f"{installation.api_url}/lp/requests/{request_id}") as answer:
            assert (answer.status, (await answer.json())["status"]) == (200, "completed")
