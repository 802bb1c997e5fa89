"""Heatmaps over HTTP on real stores: access, caching, single flight, and outages of stores."""

import asyncio
import hashlib
import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import numpy as np
import pytest
from beacons import analyst, assert_counted, produce_all, some_beacons
from harness import full_only
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from infra.embedded.stack import Stack
from infra.redis.line import open_redis
from processors.pictures.maps import MARGIN_TOP
from streams.local.installation import Installation
from streams.proof.edge_process import EdgeProcess, edge_process
from streams.proof.visitors import page_of, tally

pytestmark = pytest.mark.stack
LP_ID = "acme-maps"
ANALYST = "acme-analyst"
NOWHERE = "127.0.0.1:1"


def tokens(tenant: str, *roles: str) -> str:
    """Return a tenant's part of the tenants file; its tokens are `<tenant>-<role>`."""
    lines = [f'[[tenant]]\nid = "{tenant}"\n']
    for role in roles:
        digest = hashlib.sha256(f"{tenant}-{role}".encode()).hexdigest()
        lines.append(f'[[tenant.token]]\nsha256 = "{digest}"\nrole = "{role}"\n')
    return "\n".join(lines)


TENANTS = tokens("acme", "analyst", "application") + tokens("rival", "analyst")


@pytest.fixture(scope="module")
def edge(stack: Stack, installation: Installation) -> Iterator[EdgeProcess]:
    with edge_process(stack, "maps", {"LPSTREAM_EDGE_CLIENT_RATE": "0"}, tenants=TENANTS) as one:
        yield one


@pytest.fixture(scope="module")
def counted(stack: Stack, installation: Installation) -> str:
    """Send visits to a page, wait until they are counted, and return its id."""

    async def fill() -> None:
        beacons = [one for one in some_beacons(LP_ID, 250) if one["device"] != "tablet"]
        await produce_all(installation, beacons)
        await assert_counted(stack, LP_ID, tally(beacons).total())

    asyncio.run(fill())
    return LP_ID


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """Return the body as JSON."""
        return dict(json.loads(self.body))

    @property
    def picture(self) -> np.ndarray:
        """Return the body as pixels."""
        return np.asarray(Image.open(io.BytesIO(self.body)).convert("RGB")).astype(int)


async def get(edge: EdgeProcess, path: str, token: str = ANALYST, **headers: str) -> Answer:
    headers["Authorization"] = f"Bearer {token}"
    async with aiohttp.ClientSession() as http, http.get(edge.api_url + path, headers=headers) as answer:
        return Answer(answer.status, answer.headers, await answer.read())


async def maps_drawn(edge: EdgeProcess, form: str = "png") -> float:
    """Return how many maps the edge has drawn itself."""
    families = text_string_to_metric_families((await get(edge, "/metrics", edge.token)).body.decode())
    samples = (one for family in families if family.name == "lpstream_edge_heatmaps" for one in family.samples)
    wanted = {"suffix": form, "outcome": "made"}
    return sum(one.value for one in samples if one.labels == wanted and one.name.endswith("_total"))


@pytest.mark.parametrize("device", ["mobile", "desktop"])
async def test_the_picture_is_hot_where_visitors_click(edge: EdgeProcess, counted: str, device: str) -> None:
    answer = await get(edge, f"/heatmaps/{counted}.png?kind=click&device={device}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
    page = page_of(counted, device)
    part = answer.picture[MARGIN_TOP:]
    assert part.shape[1] == page.width, "drawn in the visitors' page width"
    warmth = part[:, :, 0] - part[:, :, 2]
    spot = page.hot_spots[0]
    assert warmth[spot.y - 8 : spot.y + 8, spot.x - 8 : spot.x + 8].mean() > 50
    assert warmth[spot.y + 700 : spot.y + 1_400].max() < 20, "no heat between hot spots"


async def test_the_json_equals_the_views(edge: EdgeProcess, stack: Stack, counted: str) -> None:
    clickhouse = analyst(stack)
    sql = "SELECT toString(device) AS name, sum(hits) AS n FROM click_map WHERE lp_id = {lp:String} GROUP BY device"
    clicks = {row["name"]: int(row["n"]) for row in await clickhouse.rows(sql, {"lp": counted})}
    sql = "SELECT toUInt32(sum(pageviews)) AS n FROM page_sizes WHERE lp_id = {lp:String} AND device = 'mobile'"
    pageviews = (await clickhouse.rows(sql, {"lp": counted}))[0]["n"]
    await clickhouse.close()
    whole = f"from={int(time.time() - 80_000) * 1000}&to={int(time.time() + 600) * 1000}"
    document = (await get(edge, f"/heatmaps/{counted}.json?kind=click&{whole}")).json
    assert document["device"] == "mobile", "the default is the most frequent device"
    assert document["pageviews"] == pageviews and sum(cell[3] for cell in document["cells"]) == clicks["mobile"]
    assert (
        document["page"] == {"w": 384, "h": 5_200, "fold": 832} and document["peak"] > 0 and not document["truncated"]
    )
    document = (await get(edge, f"/heatmaps/{counted}.json?kind=click&device=desktop&{whole}")).json
    assert sum(cell[3] for cell in document["cells"]) == clicks["desktop"]
    bands = (await get(edge, f"/heatmaps/{counted}.json?kind=scroll&device=mobile&{whole}")).json["bands"]
    assert bands[0][1] == pageviews and bands == sorted(bands)
    nothing = (await get(edge, f"/heatmaps/{counted}.json?from=2020-01-01&to=2020-01-02")).json
    assert nothing["pageviews"] == 0 and nothing["cells"] == []


async def test_access_depends_on_tenant_and_role(edge: EdgeProcess, counted: str) -> None:
    for suffix in ("png", "json"):
        path = f"/heatmaps/{counted}.{suffix}"
        assert (await get(edge, path)).status == 200
        assert (await get(edge, path, "rival-analyst")).status == 404
        other = await get(edge, path, "acme-application")
        assert (other.status, other.json["error_code"]) == (403, 40301)
        assert (await get(edge, path, "nobody")).status == 401
    for path in ("/heatmaps/acme-..%2f..%2fx.png", "/heatmaps/rival-1.png", f"/heatmaps/{counted}.svg"):
        assert (await get(edge, path)).status == 404, path
    assert (await get(edge, f"/heatmaps/acme-{'x' * 200}.png")).status == 404


@pytest.mark.parametrize(
    "query",
    ["kind=nope", "device=watch", "from=later", "to=1", "lang=xx", "top=-1", "kind=click&kind=scroll",
     "from=2026-11-02&to=2026-11-01", "kind=%3Cscript%3E"],
)  # fmt: skip
async def test_an_invalid_parameter_gets_the_common_error_format(edge: EdgeProcess, query: str) -> None:
    answer = await get(edge, f"/heatmaps/acme-x.png?{query}")
    assert answer.status == 422 and answer.json["error_code"] == 422
    assert answer.json["message"].startswith(f"{query.partition('=')[0]}: ") and "script" not in answer.json["message"]


async def test_a_map_is_cached_with_an_entity_tag(edge: EdgeProcess, stack: Stack, counted: str) -> None:
    path = f"/heatmaps/{counted}.png?kind=attention&device=mobile"
    first = await get(edge, path)
    before = await maps_drawn(edge)
    second = await get(edge, path)
    assert first.body == second.body and first.headers["ETag"] == second.headers["ETag"]
    assert await maps_drawn(edge) == before, "the second map comes from the cache"
    assert first.headers["Cache-Control"].startswith("private")
    known = await get(edge, path, **{"If-None-Match": first.headers["ETag"]})
    assert (known.status, known.body) == (304, b"")
    assert known.headers["ETag"] == first.headers["ETag"] and "private" in known.headers["Cache-Control"]
    redis = open_redis(stack.addresses.redis_url)
    names = [name async for name in redis.scan_iter(match=f"lp:heatmap:{counted}:*")]
    times = [await redis.ttl(name) for name in names]
    await redis.aclose()
    assert names and all(0 < left <= 3_600 for left in times) and max(times) > 3_500
    anew = await get(edge, path, **{"Cache-Control": "no-cache"})
    assert anew.status == 200 and await maps_drawn(edge) == before + 1


async def test_concurrent_requests_to_two_edges_draw_one_map(edge: EdgeProcess, stack: Stack, counted: str) -> None:
    path = f"/heatmaps/{counted}.png?kind=click&device=mobile&top=7"
    with edge_process(stack, "maps2", tenants=TENANTS) as other:
        before = await maps_drawn(edge) + await maps_drawn(other)
        answers = await asyncio.gather(*(get(one, path) for one in (edge, other) for _ in range(12)))
        assert {one.status for one in answers} == {200} and len({one.body for one in answers}) == 1
        assert await maps_drawn(edge) + await maps_drawn(other) == before + 1


@full_only
async def test_maps_without_redis_or_without_clickhouse(edge: EdgeProcess, stack: Stack, counted: str) -> None:
    until = int(time.time() * 1000)  # a fixed end: "until now" would be another map in the next minute
    path = f"/heatmaps/{counted}.png?kind=click&device=mobile&top=9&to={until}"
    away = {"LPSTREAM_REDIS_URL": f"redis://{NOWHERE}", "LPSTREAM_CHROMIUM": "off"}
    with edge_process(stack, "noredis", away, tenants=TENANTS) as one:
        answers = await asyncio.gather(*(get(one, path) for _ in range(5)))
        assert {answer.status for answer in answers} == {200}
        assert (await get(one, path, **{"If-None-Match": answers[0].headers["ETag"]})).status == 304
    assert (await get(edge, path)).status == 200
    with edge_process(stack, "noclickhouse", {"LPSTREAM_CLICKHOUSE_URL": f"http://{NOWHERE}"}, tenants=TENANTS) as one:
        assert (await get(one, path)).status == 200, "a cached map needs no ClickHouse"
        answer = await get(one, f"{path}&lang=ja")
        assert (answer.status, answer.json["error_code"]) == (503, 503) and int(answer.headers["Retry-After"]) > 0


async def test_drawing_a_large_map_does_not_block_the_event_loop(edge: EdgeProcess, counted: str) -> None:
    drawing = asyncio.create_task(get(edge, f"/heatmaps/{counted}.png?kind=attention&device=desktop&top=5000"))
    waits = []
    async with aiohttp.ClientSession() as http:
        while not drawing.done():
            started = time.perf_counter()
            async with http.get(f"{edge.url}/healthz") as answer:
                assert answer.status == 200
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(0.01)
    assert (await drawing).status == 200
    assert len(waits) > 5 and sorted(waits)[len(waits) // 2] < 0.1
