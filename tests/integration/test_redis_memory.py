"""Memory of Redis: bytes of a beacon's identity, of a page's copy and of a result.

`lpstream cost` sizes Redis by these figures.

pytest -s tests/integration/test_redis_memory.py
"""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from infra.embedded import stores
from infra.embedded.ports import Ports
from infra.prices import load_prices
from infra.redis.identities import BucketIdentities, ClosedBucket
from infra.redis.line import RedisLine, open_redis
from infra.redis.page_cache import Lifetimes, PageCache
from infra.redis.results import RESULT_S, ResultStore
from processors.pages.brief import brief_of
from processors.pages.cache_keys import near_names_of
from schemas.generation import GenerationRequest
from streams.generation.mix import Mix
from streams.proof.bench.page_cache import entries

BUCKETS, EACH, PAGES = 60, 1_000, 400
DAY_S = 86_400
# a result as `lp.results` has it, with three model calls
RESULT_BYTES = 1_500


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[Redis]:
    server = stores.valkey(tmp_path, port := Ports(tmp_path).get("redis"))
    server.start()
    client = open_redis(f"redis://127.0.0.1:{port}")
    yield client
    await client.aclose()
    server.process.stop()


async def used(redis: Redis) -> int:
    return int((await redis.info("memory"))["used_memory"])


async def beacons(redis: Redis) -> float:
    """Return the bytes of a beacon whose identity is kept for an hour."""
    before, store = await used(redis), BucketIdentities(redis)
    for number in range(BUCKETS):
        identities = [number.to_bytes(10, "big") + at.to_bytes(10, "big") for at in range(EACH)]
        bucket = ClosedBucket(number * EACH, number * EACH + EACH - 1, time.time_ns() // 10**6, [(number, identities)])
        await store.put("heatmap.events", number % 12, bucket)
    return (await used(redis) - before) / (BUCKETS * EACH)


async def copies(redis: Redis) -> float:
    """Return the bytes of a page's copy, with the names by which similar pages find it."""
    lifetimes = Lifetimes(7 * DAY_S, 23 * DAY_S, 600, 2**20)
    unused: Any = None
    cache = PageCache(RedisLine(redis), unused, lifetimes)
    before = await used(redis)
    briefs = [brief_of(GenerationRequest.model_validate(one.request(0))) for one in Mix.load().patterns()[:PAGES]]
    for cached, brief in zip(entries(PAGES), briefs, strict=True):
        await cache.put(cached, near_names_of(brief.fields, "tenant"))
    return (await used(redis) - before) / PAGES


async def results(redis: Redis) -> float:
    """Return the bytes of a page's result, with the digests of its request."""
    before, store = await used(redis), ResultStore(RedisLine(redis))
    for _ in range(PAGES):
        request_id = uuid4()
        await store.begin(request_id, "d" * 64, of_fields="f" * 64)
        await store.keep(request_id, b"x" * RESULT_BYTES, RESULT_S)
    return (await used(redis) - before) / PAGES


async def test_redis_needs_no_more_memory_than_priced(redis: Redis) -> None:
    measured = {name: figure.value for name, figure in load_prices().content.measured.items()}
    found = {
        "redis_bytes_per_beacon": await beacons(redis),
        "redis_bytes_per_copy": await copies(redis),
        "redis_bytes_per_result": await results(redis),
    }
    print({name: round(value, 1) for name, value in found.items()})  # noqa: T201 - the figures
    for name, value in found.items():
        assert value == pytest.approx(measured[name], rel=0.15), name
