"""Stops and changed cuts.

A stop is clean, and a worker with another cut finishes half-stored buckets.
"""

import asyncio
import signal
from collections import Counter

import pytest
from aiohttp import web
from harness import Forward, Proxy, Traffic, full_only, is_insert, scaled

from infra.embedded.stack import Stack
from streams.local.installation import Installation

pytestmark = pytest.mark.stack
FEW, MANY = "20", "50000"
TABLES = 6
# Each bucket has rows for at least this many tables.
FEWEST = 3


@full_only
async def test_a_worker_with_another_cut_finishes_the_started_bucket(
    traffic: Traffic, stack: Stack, installation: Installation
) -> None:
    """Inserts are slow, so that most kills happen between the tables of a bucket."""
    proxy = Proxy(stack.addresses.clickhouse_url)
    begun: Counter[str] = Counter()

    async def slowly(request: web.BaseRequest, forward: Forward) -> web.Response | None:
        answer = await forward()
        if is_insert(request):
            begun[request.query["insert_deduplication_token"]] += 1
            await asyncio.sleep(0.3)
        return answer

    proxy.fault = slowly

    async def relaunch(records: str) -> None:
        overrides = {"LPSTREAM_CLICKHOUSE_URL": proxy.url, "LPSTREAM_HEATMAP_BUCKET_RECORDS": records}
        begun.clear()
        installation.launch("heatmap", overrides)

    async def a_bucket_is_half_stored() -> None:
        while not any(0 < count < FEWEST for count in begun.values()):
            await asyncio.sleep(0.02)

    async with proxy.running():
        await asyncio.to_thread(installation.children["heatmap"].stop)
        async with traffic.flowing():
            for round_ in range(int(scaled(3, 12))):
                await relaunch(FEW if round_ % 2 else MANY)
                await a_bucket_is_half_stored()
                worker = installation.children["heatmap"]
                await asyncio.to_thread(worker.stop if round_ % 3 == 2 else worker.kill)
                traffic.faults["worker ended between tables, started under another cut"] += 1
            await relaunch(MANY)
        proxy.fault = None  # drain the remaining buckets at full speed
        await traffic.assert_exact()
    await asyncio.to_thread(installation.children["heatmap"].stop)
    installation.launch("heatmap")


@full_only
async def test_a_stop_finishes_the_started_buckets(traffic: Traffic, stack: Stack, installation: Installation) -> None:
    proxy = Proxy(stack.addresses.clickhouse_url)
    inserted: Counter[str] = Counter()

    async def slowly(request: web.BaseRequest, forward: Forward) -> web.Response | None:
        answer = await forward()
        if is_insert(request) and answer.status == 200:
            inserted[request.query["insert_deduplication_token"]] += 1
            await asyncio.sleep(0.2)
        return answer

    proxy.fault = slowly
    async with proxy.running():
        await asyncio.to_thread(installation.children["heatmap"].stop)
        installation.launch("heatmap", {"LPSTREAM_CLICKHOUSE_URL": proxy.url})
        async with traffic.flowing() as rng:
            for _ in range(int(scaled(2, 5))):
                before = len(inserted)
                while len(inserted) == before:  # however long the worker takes to start
                    await asyncio.sleep(0.05)
                await asyncio.sleep(rng.uniform(0, 3))
                worker = installation.children["heatmap"]
                worker.signal(signal.SIGTERM)
                while worker.alive:
                    await asyncio.sleep(0.05)
                assert min(inserted.values()) >= FEWEST, "a bucket was stored in some tables only"
                tokens = set(inserted)
                installation.launch("heatmap", {"LPSTREAM_CLICKHOUSE_URL": proxy.url})
                traffic.faults["SIGTERM of the worker"] += 1
                await asyncio.sleep(6)
                again = {token: inserted[token] for token in tokens if inserted[token] > TABLES}
                assert not again, "a bucket was stored again after a clean stop"
        await traffic.assert_exact()
    await asyncio.to_thread(installation.children["heatmap"].stop)
    installation.launch("heatmap")
