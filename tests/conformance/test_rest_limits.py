"""REST Proxy v2 at its limits: sizes, rates, a broker or registry that is down, and CORS headers."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest
from conformance.proxy import AVRO, JSON, Proxy
from patience import PATIENCE_S

from infra.embedded.stack import Stack
from streams.proof.edge_process import EdgeProcess, edge_process

pytestmark = pytest.mark.stack
LIMIT = 2**20


def skip_unless_ours(proxy: Proxy) -> None:
    if not proxy.ours:
        pytest.skip("needs an edge whose limits the suite sets")


@pytest.mark.covers("M35")
async def test_a_record_over_the_maximum_fails_alone(proxy: Proxy, topic: str) -> None:
    sent = [{"partition": 0, "value": "a"}, {"partition": 0, "value": "x" * 1_045_000}, {"partition": 0, "value": "b"}]
    answer = await proxy.produce(topic, {"records": sent})
    codes = [one.get("error_code") for one in answer.offsets]
    if proxy.dialect == "karapace":
        assert answer.status == 422 and codes[1] == 1
        return
    assert (answer.status, codes) == (200, [None, 50002, None])
    assert [one.value for one in await proxy.records(topic, 2)] == [b'"a"', b'"b"']


async def chunks(total: int, sent: list[int]) -> AsyncIterator[bytes]:
    for _ in range(total // 65_536):
        yield b" " * 65_536
        sent.append(65_536)
        await asyncio.sleep(0.01)  # the edge reads on for up to a second, so that its answer arrives


@pytest.mark.covers("M45")
async def test_a_body_over_the_limit_is_not_read_to_its_end(proxy: Proxy, topic: str) -> None:
    skip_unless_ours(proxy)
    answer = await proxy.produce(topic, b" " * (LIMIT + 1))
    assert (answer.status, answer.code) == (413, 413)
    sent: list[int] = []
    answer = await proxy.produce(topic, chunks(64 * LIMIT, sent))
    assert (answer.status, answer.code) == (413, 413)
    assert sum(sent) < 16 * LIMIT, "apart from buffers, reading stops near the limit"


@pytest.fixture
def narrow(stack: Stack, proxy: Proxy) -> Iterator[EdgeProcess]:
    """Start an edge with low limits."""
    skip_unless_ours(proxy)
    settings = {
        "LPSTREAM_EDGE_CLIENT_RATE": "1",
        "LPSTREAM_EDGE_MAX_IN_FLIGHT": "10",
        "LPSTREAM_PROXY_TOPICS": json.dumps(["narrow"]),
    }
    with edge_process(stack, "narrow", settings) as one:
        yield one


@pytest.mark.covers("M46", "M49")
async def test_a_rate_limit_answers_with_retry_after(proxy: Proxy, narrow: EdgeProcess, topic: str) -> None:
    other = Proxy(narrow.api_url, narrow.url, proxy.kafka, None, "ours", narrow.token)
    body = {"records": [{"value": 1}] * 11}
    answer = await other.produce("lp.requests", json.dumps(body).replace("1}", "{}}"))
    assert answer.status == 422
    answer = await other.produce("narrow", body)
    assert (answer.status, answer.code) == (413, 413), "more records than may ever wait: a retry cannot succeed"
    answers = [await other.ask("POST", "/e/heatmap.events", "{}", public=True, Origin=narrow.url) for _ in range(15)]
    assert [answer.status for answer in answers] == [422] * 10 + [429] * 5
    assert int(answers[-1].headers["Retry-After"]) >= 1
    assert answers[-1].headers["Access-Control-Allow-Origin"] == narrow.url


@pytest.mark.covers("M24")
async def test_a_registry_that_is_down_gives_408(stack: Stack, proxy: Proxy) -> None:
    skip_unless_ours(proxy)
    name = next(proxy.topics)
    settings = {
        "LPSTREAM_SCHEMA_REGISTRY_URL": "http://127.0.0.1:9",
        "LPSTREAM_PROXY_TOPICS": json.dumps([name]),
    }
    with edge_process(stack, "no-registry", settings) as one:
        other = Proxy(one.api_url, one.url, proxy.kafka, None, "ours", one.token)
        for path in (name, "heatmap.events"):
            body = {"value_schema": '"int"', "records": [{"value": 1}]}
            answer = await other.produce(path, body, AVRO)
            assert (answer.status, answer.code) == (408, 40801)


@pytest.mark.covers("M47")
async def test_a_preflight_is_answered_and_cacheable(proxy: Proxy, topic: str) -> None:
    if proxy.origin is None:
        pytest.skip("no allowed origin is named")
    path = "/topics/heatmap.events" if proxy.ours else f"/topics/{topic}"
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = await proxy.ask("OPTIONS", path, public=True, Origin=proxy.origin, **wanted)
    assert answer.status in (200, 204)
    assert answer.headers["Access-Control-Allow-Origin"] == proxy.origin
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "content-type" in answer.headers["Access-Control-Allow-Headers"].lower()
    assert int(answer.headers["Access-Control-Max-Age"]) > 60
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.covers("M49")
async def test_errors_have_cors_headers(proxy: Proxy) -> None:
    if proxy.origin is None:
        pytest.skip("no allowed origin is named")
    topic = "heatmap.events"
    cases = [
        await proxy.ask("POST", f"/topics/{topic}", body, public=True, Origin=proxy.origin, **headers)
        for body, headers in (
            ("{", {"Content-Type": JSON}),
            ("{}", {"Content-Type": JSON}),
            ("{}", {"Content-Type": "text/html"}),
            ('{"records":[{"value":1}]}', {"Content-Type": JSON, "Accept": "text/html"}),
            (b" " * (LIMIT + 1), {"Content-Type": JSON}),
        )
    ]
    cases.append(await proxy.ask("POST", "/topics/nope", "{}", public=True, Origin=proxy.origin, Content_Type=JSON))
    cases.append(await proxy.ask("PUT", f"/topics/{topic}", "{}", public=True, Origin=proxy.origin))
    assert [one.status for one in cases] == [400, 422, 415, 406, 413, 404, 405]
    assert {one.headers.get("Access-Control-Allow-Origin") for one in cases} == {proxy.origin}


@pytest.mark.covers("M36")
async def test_a_broker_that_is_down_is_reported_within_the_deadline(stack: Stack, proxy: Proxy, topic: str) -> None:
    skip_unless_ours(proxy)
    assert (await proxy.produce(topic, {"records": [{"value": 1}]})).status == 200
    await asyncio.to_thread(stack.kill, "kafka")
    try:
        answer = await proxy.produce(topic, {"records": [{"value": 2}] * 3})
        assert answer.seconds < 5
        assert answer.status == 503 or {one["error_code"] for one in answer.offsets} == {50003}
    finally:
        await asyncio.to_thread(stack.restart, "kafka")
    async with asyncio.timeout(PATIENCE_S):
        while (await proxy.produce(topic, {"records": [{"value": 3}]})).body.get("offsets", [{}])[0].get(
            "offset"
        ) is None:
            await asyncio.sleep(0.3)
