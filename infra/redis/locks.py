"""Locks in Redis, one for each key over all workers, so that one worker makes a copy and others wait."""

from typing import cast

from redis.asyncio import Redis

from infra.redis.line import RedisLine

RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class CopyLocks:
    """The locks. Each expires, so that a dead worker blocks others for a limited time."""

    def __init__(self, line: RedisLine) -> None:
        self._line = line

    async def take(self, key: str, owner: str, for_s: float) -> bool:
        """Return whether the owner holds the lock now.

        An owner that already holds it gets True again, as for a redelivered step.
        """
        name = f"lp:flight:{key}"

        async def work(redis: Redis) -> bytes | None:
            before = await redis.set(name, owner, nx=True, get=True, px=max(1, round(for_s * 1000)))
            return cast("bytes | None", before)

        before = await self._line.call(work)
        return before is None or before.decode() == owner

    async def release(self, key: str, owner: str) -> None:
        """Release the lock if the owner still holds it."""

        async def work(redis: Redis) -> None:
            await redis.eval(RELEASE, 1, f"lp:flight:{key}", owner)

        await self._line.call(work)
