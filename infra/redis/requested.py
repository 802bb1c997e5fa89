"""The latest requests from the studio, by tenant, in Redis."""

import json
from collections.abc import Collection
from typing import cast

from redis.asyncio import Redis

from infra.redis.line import RedisLine

KEEP_S, MOST = 30 * 86_400, 30


class Asked:
    """The latest requests of each tenant. Methods raise Retryable if Redis does not answer."""

    def __init__(self, line: RedisLine) -> None:
        self._line = line

    async def note(self, tenant_id: str, request_id: str, name: str, at_ms: int) -> None:
        """Add a request at the head of the tenant's list."""
        value = json.dumps({"request_id": request_id, "name": name, "at_ms": at_ms})

        async def work(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipe:
                pipe.lrem(_key(tenant_id), 0, value)
                pipe.lpush(_key(tenant_id), value)
                pipe.ltrim(_key(tenant_id), 0, MOST - 1)
                pipe.expire(_key(tenant_id), KEEP_S)
                await pipe.execute()

        await self._line.call(work)

    async def of(self, tenant_id: str) -> list[dict[str, str | int]]:
        """Return the requests, newest first, each with request_id, name and at_ms."""

        async def work(redis: Redis) -> list[bytes]:
            return cast("list[bytes]", await redis.lrange(_key(tenant_id), 0, -1))

        return [json.loads(entry) for entry in await self._line.call(work)]

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


def _key(tenant_id: str) -> str:
    return f"lp:requested:{tenant_id}"
