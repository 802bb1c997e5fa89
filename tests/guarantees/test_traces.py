"""Traces over real topics: a request is one trace, and the logs are JSON lines."""

import asyncio
import json
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from harness import full_only
from otlp_collector import Collector, collecting
from page_requests import least
from patience import PATIENCE_S

from infra.embedded.stack import Stack
from streams.client import over_http
from streams.local.installation import Installation
from streams.local.prepare import prepare, settings_of

pytestmark = [full_only, pytest.mark.stack]


@pytest.fixture
def traced(stack: Stack) -> Iterator[tuple[Installation, Collector]]:
    asyncio.run(prepare(settings_of(stack)))
    logs = {"LPSTREAM_LOG_FORMAT": "json", "LPSTREAM_LOG_LEVEL": "INFO"}
    with (
        collecting() as collector,
        Installation(stack, print, {"LPSTREAM_OTLP_ENDPOINT": collector.url, **logs}) as services,
    ):
        yield services, collector


async def test_a_request_is_one_trace_from_its_record_to_its_result(traced: tuple[Installation, Collector]) -> None:
    services, collector = traced
    request = least(request_id=uuid4(), tenant_id="demo", keywords=[uuid4().hex])
    async with over_http(services.api_url, services.token) as pages:
        await pages.request(request)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        mine = [one for one in list(collector.spans) if one.trace_id == request.request_id.bytes]
        if len(mine) >= 8 or time.monotonic() > deadline:
            break
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
                "process lp.step-results": {"process lp.steps"},
            }[one.name]
        )
    for child in services.children.values():
        lines = child.log.read_text("utf-8").splitlines()
        assert lines and all("timestamp" in json.loads(line) for line in lines if line.startswith("{"))
