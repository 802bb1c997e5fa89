"""The Redis client: bytes in and out, and a short patience, so that a store that is away costs nobody a deadline."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from schemas.errors import Retryable

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
PATIENCE_S, AGAIN_S = 1.0, 0.5
# beyond so many calls at once the next waits; the client's own pool raises an error instead
CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """A login, and a file of certificates (PEM) for `rediss://`. None means the system's certificates."""

    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str | None = None


ANONYMOUS = RedisAccess()


def open_redis(url: str, access: RedisAccess = ANONYMOUS) -> Redis:
    """Return a client for the URL. It connects with its first call.

    A call that finds its connection broken is made once more on a new one: after a restart of Redis each connection of
    the pool would fail one call. So what is done by a call must be the same when it is done twice.
    """
    tls = {"ssl_ca_certs": access.ca_file} if access.ca_file and url.startswith("rediss:") else {}
    pool = BlockingConnectionPool.from_url(
        url,
        username=access.username or None,
        password=access.password or None,
        max_connections=CONNECTIONS,
        timeout=3,
        socket_connect_timeout=2,
        socket_timeout=3,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 1),
        **tls,
    )
    return Redis.from_pool(pool)


class RedisLine:
    """Calls to Redis. After one that failed, others fail at once for a moment; then one alone tries again.

    Work that can do without Redis goes on without it: a store that hangs must not take a second of each of its calls.
    `on_return` is called when Redis answers again, with how long it was away, s.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
        on_return: Callable[[float], None] = lambda _: None,
    ) -> None:
        self.redis = redis
        self.on_return = on_return
        self._patience_s = patience_s
        self._clock = clock
        self._away_since: float | None = None
        self._try_at = 0.0

    @property
    def away(self) -> bool:
        """Return whether Redis counts as away, because the last call failed."""
        return self._away_since is not None

    async def call(self, work: Callable[[Redis], Awaitable[Answer]]) -> Answer:
        """Return the answer of Redis. Raise Retryable if it does not answer in time, or has just failed to."""
        now = self._clock()
        if self._away_since is not None:
            if now < self._try_at:
                raise Retryable("Redis: is away")
            self._try_at = now + self._patience_s + AGAIN_S  # this call is the one that tries
        try:
            async with asyncio.timeout(self._patience_s):
                answer = await work(self.redis)
        except (RedisError, OSError, TimeoutError) as error:
            self._fail(error)
            raise Retryable(f"Redis: {type(error).__name__}") from error
        self._succeed()
        return answer

    def _fail(self, error: Exception) -> None:
        now = self._clock()
        if self._away_since is None:
            self._away_since = now
            log.warning("Redis is away: %s", type(error).__name__)
        self._try_at = now + AGAIN_S

    def _succeed(self) -> None:
        if self._away_since is not None:
            away_s, self._away_since = self._clock() - self._away_since, None
            log.warning("Redis is back after %.1f s", away_s)
            self.on_return(away_s)
