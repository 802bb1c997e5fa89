"""Who makes a copy while others wait for it: one lock for each key, over all workers."""

from typing import cast

from redis.asyncio import Redis

from infra.redis.line import RedisLine

RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class CopyLocks:
    """A lock ends by itself, so that a worker that dies keeps nobody waiting for longer than its time."""

    def __init__(self, line: RedisLine) -> None:
        self._line = line

    async def take(self, key: str, owner: str, for_s: float) -> bool:
        """Whether the lock is the owner's now; it is also when it was before, as for a step that is delivered again."""
        name = f"lp:flight:{key}"

        async def work(redis: Redis) -> bytes | None:
            before = await redis.set(name, owner, nx=True, get=True, px=max(1, round(for_s * 1000)))
            return cast("bytes | None", before)

        before = await self._line.call(work)
        return before is None or before.decode() == owner

    async def release(self, key: str, owner: str) -> None:
        """Give it back, if it is still the owner's."""

        async def work(redis: Redis) -> None:
            await redis.eval(RELEASE, 1, f"lp:flight:{key}", owner)

        await self._line.call(work)
