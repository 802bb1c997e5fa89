"""The generation flow: requests become pages on the embedded stack."""

import asyncio
import json
import time
from typing import Any
from urllib.parse import urljoin
from uuid import uuid4

import aiohttp
import html5lib
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from page_requests import HOSTILE
from patience import PATIENCE_S

from infra.embedded.stack import Stack
from streams.local.installation import Installation

pytestmark = pytest.mark.stack
V2 = {"Content-Type": "application/vnd.kafka.json.v2+json"}


def page_request(**rest: Any) -> dict[str, Any]:
    return {
        "schema": 1,
        "request_id": str(uuid4()),
        "tenant_id": "demo",
        "industry": "飲食",
        "purpose": "集客",
        "keywords": ["ラーメン"],
        "business": {"name": "麺屋 <b>&一"},
        **rest,
    }


def session(installation: Installation) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {installation.token}"})


async def ask(http: aiohttp.ClientSession, installation: Installation, request: dict[str, Any]) -> int:
    body = msgspec.json.encode({"records": [{"value": request}]})
    async with http.post(f"{installation.api_url}/topics/lp.requests", data=body, headers=V2) as answer:
        return answer.status


async def result(http: aiohttp.ClientSession, installation: Installation, request_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        async with http.get(f"{installation.api_url}/lp/requests/{request_id}") as answer:
            if answer.status == 200:
                found: dict[str, Any] = await answer.json()
                return found
        await asyncio.sleep(0.1)
    raise AssertionError("no result")


async def test_three_requests_become_three_pages(installation: Installation) -> None:
    async with session(installation) as http:
        requests = [page_request(industry=industry) for industry in ("飲食", "美容", "不動産")]
        for request in requests:
            assert await ask(http, installation, request) == 200
        for request in requests:
            found = await result(http, installation, request["request_id"])
            assert found["status"] == "completed"
            assert found["warnings"][0]["code"] == "template_copy"
            assert found["timings_ms"]["total"] > 0
            async with http.get(found["page_url"]) as answer:
                page = html5lib.parse(await answer.read(), namespaceHTMLElements=False)
                name = "".join(page.find(".//header/p").itertext())
                assert answer.status == 200 and name == "麺屋 <b>&一"
                assert page.find(".//script[@async]").get("data-lp-id") == found["lp_id"]
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
            async with http.head(found["page_url"]) as head:
                assert (head.status, await head.read()) == (200, b"")
                assert head.headers["ETag"] == answer.headers["ETag"]
                assert head.headers["Content-Length"] == answer.headers["Content-Length"]
            async with http.head(f"{installation.api_url}/lp/requests/{request['request_id']}/events") as head:
                assert (head.status, head.content_type, await head.read()) == (200, "text/event-stream", b"")
            async with http.get(found["preview_url"]) as answer:
                assert answer.status == 200 and "sandbox" in answer.headers["Content-Security-Policy"]
            card = page.find(".//meta[@property='og:image']").get("content")
            files = [urljoin(found["page_url"], page.find(".//img").get("src")), card, found["thumbnail_url"]]
            for address, content_type in zip(files, ("image/webp", "image/png", "image/png"), strict=True):
                async with http.get(address) as answer:
                    assert answer.status == 200 and answer.headers["Content-Type"] == content_type


async def test_a_repeated_request_has_one_result(installation: Installation) -> None:
    async with session(installation) as http:
        request = page_request()
        for _ in range(2):
            assert await ask(http, installation, request) == 200
        first = await result(http, installation, request["request_id"])
        assert await ask(http, installation, request) == 200
        await asyncio.sleep(1)
        assert await result(http, installation, request["request_id"]) == first
        async with http.get(f"{installation.api_url}/lp/requests/{uuid4()}") as answer:
            assert answer.status == 404


async def test_variants_of_a_page_are_made_and_stay_unpublished(installation: Installation) -> None:
    async with session(installation) as http:
        page = page_request(business={"name": "麺屋 一", "phone": "03-0000-0000"})
        assert await ask(http, installation, page) == 200
        parent = await result(http, installation, page["request_id"])
        ids = {change: str(uuid4()) for change in ("copy", "order", "design", "call")}
        for change, request_id in ids.items():
            variant = {"of": parent["lp_id"], "change": change, "brief": "<b>必ず日本一</b>と書くこと"}
            request = {"request_id": request_id, "tenant_id": "demo", "variant": variant}
            assert await ask(http, installation, request) == 200
        for change, request_id in ids.items():
            found = await result(http, installation, request_id)
            assert (found["status"], found["page_url"], found["variant"]["of"]) == ("completed", None, parent["lp_id"])
            assert found["variant"]["change"] == change and found["variant"]["differs"]
            async with http.get(f"{installation.edge_url}/lp/{found['lp_id']}") as answer:
                assert answer.status == 404 and "公開されていません" in await answer.text()
            async with http.get(found["preview_url"]) as answer:
                text = await answer.text()
                assert answer.status == 200 and "03-0000-0000" in text and "日本一" not in text
        async with http.get(f"{installation.edge_url}/sitemap.xml") as answer:
            sitemap = await answer.text()
            assert not any(f"{found}<" in sitemap for found in ids.values())


async def test_an_invalid_request_is_refused_with_its_field(installation: Installation) -> None:
    async with session(installation) as http:
        body = msgspec.json.encode({"records": [{"value": page_request(tone="loud")}]})
        async with http.post(f"{installation.api_url}/topics/lp.requests", data=body, headers=V2) as answer:
            assert answer.status == 422 and "tone" in (await answer.json())["message"]
        assert await ask(http, installation, page_request(tenant_id="other")) == 403


async def test_hostile_text_stays_text_through_the_whole_flow(installation: Installation) -> None:
    """Put each hostile text into every field; ids, scripts and elements must equal those of a plain page."""
    requests = {kind: hostile(words) for kind, words in HOSTILE.items()}
    requests["plain"] = hostile("ふつうの言葉")
    async with session(installation) as http:
        for request in requests.values():
            assert await ask(http, installation, request) == 200
        shapes = {}
        for kind, request in requests.items():
            found = await result(http, installation, request["request_id"])
            assert found["status"] == "completed", (kind, found)
            async with http.get(found["page_url"]) as answer:
                page = html5lib.parse(await answer.read(), namespaceHTMLElements=False)
            assert page.find(".//script[@async]").get("data-lp-id") == found["lp_id"]
            shapes[kind] = [(one.tag, sorted(one.attrib)) for one in page.iter() if one.tag != "wbr"]
    assert {kind for kind, shape in shapes.items() if shape != shapes["plain"]} == set()


def hostile(words: str) -> dict[str, Any]:
    line = words[:200]
    facts = {"licences": [line], "hours": line, "access": line, "prices": [{"label": line, "yen": 1}]}
    business = {"name": words[:100], "address": line, "form_url": "https://example.com/form"}
    return page_request(keywords=["a", words[:50]], business=business, facts=facts)


async def test_a_bad_record_on_the_topic_is_rejected_or_dead_lettered(stack: Stack, installation: Installation) -> None:
    async with (
        AIOKafkaProducer(bootstrap_servers=stack.addresses.kafka) as producer,
        AIOKafkaConsumer("lp.requests.dlq", bootstrap_servers=stack.addresses.kafka) as consumer,
    ):
        await consumer.seek_to_end()
        bad = page_request(purpose="")
        await producer.send_and_wait("lp.requests", json.dumps(bad).encode())
        await producer.send_and_wait("lp.requests", b"no json")
        async with asyncio.timeout(PATIENCE_S):
            letter = await consumer.getone()
    assert letter.value == b"no json" and "error" in dict(letter.headers)
    async with session(installation) as http:
        found = await result(http, installation, bad["request_id"])
        assert found["status"] == "rejected" and found["error"]["field"] == "purpose"


async def test_a_killed_worker_loses_no_request(installation: Installation) -> None:
    async with session(installation) as http:
        requests = [page_request() for _ in range(30)]
        for number, request in enumerate(requests):
            assert await ask(http, installation, request) == 200
            if number == 10:
                await asyncio.to_thread(installation.children["generation"].kill)
                installation.launch("generation")
        for request in requests:
            assert (await result(http, installation, request["request_id"]))["status"] == "completed"
