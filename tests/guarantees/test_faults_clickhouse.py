"""Faults between the worker and ClickHouse, injected by a proxy.

Totals must equal the acknowledged events.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from harness import Forward, Proxy, Traffic, full_only, is_insert, refusal, scaled

from infra.embedded.stack import Stack
from streams.local.installation import Installation

pytestmark = pytest.mark.stack


@pytest.fixture
async def proxy(stack: Stack, installation: Installation) -> AsyncIterator[Proxy]:
    """Run the worker with a proxy between it and ClickHouse."""
    async with Proxy(stack.addresses.clickhouse_url).running() as running:
        await relaunch(installation, {"LPSTREAM_CLICKHOUSE_URL": running.url})
        yield running
        await relaunch(installation, {})


async def relaunch(installation: Installation, overrides: dict[str, str]) -> None:
    await asyncio.to_thread(installation.children["heatmap"].stop)
    installation.launch("heatmap", overrides)


@full_only
async def test_events_are_counted_once_when_insert_answers_are_lost(traffic: Traffic, proxy: Proxy) -> None:
    async with traffic.flowing() as rng:

        async def fault(request: web.BaseRequest, forward: Forward) -> web.Response | None:
            answer = await forward()
            if is_insert(request) and rng.random() < 0.3:
                traffic.faults["answers of inserts lost"] += 1
                return None
            return answer

        proxy.fault = fault
        await asyncio.sleep(scaled(15, 60))
        for _ in range(40):
            if traffic.faults["answers of inserts lost"] > 2:
                break
            await asyncio.sleep(1)
        proxy.fault = None
    assert traffic.faults["answers of inserts lost"] > 2
    await traffic.assert_exact()


@full_only
async def test_events_are_counted_once_when_a_table_refuses_inserts(
    traffic: Traffic, proxy: Proxy, installation: Installation
) -> None:
    async with traffic.flowing() as rng:

        async def fault(request: web.BaseRequest, forward: Forward) -> web.Response | None:
            if is_insert(request, "heatmap_sections") and rng.random() < 0.5:
                traffic.faults["inserts of the third table refused"] += 1
                return refusal(252, "TOO_MANY_PARTS")
            return await forward()

        proxy.fault = fault
        for _ in range(int(scaled(2, 6))):
            await asyncio.sleep(rng.uniform(6, 10))
            installation.children["heatmap"].kill()
            installation.launch("heatmap", {"LPSTREAM_CLICKHOUSE_URL": proxy.url})
            traffic.faults["SIGKILL of the worker"] += 1
        proxy.fault = None
    assert traffic.faults["inserts of the third table refused"] > 1
    await traffic.assert_exact()
