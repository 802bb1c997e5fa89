"""The client for applications, over HTTP and over Kafka, against a running stack."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest
from harness import full_only
from patience import SLACK_S

from infra.embedded.stack import Stack
from schemas.errors import Refused, Retryable
from schemas.generation import GenerationRequest, Progress
from streams.client import Pages, over_http, over_kafka
from streams.local.installation import Installation

pytestmark = pytest.mark.stack


def page_request(**rest: Any) -> GenerationRequest:
    values = {"tenant_id": "demo", "industry": "飲食", "purpose": "集客", "business": {"name": "麺屋 一"}}
    return GenerationRequest.model_validate({"request_id": str(uuid4()), **values, **rest})


@pytest.fixture(params=["http", "kafka"])
async def pages(request: pytest.FixtureRequest, stack: Stack, installation: Installation) -> AsyncIterator[Pages]:
    async with AsyncExitStack() as opened:
        if request.param == "http":
            yield await opened.enter_async_context(over_http(installation.api_url, installation.token))
        else:
            at = stack.addresses
            yield await opened.enter_async_context(over_kafka(at.kafka, at.broker_kind))


async def test_a_page_is_requested_followed_and_returned(pages: Pages) -> None:
    request_id = await pages.request(page_request(industry="美容"))
    steps: list[Progress] = [step async for step in pages.progress(request_id)]
    percents = [step.percent for step in steps]
    assert percents[-1] == 100 and percents == sorted(set(percents))
    result = await pages.result(request_id)
    assert (result.status, result.request_id) == ("completed", request_id)
    assert result.page_url is not None and result.lp_id is not None and result.lp_id in result.page_url


async def test_a_repeated_request_has_the_same_result(pages: Pages) -> None:
    request = page_request()
    first = await pages.result(await pages.request(request))
    assert await pages.result(await pages.request(request)) == first


@full_only
async def test_a_result_after_the_timeout_can_be_fetched_later(pages: Pages, installation: Installation) -> None:
    installation.children["generation"].stop()
    try:
        request_id = await pages.request(page_request())
        started = time.monotonic()
        with pytest.raises(Retryable, match="worker"):
            await pages.result(request_id, within_s=1.0)
        assert time.monotonic() - started < 1 + SLACK_S
    finally:
        installation.launch("generation")
    assert (await pages.result(request_id)).status in ("completed", "degraded")


async def test_http_errors_name_tenant_token_or_address(installation: Installation) -> None:
    async with over_http(installation.api_url, installation.token) as pages:
        with pytest.raises(Refused, match="tenant"):
            await pages.request(page_request(tenant_id="other"))
        with pytest.raises(Refused, match="404"):
            await pages.result(uuid4())
    async with over_http(installation.api_url, "wrong") as pages:
        with pytest.raises(Refused, match="401"):
            await pages.request(page_request())
    async with over_http("http://127.0.0.1:9", "any") as pages:
        with pytest.raises(Retryable, match=r"127\.0\.0\.1:9"):
            await pages.request(page_request())
