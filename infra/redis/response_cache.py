"""The cache of HTTP answers in Redis.

One process at a time makes an answer; without Redis each process makes its own.
"""

import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Self, cast

import msgspec
from redis.asyncio import Redis

from infra.redis.line import RedisLine
from infra.redis.locks import FlightLocks
from infra.single_flight import SingleFlight
from schemas.errors import Retryable

log = logging.getLogger(__name__)

HOLD_S, POLL_S = 30.0, 0.05
MOST_BYTES, SCANNED = 8 * 2**20, 1_000
# of all bodies together: whoever may ask for maps chooses their ranges, and must not fill Redis
MOST_HELD = 128 * 2**20
# KEYS: the answer, answers by the end of their time, their sizes. The field "" of the sizes has their sum.
PUT = """
local function drop(name)
  local size = redis.call('HGET', KEYS[3], name)
  redis.call('UNLINK', name)
  redis.call('ZREM', KEYS[2], name)
  redis.call('HDEL', KEYS[3], name)
  redis.call('HINCRBY', KEYS[3], '', -(size or 0))
end
local now, size = tonumber(redis.call('TIME')[1]), #ARGV[1]
drop(KEYS[1])
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now)) do drop(name) end
while tonumber(redis.call('HGET', KEYS[3], '') or 0) + size > tonumber(ARGV[3]) do
  local first = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if not first then break end
  drop(first)
end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
redis.call('ZADD', KEYS[2], now + ARGV[2], KEYS[1])
redis.call('HSET', KEYS[3], KEYS[1], size)
redis.call('HINCRBY', KEYS[3], '', size)
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2]
redis.call('EXPIREAT', KEYS[2], last)
redis.call('EXPIREAT', KEYS[3], last)
"""


class CachedResponse(msgspec.Struct, frozen=True):
    """An answer: body, media type, strong entity tag, time it was made (ms UTC), and TTL (s)."""

    body: bytes
    content_type: str
    etag: str
    made_ms: int
    for_s: int

    @classmethod
    def of(cls, body: bytes, content_type: str, for_s: int) -> Self:
        """Return an answer with this body, made now."""
        return cls(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"', int(time.time() * 1000), for_s)


Make = Callable[[], Awaitable[CachedResponse]]
_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(CachedResponse)


class ResponseCache:
    """The cache. All keys begin with `prefix`.

    Bodies larger than MOST_BYTES are not stored. All answers together hold `most_held` bytes; those that end first go.
    """

    def __init__(self, line: RedisLine, prefix: str, most_held: int = MOST_HELD) -> None:
        self._line = line
        self._prefix = prefix
        self._most_held = most_held
        self._locks = FlightLocks(line)
        self._making: SingleFlight[CachedResponse] = SingleFlight()

    async def get(self, key: str, make: Make, *, since_ms: int = 0) -> CachedResponse:
        """Return the cached answer made at `since_ms` or later, else make it once for all callers."""
        if (cached := await self._read(key, since_ms)) is not None:
            return cached

        async def look() -> CachedResponse | None:
            return await self._read(key, since_ms)

        async def make_and_write() -> CachedResponse:
            answer = await make()
            await self._write(key, answer)
            return answer

        name = f"{self._prefix}{key}"
        return await self._making.run(
            key, lambda: self._locks.once(name, look, make_and_write, hold_s=HOLD_S, poll_s=POLL_S)
        )

    async def forget(self, beginning: str) -> None:
        """Remove the answers whose keys begin with the text."""

        async def work(redis: Redis) -> None:
            names = [name async for name in redis.scan_iter(match=f"{self._prefix}{beginning}*", count=SCANNED)]
            for at in range(0, len(names), SCANNED):
                await redis.unlink(*names[at : at + SCANNED])

        await self._line.call(work)

    async def _read(self, key: str, since_ms: int) -> CachedResponse | None:
        try:
            value = cast("bytes | None", await self._line.call(lambda redis: redis.get(f"{self._prefix}{key}")))
            cached = None if value is None else _decoder.decode(value)
        except Retryable:
            return None
        except msgspec.DecodeError as error:
            log.warning("cached answer %s%s cannot be decoded and is ignored: %s", self._prefix, key, error)
            return None
        return cached if cached is not None and cached.made_ms >= since_ms else None

    async def _write(self, key: str, answer: CachedResponse) -> None:
        if len(answer.body) > MOST_BYTES:
            return
        value, prefix = _encoder.encode(answer), self._prefix

        async def work(redis: Redis) -> None:
            names = (f"{prefix}{key}", f"{prefix}:ends", f"{prefix}:sizes")
            await redis.eval(PUT, len(names), *names, cast(str, value), answer.for_s, self._most_held)

        with contextlib.suppress(Retryable):
            await self._line.call(work)
