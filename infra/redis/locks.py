"""Locks in Redis by key: one process does the work, and the other processes wait."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast
from uuid import uuid4

from redis.asyncio import Redis

from infra.redis.line import RedisLine
from schemas.errors import Retryable

RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"

Answer = TypeVar("Answer")


class FlightLocks:
    """The locks. Each expires, so that a dead process blocks others for a limited time.

    Inside a process, `SingleFlight` shares the work and its answer. A lock shares nothing: processes that wait for it
    look for the answer in a store. It has an owner, because a step of a dead worker is redelivered with the same id. It
    must enter again at once, and not wait until its own lock expires.
    """

    def __init__(self, line: RedisLine) -> None:
        self._line = line

    async def once(
        self,
        key: str,
        look: Callable[[], Awaitable[Answer | None]],
        make: Callable[[], Awaitable[Answer]],
        *,
        hold_s: float,
        poll_s: float,
    ) -> Answer:
        """Return the answer that `look` finds in a store, or make it while other processes look for it.

        `make` stores the answer. A process looks every `poll_s` seconds. After `hold_s` seconds, or without Redis, it
        makes the answer too: twice is better than never.
        """
        owner, until = uuid4().hex, time.monotonic() + hold_s
        while not await self._free(key, owner, hold_s) and time.monotonic() < until:
            await asyncio.sleep(poll_s)
            if (answer := await look()) is not None:
                return answer
        try:
            if (answer := await look()) is not None:
                return answer
            return await make()
        finally:
            with contextlib.suppress(Retryable):
                await self.release(key, owner)

    async def _free(self, key: str, owner: str, hold_s: float) -> bool:
        try:
            return await self.take(key, owner, hold_s)
        except Retryable:
            return True

    async def take(self, key: str, owner: str, for_s: float) -> bool:
        """Return whether the owner holds the lock now, also if it held the lock before."""
        name = f"lp:flight:{key}"

        async def work(redis: Redis) -> bytes | None:
            before = await redis.set(name, owner, nx=True, get=True, px=max(1, round(for_s * 1000)))
            return cast("bytes | None", before)

        before = await self._line.call(work)
        return before is None or before.decode() == owner

    async def release(self, key: str, owner: str) -> None:
        """Release the lock if the owner still holds it."""

        async def work(redis: Redis) -> None:
            await redis.eval(RELEASE, 1, f"lp:flight:{key}", owner)

        await self._line.call(work)
