"""Traces over real topics: a request is one trace, and the logs are JSON lines."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from harness import full_only
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from infra.embedded.stack import Stack
from streams.local.installation import Installation
from streams.local.prepare import prepare, settings_of

pytestmark = [full_only, pytest.mark.stack]
V2 = {"Content-Type": "application/vnd.kafka.json.v2+json"}
SPANS_S = 60


class Collector(BaseHTTPRequestHandler):
    """An OTLP/HTTP collector that keeps the spans it receives."""

    spans: list[Any]

    def do_POST(self) -> None:
        export = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
        self.spans += [span for one in export.resource_spans for scope in one.scope_spans for span in scope.spans]
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def traced(stack: Stack) -> Iterator[Installation]:
    Collector.spans = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    asyncio.run(prepare(settings_of(stack)))
    overrides = {
        "LPSTREAM_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "LPSTREAM_LOG_FORMAT": "json",
        "LPSTREAM_LOG_LEVEL": "INFO",
    }
    services = Installation(stack, print, overrides)
    try:
        services.start()
        yield services
    finally:
        services.stop()
        server.shutdown()


async def test_a_request_is_one_trace_from_its_record_to_its_result(traced: Installation) -> None:
    request_id = uuid4()
    request = {
        "schema": 1,
        "request_id": str(request_id),
        "tenant_id": "demo",
        "industry": "飲食",
        "purpose": "集客",
        "keywords": [uuid4().hex],
        "business": {"name": "麺屋"},
    }
    headers = {"Authorization": f"Bearer {traced.token}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        body = json.dumps({"records": [{"value": request}]})
        async with http.post(f"{traced.api_url}/topics/lp.requests", data=body, headers=V2) as answer:
            assert answer.status == 200
    deadline = time.monotonic() + SPANS_S
    while len(mine := spans_of(request_id)) < 8 and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    assert sorted(one.name for one in mine) == [
        "process lp.requests",
        *["process lp.step-results"] * 3,
        *["process lp.steps"] * 3,
        "send lp.requests",  # by the edge
    ]
    by_id = {one.span_id: one for one in mine}
    for one in mine:
        above = by_id[one.parent_span_id].name if one.parent_span_id in by_id else None
        assert (
            above
            in {
                "send lp.requests": {None},
                "process lp.requests": {"send lp.requests"},
                "process lp.steps": {"process lp.requests"},
                # cached copy is sent without its own step
                "process lp.step-results": {"process lp.steps", "process lp.requests"},
            }[one.name]
        )
    for child in traced.children.values():
        lines = child.log.read_text("utf-8").splitlines()
        assert lines and all("timestamp" in json.loads(line) for line in lines if line.startswith("{"))


def spans_of(request_id: UUID) -> list[Any]:
    return [one for one in Collector.spans if one.trace_id == request_id.bytes]
