"""A lease in Redis: one holder at a time, kept while the work goes on, over when its holder dies."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from schemas.errors import LpstreamError, Retryable

KEEP = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
KEEPS = 4


class Lease:
    """A lease that is held. What must not be done twice at once asks `check` first."""

    def __init__(self, redis: Redis, name: str, owner: str, for_s: float) -> None:
        self._redis, self._name, self._owner, self._for_s = redis, name, owner, for_s

    async def check(self) -> None:
        """Prolong it; LpstreamError when it is lost, Retryable when Redis does not answer."""
        if not await self._run(KEEP, str(round(self._for_s * 1000))):
            raise LpstreamError(f"lease {self._name}: was lost to another process; what was begun is left to it")

    async def keep(self) -> None:
        """Prolong it again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._for_s / KEEPS)
            with contextlib.suppress(Retryable):  # `check` says so in time
                await self._run(KEEP, str(round(self._for_s * 1000)))

    async def release(self) -> None:
        """Give it back, if it is still ours; a Redis that is away lets it end by itself."""
        with contextlib.suppress(Retryable):
            await self._run(RELEASE)

    async def _run(self, script: str, *arguments: str) -> Any:
        try:
            return await self._redis.eval(script, 1, self._name, self._owner, *arguments)
        except (RedisError, OSError) as error:
            raise Retryable(f"Redis: {type(error).__name__}") from error


@contextlib.asynccontextmanager
async def lease(redis: Redis, name: str, owner: str, for_s: float) -> AsyncIterator[Lease | None]:
    """The lease, kept while inside; None when someone else holds it. Retryable when Redis does not answer."""
    try:
        taken = await redis.set(name, owner, nx=True, px=round(for_s * 1000))
    except (RedisError, OSError) as error:
        raise Retryable(f"Redis: {type(error).__name__}") from error
    if not taken:
        yield None
        return
    mine = Lease(redis, name, owner, for_s)
    keeper = asyncio.create_task(mine.keep())
    try:
        yield mine
    finally:
        keeper.cancel()
        await mine.release()
