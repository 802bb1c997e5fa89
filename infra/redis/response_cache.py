"""Answers that are kept in Redis for a while, each made by one process at a time; without Redis by whoever asks."""

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Self, cast
from uuid import uuid4

import msgspec
from redis.asyncio import Redis

from infra.redis.line import RedisLine
from infra.redis.locks import CopyLocks
from infra.single_flight import SingleFlight
from schemas.errors import Retryable

log = logging.getLogger(__name__)

HOLD_S, WAIT_S, LOOK_S = 30.0, 30.0, 0.05
MOST_BYTES, SCANNED = 8 * 2**20, 1_000


class Kept(msgspec.Struct, frozen=True):
    """An answer, its media type, its strong entity tag, when it was made (ms UTC), and for how long it may be kept."""

    body: bytes
    content_type: str
    etag: str
    made_ms: int
    for_s: int

    @classmethod
    def of(cls, body: bytes, content_type: str, for_s: int) -> Self:
        """These bytes, made now."""
        return cls(body, content_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"', int(time.time() * 1000), for_s)


Make = Callable[[], Awaitable[Kept]]
_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Kept)


class ResponseCache:
    """Keys begin with `prefix`. What is larger than MOST_BYTES is not kept."""

    def __init__(self, line: RedisLine, prefix: str) -> None:
        self._line = line
        self._prefix = prefix
        self._flights = CopyLocks(line)
        self._making: SingleFlight[Kept] = SingleFlight()

    async def get(self, key: str, make: Make, *, since_ms: int = 0) -> Kept:
        """The answer that is kept and no older than `since_ms`, else one that is made: once, however many ask."""
        if (found := await self._read(key, since_ms)) is not None:
            return found
        return await asyncio.shield(self._making.task(key, lambda: self._fly(key, make, since_ms)))

    async def forget(self, beginning: str) -> None:
        """Remove answers whose keys begin with this."""

        async def work(redis: Redis) -> None:
            names = [one async for one in redis.scan_iter(match=f"{self._prefix}{beginning}*", count=SCANNED)]
            for at in range(0, len(names), SCANNED):
                await redis.unlink(*names[at : at + SCANNED])

        await self._line.call(work)

    async def _fly(self, key: str, make: Make, since_ms: int) -> Kept:
        owner = uuid4().hex
        name = f"{self._prefix}{key}"
        until = time.monotonic() + WAIT_S
        # whoever waits longest makes it as well: better twice than never
        while not await self._take(name, owner) and time.monotonic() < until:
            await asyncio.sleep(LOOK_S)
            if (found := await self._read(key, since_ms)) is not None:
                return found
        try:
            if (found := await self._read(key, since_ms)) is not None:
                return found
            kept = await make()
            await self._write(key, kept)
            return kept
        finally:
            with contextlib.suppress(Retryable):
                await self._flights.release(name, owner)

    async def _take(self, name: str, owner: str) -> bool:
        try:
            return await self._flights.take(name, owner, HOLD_S)
        except Retryable:
            return True

    async def _read(self, key: str, since_ms: int) -> Kept | None:
        try:
            value = cast("bytes | None", await self._line.call(lambda redis: redis.get(f"{self._prefix}{key}")))
            kept = None if value is None else _decoder.decode(value)
        except Retryable:
            return None
        except msgspec.DecodeError as error:
            log.warning("%s%s cannot be read: %s", self._prefix, key, error)
            return None
        return kept if kept is not None and kept.made_ms >= since_ms else None

    async def _write(self, key: str, kept: Kept) -> None:
        if len(kept.body) > MOST_BYTES:
            return
        value = _encoder.encode(kept)

        async def work(redis: Redis) -> None:
            await redis.set(f"{self._prefix}{key}", value, ex=kept.for_s)

        with contextlib.suppress(Retryable):
            await self._line.call(work)
