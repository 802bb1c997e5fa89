"""The Redis line on a real Redis.

No failed calls after a restart, quick failure and recovery in an outage.
"""

import asyncio
import time

import pytest
from patience import SLACK_S

from infra.embedded.process import Server
from infra.redis.access import RedisAccess
from infra.redis.line import CONNECTIONS, PATIENCE_S, RedisLine, open_redis
from schemas.errors import Retryable
from streams.runtime.settings import Settings
from streams.runtime.stores import open_line

AT_ONCE, ROUNDS = 20, 40


async def _call_in_parallel(line: RedisLine) -> None:
    done = await asyncio.gather(*(line.call(lambda redis: redis.incr("n")) for _ in range(AT_ONCE)))
    assert len(set(done)) == AT_ONCE


async def test_calls_succeed_after_a_restart_of_redis(valkey: tuple[Server, str]) -> None:
    server, url = valkey
    redis = open_redis(url)
    line = RedisLine(redis)
    try:
        await _call_in_parallel(line)
        server.kill()
        await asyncio.to_thread(server.restart)
        await _call_in_parallel(line)
        assert not line.away
    finally:
        await redis.aclose()


async def test_calls_fail_quickly_in_an_outage_and_recover(valkey: tuple[Server, str]) -> None:
    server, url = valkey
    redis = open_redis(url)
    returns: list[float] = []
    line = RedisLine(redis, on_return=returns.append)
    try:
        server.kill()
        started = time.monotonic()
        for _ in range(200):
            with pytest.raises(Retryable):
                await line.call(lambda redis: redis.get("n"))
        assert time.monotonic() - started < SLACK_S and line.away
        await asyncio.to_thread(server.restart)
        await asyncio.sleep(0.6)
        assert await line.call(lambda redis: redis.ping()) and len(returns) == 1
    finally:
        await redis.aclose()


async def test_a_stall_of_our_own_event_loop_is_no_outage_of_redis(valkey: tuple[Server, str]) -> None:
    redis = open_redis(valkey[1])
    line = RedisLine(redis, patience_s=0.2)
    try:
        await line.call(lambda redis: redis.ping())
        calls = [asyncio.create_task(line.call(lambda redis: redis.incr("stalled"))) for _ in range(3)]
        await asyncio.sleep(0)  # the calls have begun
        time.sleep(1)  # noqa: ASYNC251 - the stall
        assert sorted(await asyncio.gather(*calls)) == [1, 2, 3] and not line.away
    finally:
        await redis.aclose()


async def test_calls_end_in_time_while_redis_keeps_connections_and_never_answers() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            pass
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    address = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    line = open_line(Settings.model_construct(**{**Settings().model_dump(), "redis_url": address}))
    started = time.monotonic()
    calls = (line.call(lambda redis: redis.get("n")) for _ in range(ROUNDS * CONNECTIONS))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    took = time.monotonic() - started
    await line.redis.aclose()
    server.close()
    assert {type(answer) for answer in answers} == {Retryable}
    assert took < ROUNDS * PATIENCE_S, "all calls wait together, not one round of connections after another"


async def test_redis_requires_the_right_password(valkey: tuple[Server, str]) -> None:
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
