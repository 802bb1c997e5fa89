"""Traces of page requests, from the edge to the Kafka record and the OTLP collector."""

from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
import pytest

pytest.importorskip("opentelemetry.sdk")
from beacons import record_at
from otlp_collector import collecting
from page_requests import BUSINESS

from infra.embedded.stack import Stack
from schemas.generation import REQUESTS
from streams.local.installation import Installation
from streams.proof.edge_process import EdgeProcess, edge_process

pytestmark = pytest.mark.stack
JSON = {"Content-Type": "application/vnd.kafka.json.v2+json"}
LEAST = {"industry": "飲食", "purpose": "集客", "business": BUSINESS}
FOREIGN_TRACE = "0af7651916cd43dd8448eb211c80319c"


async def ask(edge: EdgeProcess, request_id: str, **headers: str) -> dict[str, Any]:
    value = {"request_id": request_id, "tenant_id": "demo", **LEAST}
    headers |= JSON | {"Authorization": f"Bearer {edge.token}"}
    body = msgspec.json.encode({"records": [{"value": value}]})
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{edge.api_url}/topics/{REQUESTS}", data=body, headers=headers) as answer,
    ):
        content = await answer.json(content_type=None)
        assert answer.status == 200, content
        return dict(content["offsets"][0])


async def header_of(stack: Stack, place: dict[str, Any]) -> str:
    record = await record_at(stack, REQUESTS, place)
    return str(dict(record.headers)["traceparent"].decode())


async def test_a_request_is_traced_from_the_edge(stack: Stack, installation: Installation) -> None:
    followed, alone = str(uuid4()), uuid4()
    with collecting() as collector:
        with edge_process(stack, "traced", {"LPSTREAM_OTLP_ENDPOINT": collector.url}) as edge:
            with_foreign_trace = await ask(edge, followed, traceparent=f"00-{FOREIGN_TRACE}-b7ad6b7169203331-01")
            with_own_trace = await ask(edge, str(alone))
        # The edge has stopped, so it must have sent its last spans.
        spans = {span.trace_id.hex(): span for span in collector.spans}
        assert collector.services == {"lpstream-edge"} and len(collector.spans) == 2
    for place, trace_id in ((with_foreign_trace, FOREIGN_TRACE), (with_own_trace, alone.hex)):
        assert spans[trace_id].name == "send lp.requests"
        assert await header_of(stack, place) == f"00-{trace_id}-{spans[trace_id].span_id.hex()}-01"
    assert spans[FOREIGN_TRACE].parent_span_id.hex() == "b7ad6b7169203331"
