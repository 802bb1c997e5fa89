"""The Redis client: bytes in and out, with short timeouts, so that an outage breaks no deadline."""

import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from infra.redis.access import ANONYMOUS, RedisAccess
from infra.waiting import within
from schemas.errors import Retryable

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
PATIENCE_S, AGAIN_S, SOCKET_S = 1.0, 0.5, 3.0
# more concurrent calls than this wait for a connection; the client's default pool raises an error instead
CONNECTIONS = 64


def open_redis(url: str, access: RedisAccess = ANONYMOUS, *, socket_s: float | None = SOCKET_S) -> Redis:
    """Return a client for the URL. It connects with its first call.

    A read or write of its sockets takes at most `socket_s` seconds. None spares each call a task and two timers. It is
    for clients whose calls all go through a `RedisLine`, which has its own timer.
    A call on a broken connection is repeated once on a new connection. Otherwise, after a restart of Redis, each
    connection of the pool would fail one call. So every call must be idempotent.
    """
    tls = {"ssl_ca_certs": access.ca_file} if access.ca_file and url.startswith("rediss:") else {}
    pool = BlockingConnectionPool.from_url(
        url,
        username=access.username or None,
        password=access.password or None,
        max_connections=CONNECTIONS,
        timeout=3,
        socket_connect_timeout=2,
        socket_timeout=socket_s,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 1),
        **tls,
    )
    return Redis.from_pool(pool)


@contextlib.contextmanager
def retryable() -> Iterator[None]:
    """Raise Retryable for an error of the client, for calls that do not go through a `RedisLine`."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise Retryable(f"Redis: {type(error).__name__}") from error


class RedisLine:
    """Calls to Redis with a circuit breaker: after a failure, calls fail at once; then one call tries.

    Work that can do without Redis continues without it: a Redis that hangs must not cost each call a second.
    `on_return` runs when Redis answers again, with the length of the outage in seconds.
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
        """Return whether Redis counts as away because the last call failed."""
        return self._away_since is not None

    async def call(self, work: Callable[[Redis], Awaitable[Answer]]) -> Answer:
        """Return the answer of Redis. Raise Retryable if it does not answer in time or failed just before."""
        now = self._clock()
        if self._away_since is not None:
            if now < self._try_at:
                raise Retryable("Redis is away")
            self._try_at = now + self._patience_s + AGAIN_S  # this call tries; others fail until then
        try:
            answer = await within(self._patience_s, work(self.redis))
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
