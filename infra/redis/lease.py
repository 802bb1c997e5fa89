"""Leases in Redis: one holder at a time, renewed during the work, expired when the holder dies."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from redis.asyncio import Redis

from infra.redis.line import retryable
from infra.redis.locks import RELEASE
from schemas.errors import LpstreamError, Retryable

KEEP = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
KEEPS = 4


class Lease:
    """A held lease. Call `check` before each step that two processes must not do at once."""

    def __init__(self, redis: Redis, name: str, owner: str, for_s: float) -> None:
        self._redis, self._name, self._owner, self._for_s = redis, name, owner, for_s

    async def check(self) -> None:
        """Renew the lease. Raise LpstreamError if it is lost, Retryable if Redis does not answer."""
        if not await self._run(KEEP, str(round(self._for_s * 1000))):
            raise LpstreamError(f"lease {self._name} was lost to another process, which will finish the work")

    async def keep(self) -> None:
        """Renew the lease regularly until cancelled."""
        while True:
            await asyncio.sleep(self._for_s / KEEPS)
            with contextlib.suppress(Retryable):  # `check` raises it when it matters
                await self._run(KEEP, str(round(self._for_s * 1000)))

    async def release(self) -> None:
        """Release the lease if it is still ours. If Redis is away, the lease expires."""
        with contextlib.suppress(Retryable):
            await self._run(RELEASE)

    async def _run(self, script: str, *arguments: str) -> Any:
        with retryable():
            return await self._redis.eval(script, 1, self._name, self._owner, *arguments)


@contextlib.asynccontextmanager
async def lease(redis: Redis, name: str, owner: str, for_s: float) -> AsyncIterator[Lease | None]:
    """Yield the lease and renew it inside the block; yield None if another owner holds it.

    Raise Retryable if Redis does not answer.
    """
    with retryable():
        taken = await redis.set(name, owner, nx=True, px=round(for_s * 1000))
    if not taken:
        yield None
        return
    held = Lease(redis, name, owner, for_s)
    keeper = asyncio.create_task(held.keep())
    try:
        yield held
    finally:
        keeper.cancel()
        await held.release()
