"""Sessions of the studio, in Redis: a random name in the browser's cookie, by whose hash the token's hash is found.

Neither the token nor the name lies anywhere. A session that was seen lately goes on while Redis is away.
"""

import hashlib
import hmac
import secrets
from typing import cast

from cachetools import TTLCache

from infra.redis import RedisLine
from schemas.errors import Retryable

SESSION_S = 12 * 3_600
MOST_REMEMBERED, REMEMBERED_S = 10_000, 900


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


def form_token(name: str) -> str:
    """What forms of a session carry, so that no other site can fill them in."""
    return hmac.new(name.encode(), b"form", hashlib.sha256).hexdigest()[:32]


def _key(name: str) -> str:
    return f"lp:session:{hashlib.sha256(name.encode()).hexdigest()}"
