"""The latest requests from the studio, by tenant, in Redis."""

import json
import time
from collections.abc import Callable, Collection
from typing import cast

from redis.asyncio import Redis

from infra.redis.line import RedisLine

KEEP_S, MOST = 30 * 86_400, 30


class Asked:
    """The requests of each tenant in the last 30 days. Methods raise Retryable if Redis does not answer."""

    def __init__(self, line: RedisLine, clock: Callable[[], float] = time.time) -> None:
        self._line = line
        self._clock = clock

    async def note(self, tenant_id: str, request_id: str, name: str, at_ms: int) -> None:
        """Add a request at the head of the tenant's list."""
        value = json.dumps({"request_id": request_id, "name": name, "at_ms": at_ms})

        async def work(redis: Redis) -> None:
            await _current(redis, tenant_id, at_ms)
            async with redis.pipeline(transaction=False) as pipe:
                pipe.lrem(_key(tenant_id), 0, value)
                pipe.lpush(_key(tenant_id), value)
                pipe.ltrim(_key(tenant_id), 0, MOST - 1)
                pipe.expire(_key(tenant_id), KEEP_S)
                await pipe.execute()

        await self._line.call(work)

    async def of(self, tenant_id: str) -> list[dict[str, str | int]]:
        """Return the requests, newest first, each with request_id, name and at_ms."""
        now_ms = int(self._clock() * 1000)
        return await self._line.call(lambda redis: _current(redis, tenant_id, now_ms))

    async def forget(self, tenant_id: str, request_ids: Collection[str] | None = None) -> None:
        """Remove these requests from the list, or the whole list for None."""

        async def work(redis: Redis) -> None:
            if request_ids is None:
                await redis.unlink(_key(tenant_id))
                return
            for entry in cast("list[bytes]", await redis.lrange(_key(tenant_id), 0, -1)):
                if json.loads(entry)["request_id"] in request_ids:
                    await redis.lrem(_key(tenant_id), 0, cast(str, entry))

        await self._line.call(work)


async def _current(redis: Redis, tenant_id: str, now_ms: int) -> list[dict[str, str | int]]:
    """Return the entries of the last 30 days, and remove the others.

    The expiry of the list does not remove them, because each new entry prolongs it.
    """
    current = []
    for value in cast("list[bytes]", await redis.lrange(_key(tenant_id), 0, -1)):
        entry = json.loads(value)
        if entry["at_ms"] >= now_ms - KEEP_S * 1000:
            current.append(entry)
        else:
            await redis.lrem(_key(tenant_id), 0, cast(str, value))
    return current


def _key(tenant_id: str) -> str:
    return f"lp:requested:{tenant_id}"
