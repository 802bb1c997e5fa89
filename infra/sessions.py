"""Sessions of the studio, in Redis: a random name in the browser's cookie, by whose hash the token's hash is found.

Neither the token nor the name lies anywhere. A session that was seen lately goes on while Redis is away.
"""

import hashlib
import hmac
import json
import secrets
from typing import cast

from cachetools import TTLCache
from redis.asyncio import Redis

from infra.redis import RedisLine
from schemas.errors import Retryable

SESSION_S, REQUESTED_S = 12 * 3_600, 30 * 86_400
MOST_REMEMBERED, REMEMBERED_S = 10_000, 900
MOST_REQUESTED = 30


class Sessions:
    """Methods raise Retryable when Redis does not answer."""

    def __init__(self, line: RedisLine) -> None:
        self._line = line
        self._seen: TTLCache[str, str] = TTLCache(MOST_REMEMBERED, REMEMBERED_S)

    async def begin(self, token_digest: str) -> str:
        """A new session of the token with that SHA-256; its name."""
        name = secrets.token_urlsafe(32)
        await self._line.call(lambda redis: redis.set(_key(name), token_digest, ex=SESSION_S))
        return name

    async def token_digest(self, name: str) -> str | None:
        """The SHA-256 of the session's token; None when it is over, or never was."""
        key = _key(name)
        try:
            found = cast("bytes | None", await self._line.call(lambda redis: redis.get(key)))
        except Retryable:
            if key not in self._seen:
                raise
            return self._seen[key]
        if found is None:
            self._seen.pop(key, None)
            return None
        self._seen[key] = found.decode()
        return self._seen[key]

    async def end(self, name: str) -> None:
        """End it."""
        self._seen.pop(_key(name), None)
        await self._line.call(lambda redis: redis.delete(_key(name)))

    async def note_request(self, tenant_id: str, request_id: str, name: str, at_ms: int) -> None:
        """Keep what was asked for in the studio, the latest first."""
        value = json.dumps({"request_id": request_id, "name": name, "at_ms": at_ms})

        async def work(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipe:
                pipe.lrem(_requested(tenant_id), 0, value)
                pipe.lpush(_requested(tenant_id), value)
                pipe.ltrim(_requested(tenant_id), 0, MOST_REQUESTED - 1)
                pipe.expire(_requested(tenant_id), REQUESTED_S)
                await pipe.execute()

        await self._line.call(work)

    async def requested(self, tenant_id: str) -> list[dict[str, str | int]]:
        """What was asked for in the studio: request_id, name, at_ms; the latest first."""

        async def work(redis: Redis) -> list[bytes]:
            return cast("list[bytes]", await redis.lrange(_requested(tenant_id), 0, -1))

        return [json.loads(one) for one in await self._line.call(work)]


def form_token(name: str) -> str:
    """What forms of a session carry, so that no other site can fill them in."""
    return hmac.new(name.encode(), b"form", hashlib.sha256).hexdigest()[:32]


def _key(name: str) -> str:
    return f"lp:session:{hashlib.sha256(name.encode()).hexdigest()}"


def _requested(tenant_id: str) -> str:
    return f"lp:requested:{tenant_id}"
