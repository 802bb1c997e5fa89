"""What was asked for in the studio, by tenant, in Redis: its latest requests."""

import json
from collections.abc import Collection
from typing import cast

from redis.asyncio import Redis

from infra.redis.line import RedisLine

KEEP_S, MOST = 30 * 86_400, 30


class Asked:
    """Methods raise Retryable when Redis does not answer."""

    def __init__(self, line: RedisLine) -> None:
        self._line = line

    async def note(self, tenant_id: str, request_id: str, name: str, at_ms: int) -> None:
        """Keep what was asked for, the latest first."""
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
        """What was asked for: request_id, name, at_ms; the latest first."""

        async def work(redis: Redis) -> list[bytes]:
            return cast("list[bytes]", await redis.lrange(_key(tenant_id), 0, -1))

        return [json.loads(one) for one in await self._line.call(work)]

    async def forget(self, tenant_id: str, request_ids: Collection[str] | None = None) -> None:
        """Take these requests from the list; None: remove the list."""

        async def work(redis: Redis) -> None:
            if request_ids is None:
                await redis.unlink(_key(tenant_id))
                return
            for one in cast("list[bytes]", await redis.lrange(_key(tenant_id), 0, -1)):
                if json.loads(one)["request_id"] in request_ids:
                    await redis.lrem(_key(tenant_id), 0, cast(str, one))

        await self._line.call(work)


def _key(tenant_id: str) -> str:
    return f"lp:requested:{tenant_id}"
