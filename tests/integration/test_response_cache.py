"""The cache of HTTP answers on a real Redis: all answers together stay within a bound."""

import functools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from infra.embedded.process import Server
from infra.redis.line import RedisLine, open_redis
from infra.redis.response_cache import CachedResponse, Make, ResponseCache

HELD, SIZE = 10_000, 3_000


@pytest_asyncio.fixture
async def redis(valkey: tuple[Server, str]) -> AsyncIterator[Redis]:
    redis = open_redis(valkey[1])
    await redis.flushall()
    yield redis
    await redis.aclose()


def answer(size: int, for_s: int = 60) -> Make:
    async def make() -> CachedResponse:
        return CachedResponse.of(b"x" * size, "image/png", for_s)

    return make


async def stored(redis: Redis) -> set[str]:
    return {name.decode().split(":")[1] async for name in redis.scan_iter(match="test:page*")}


async def test_the_names_of_answers_end_with_the_last_of_them(line: RedisLine) -> None:
    cache = ResponseCache(line, "t:")
    for key, for_s in (("one", 50), ("two", 100), ("three", 20)):
        await cache.get(key, functools.partial(_made, for_s))
    for name in ("t::ends", "t::sizes"):
        assert 95 < await line.redis.ttl(name) <= 100


async def _made(for_s: int) -> CachedResponse:
    return CachedResponse.of(b"body", "text/plain", for_s)


async def test_answers_that_end_first_give_way_to_new_ones(redis: Redis) -> None:
    cache = ResponseCache(RedisLine(redis), "test:", most_held=HELD)
    for number, for_s in enumerate((60, 30, 90, 45)):
        await cache.get(f"page{number}", answer(SIZE, for_s))
    assert await stored(redis) == {"page0", "page2", "page3"}
    await cache.get("large", answer(HELD - 100))
    assert await stored(redis) == set()


@pytest.mark.parametrize("forgets", [False, True])
async def test_an_answer_that_is_made_again_counts_once(redis: Redis, forgets: bool) -> None:
    cache = ResponseCache(RedisLine(redis), "test:", most_held=HELD)
    await cache.get("page0", answer(SIZE))
    for _ in range(5):
        if forgets:
            await cache.forget("page1")
        await cache.get("page1", answer(SIZE), since_ms=2**52)
    assert await stored(redis) == {"page0", "page1"}
    assert 2 * SIZE < int(await redis.hget("test::sizes", "")) < 2 * SIZE + 500
