"""Sessions of the studio, in Redis: a random name in the browser's cookie, and who it stands for.

Redis holds no name, no token and no token's hash. Keys and values are made with a secret that is not in Redis. Whoever
can write there can end sessions, but can neither make one, nor give one to somebody else, nor prolong it. A session
that was seen lately goes on while Redis is away.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from typing import cast

from cachetools import TTLCache

from infra.redis.line import RedisLine
from schemas.errors import Retryable

SESSION_S = 12 * 3_600
MOST_REMEMBERED, REMEMBERED_S = 10_000, 900


class Sessions:
    """Methods raise Retryable when Redis does not answer."""

    def __init__(self, line: RedisLine, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._line = line
        self._secret = secret
        self._clock = clock
        self._seen: TTLCache[str, str] = TTLCache(MOST_REMEMBERED, REMEMBERED_S)

    async def begin(self, token_digest: str) -> str:
        """A new session of the token with that SHA-256; its name."""
        name = secrets.token_urlsafe(32)
        key, until = self._key(name), int(self._clock()) + SESSION_S
        value = f"{until}:{self._signed(key, until, token_digest)}"
        await self._line.call(lambda redis: redis.set(key, value, ex=SESSION_S))
        return name

    async def token_digest(self, name: str, known: Iterable[str]) -> str | None:
        """Which of the tokens, by SHA-256, the session is for; None when it is over, never was, or is none of ours."""
        key = self._key(name)
        try:
            found = cast("bytes | None", await self._line.call(lambda redis: redis.get(key)))
        except Retryable:
            if key not in self._seen:
                raise
            return self._holder(key, self._seen[key], known)
        value = "" if found is None else found.decode(errors="replace")
        holder = self._holder(key, value, known)
        if holder is None:
            self._seen.pop(key, None)
        else:
            self._seen[key] = value
        return holder

    async def end(self, name: str) -> None:
        """End it."""
        self._seen.pop(self._key(name), None)
        await self._line.call(lambda redis: redis.delete(self._key(name)))

    def _key(self, name: str) -> str:
        return f"lp:session:{self._mac('name', name)}"

    def _holder(self, key: str, value: str, known: Iterable[str]) -> str | None:
        told, _, signature = value.partition(":")
        if not (told.isascii() and told.isdigit() and len(told) <= 12 and self._clock() < int(told) and signature):
            return None
        given = signature.encode(errors="surrogateescape")
        found = [one for one in known if hmac.compare_digest(self._signed(key, int(told), one).encode(), given)]
        return found[0] if found else None

    def _signed(self, key: str, until: int, token_digest: str) -> str:
        return self._mac("session", f"{key}:{until}:{token_digest}")

    def _mac(self, what: str, text: str) -> str:
        return hmac.new(self._secret, f"{what}:{text}".encode(errors="surrogateescape"), hashlib.sha256).hexdigest()


def secret_of(given: str, token_digests: Iterable[str]) -> bytes:
    """The secret of the settings, or one that is made from the hashes of all tokens, which Redis does not hold."""
    return (given or "lpstream studio:" + ",".join(sorted(token_digests))).encode()


def form_token(name: str) -> str:
    """What forms of a session carry, so that no other site can fill them in."""
    return hmac.new(name.encode(), b"form", hashlib.sha256).hexdigest()[:32]
