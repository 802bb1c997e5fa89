"""The line to a real Redis: a restart costs nobody a call, an outage is told soon and over soon."""

import asyncio
import time

import pytest

from infra.embedded.process import Server
from infra.redis.line import RedisAccess, RedisLine, open_redis
from schemas.errors import Retryable

AT_ONCE = 20


async def _twenty(line: RedisLine) -> None:
    done = await asyncio.gather(*(line.call(lambda redis: redis.incr("n")) for _ in range(AT_ONCE)))
    assert len(set(done)) == AT_ONCE


async def test_connections_that_a_restart_broke_fail_no_call(valkey: tuple[Server, str]) -> None:
    server, url = valkey
    redis = open_redis(url)
    line = RedisLine(redis)
    try:
        await _twenty(line)
        server.kill()
        await asyncio.to_thread(server.restart)
        await _twenty(line)
        assert not line.away
    finally:
        await redis.aclose()


async def test_an_outage_fails_calls_at_once_and_its_end_is_noticed(valkey: tuple[Server, str]) -> None:
    server, url = valkey
    redis = open_redis(url)
    told: list[float] = []
    line = RedisLine(redis, on_return=told.append)
    try:
        server.kill()
        started = time.monotonic()
        for _ in range(200):
            with pytest.raises(Retryable):
                await line.call(lambda redis: redis.get("n"))
        assert time.monotonic() - started < 5 and line.away
        await asyncio.to_thread(server.restart)
        await asyncio.sleep(0.6)
        assert await line.call(lambda redis: redis.ping()) and len(told) == 1
    finally:
        await redis.aclose()


async def test_a_password_opens_redis_and_none_or_a_wrong_one_does_not(valkey: tuple[Server, str]) -> None:
    _, url = valkey
    right = open_redis(url, RedisAccess(password="right"))
    await open_redis(url).config_set("requirepass", "right")
    try:
        assert await right.ping()
        for access in (RedisAccess(), RedisAccess(password="wrong")):
            with pytest.raises(Retryable):
                await RedisLine(open_redis(url, access)).call(lambda redis: redis.get("x"))
    finally:
        await right.config_set("requirepass", "")
