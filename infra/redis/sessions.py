"""The sessions of the studio in Redis.

The browser's cookie holds a random name, which the session maps to a token. Redis holds no name, no token and no hash
of a token. Keys and values are HMACs with a secret that is not in Redis. An attacker who can write to Redis can end
sessions, but cannot make, transfer or prolong a session. A session seen in the last 15 minutes continues while Redis is
away.

The CSRF token of a form is an HMAC of the holder's access token and the day. So a form outlives its session: it can be
sent after a new login with the same token, today and tomorrow.
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

SESSION_S, DAY_S = 12 * 3_600, 86_400
MOST_REMEMBERED, REMEMBERED_S = 10_000, 900


class Sessions:
    """The sessions. Methods raise Retryable if Redis does not answer."""

    def __init__(self, line: RedisLine, secret: bytes, clock: Callable[[], float] = time.time) -> None:
        self._line = line
        self._secret = secret
        self._clock = clock
        self._seen: TTLCache[str, str] = TTLCache(MOST_REMEMBERED, REMEMBERED_S)

    async def begin(self, token_digest: str) -> str:
        """Create a session for the token with that SHA-256. Return the session's name."""
        name = secrets.token_urlsafe(32)
        key, until = self._key(name), int(self._clock()) + SESSION_S
        value = f"{until}:{self._signed(key, until, token_digest)}"
        await self._line.call(lambda redis: redis.set(key, value, ex=SESSION_S))
        return name

    async def token_digest(self, name: str, known: Iterable[str]) -> str | None:
        """Return the SHA-256 of the session's token, one of `known`; None for an invalid or expired session."""
        key = self._key(name)
        try:
            stored = cast("bytes | None", await self._line.call(lambda redis: redis.get(key)))
        except Retryable:
            if key not in self._seen:
                raise
            return self._holder(key, self._seen[key], known)
        value = "" if stored is None else stored.decode(errors="replace")
        holder = self._holder(key, value, known)
        if holder is None:
            self._seen.pop(key, None)
        else:
            self._seen[key] = value
        return holder

    def form_tokens(self, token_digest: str) -> tuple[str, str]:
        """Return the CSRF tokens for the forms of a token's holder: of today and of yesterday (UTC)."""
        day = int(self._clock()) // DAY_S
        today, yesterday = (self._mac("form", f"{each}:{token_digest}")[:32] for each in (day, day - 1))
        return today, yesterday

    async def end(self, name: str) -> None:
        """End the session."""
        self._seen.pop(self._key(name), None)
        await self._line.call(lambda redis: redis.delete(self._key(name)))

    def _key(self, name: str) -> str:
        return f"lp:session:{self._mac('name', name)}"

    def _holder(self, key: str, value: str, known: Iterable[str]) -> str | None:
        until, _, signature = value.partition(":")
        if not (until.isascii() and until.isdigit() and len(until) <= 12 and self._clock() < int(until) and signature):
            return None
        given = signature.encode(errors="surrogateescape")
        matches = [each for each in known if hmac.compare_digest(self._signed(key, int(until), each).encode(), given)]
        return matches[0] if matches else None

    def _signed(self, key: str, until: int, token_digest: str) -> str:
        return self._mac("session", f"{key}:{until}:{token_digest}")

    def _mac(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode(errors="surrogateescape"), hashlib.sha256).hexdigest()


def secret_of(given: str, token_digests: Iterable[str]) -> bytes:
    """Return the secret of the settings, or else one derived from the hashes of all tokens.

    Redis holds none of these hashes.
    """
    return (given or "lpstream studio:" + ",".join(sorted(token_digests))).encode()


def form_token_before(name: str) -> str:
    """Return the form token of the release before, for a rolling update. Remove it in the next release."""
    return hmac.new(name.encode(), b"form", hashlib.sha256).hexdigest()[:32]
