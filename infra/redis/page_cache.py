"""Copy in three layers: memory, Redis, S3. A hit in a lower one fills those above it.

What is cached is copy with slots, never a page: one customer's name cannot reach another's. A key is a hash of every
word that a customer typed for the copy, so that it is found by whoever typed the same, and by nobody else; `near` is
asked by names that keep to this. S3 is the truth of the three; memory and Redis may be emptied at any time.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, cast

from cachetools import TTLCache
from redis.asyncio import Redis

from infra.redis.line import RedisLine
from infra.s3.objects import Objects
from schemas.errors import DecodeError, LpstreamError, Retryable
from schemas.generation import decode_model, encode_model
from schemas.page_cache import CachedCopy

log = logging.getLogger(__name__)

Layer = Literal["l1", "l2", "l3"]
L2_S, L3_S = 0.1, 0.3
REFUSED_S = 600
CHANNEL = "lp:copy:forget"
ALL = "*"
LISTEN_AGAIN_S = 1.0
MOST_NEAR = 3


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Copy is served as it is for `fresh_s`, then served and refreshed for `stale_s` more. `l1_s`: in memory."""

    fresh_s: int
    stale_s: int
    l1_s: int
    l1_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """Copy, where it was, and whether it is time to make it anew."""

    cached: CachedCopy
    layer: Layer
    stale: bool


class PageCache:
    """`on_slow` is told the layer that did not answer in its time."""

    def __init__(
        self,
        line: RedisLine,
        objects: Objects,
        lifetimes: Lifetimes,
        *,
        clock: Callable[[], float] = time.time,
        on_slow: Callable[[Layer], None] = lambda _: None,
    ) -> None:
        self._line = line
        self._objects = objects
        self._lifetimes = lifetimes
        self._clock = clock
        self._on_slow = on_slow
        self._memory: TTLCache[str, tuple[CachedCopy, int]] = TTLCache(
            lifetimes.l1_bytes, lifetimes.l1_s, getsizeof=lambda kept: kept[1]
        )
        self._nearest: TTLCache[str, str] = TTLCache(10_000, lifetimes.l1_s)

    # -- reading ---------------------------------------------------------------------------------------

    async def get(self, key: str, pattern: str, *, lasting: bool = True) -> Found | None:
        """From the highest layer that has it; a layer that does not answer in time is passed over.

        Without `lasting` S3 is not asked: for whoever has just asked it.
        """
        if (kept := self._memory.get(key)) is not None and (found := self._found(kept[0], "l1")) is not None:
            return found
        if (body := await self._second(key, pattern)) is not None and (found := self._read(body, "l2")) is not None:
            self._keep(found.cached, len(body))
            return found
        if not lasting:
            return None
        if (body := await self._third(key, pattern)) is not None and (found := self._read(body, "l3")) is not None:
            self._keep(found.cached, len(body))
            await self._put_second(found.cached, body)
            return found
        return None

    async def _second(self, key: str, pattern: str) -> bytes | None:
        try:
            async with asyncio.timeout(L2_S):
                return cast("bytes | None", await self._line.call(lambda redis: redis.get(_key(key, pattern))))
        except Retryable:
            return None
        except TimeoutError:
            self._on_slow("l2")
            return None

    async def _third(self, key: str, pattern: str) -> bytes | None:
        try:
            async with asyncio.timeout(L3_S):
                found = await self._objects.get(_object(key, pattern))
        except LpstreamError:
            return None
        except TimeoutError:
            self._on_slow("l3")
            return None
        return None if found is None else found.body

    def _read(self, body: bytes, layer: Layer) -> Found | None:
        try:
            return self._found(decode_model(CachedCopy, body), layer)
        except DecodeError as error:
            log.warning("%s holds copy that cannot be read: %s", layer, error)
            return None

    def _found(self, cached: CachedCopy, layer: Layer) -> Found | None:
        age, times = self._clock() - cached.made_ms / 1000, self._lifetimes
        # a tenth earlier or later by key, so that what was warmed together does not grow old together
        fresh_s = times.fresh_s * (0.9 + 0.2 * _share(cached.key))
        return Found(cached, layer, age > fresh_s) if age <= times.fresh_s + times.stale_s else None

    async def near(self, pattern: str, names: Sequence[str]) -> AsyncIterator[CachedCopy]:
        """Copy that was put under these names, in their order, at most MOST_NEAR."""
        keys = dict.fromkeys(key for key in await self._pointed_to(names) if key)
        for key in list(keys)[:MOST_NEAR]:
            if (found := await self.get(key, pattern)) is not None:
                yield found.cached

    async def _pointed_to(self, names: Sequence[str]) -> list[str | None]:
        """The key that each name points to, by Redis, or by memory while Redis is away."""
        try:
            told = await self._line.call(lambda redis: redis.mget([_near(name) for name in names]))
        except Retryable:
            return [self._nearest.get(name) for name in names]
        return [None if one is None else cast(bytes, one).decode() for one in told]

    # -- writing ---------------------------------------------------------------------------------------

    async def put(self, cached: CachedCopy, near_names: Sequence[str] = ()) -> None:
        """Into memory and, if it answers, Redis. `near` finds it by these names; `store` is what lasts."""
        body = encode_model(cached)
        self._keep(cached, len(body))
        self._nearest.update(dict.fromkeys(near_names, cached.key))
        await self._put_second(cached, body, near_names)

    async def store(self, cached: CachedCopy) -> None:
        """Into S3; Retryable or Refused when it does not take it."""
        body = encode_model(cached)
        await self._objects.put(_object(cached.key, cached.pattern), body, "application/json", "private, no-store")

    def _keep(self, cached: CachedCopy, size: int) -> None:
        with contextlib.suppress(ValueError):  # larger than the memory that there is
            self._memory[cached.key] = (cached, size)

    async def _put_second(self, cached: CachedCopy, body: bytes, near_names: Sequence[str] = ()) -> None:
        left = self._lifetimes.fresh_s + self._lifetimes.stale_s - (self._clock() - cached.made_ms / 1000)
        kept_s = max(1, round(left))

        async def work(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipe:
                pipe.set(_key(cached.key, cached.pattern), body, ex=kept_s)
                for name in near_names:
                    pipe.set(_near(name), cached.key, ex=kept_s)
                await pipe.execute()

        with contextlib.suppress(Retryable):
            await self._line.call(work)

    # -- input that providers refuse -------------------------------------------------------------------

    async def refuse(self, key: str) -> None:
        """Note that providers refuse this input: for ten minutes nobody is asked and billed for another refusal."""
        with contextlib.suppress(Retryable):
            await self._line.call(lambda redis: redis.set(_refused(key), 1, ex=REFUSED_S))

    async def refused(self, key: str) -> bool:
        """Whether `refuse` was called for it lately."""
        try:
            return bool(await self._line.call(lambda redis: redis.exists(_refused(key))))
        except Retryable:
            return False

    # -- forgetting ------------------------------------------------------------------------------------

    async def forget(self, pattern: str | None = None) -> int:
        """Remove the copy of a pattern, or all, from every layer of every worker; how many there were."""
        names = await self._objects.keys(f"copy/{pattern}/" if pattern else "copy/")
        await self._objects.delete(names)
        gone = {name.rpartition("/")[2].removesuffix(".json") for name in names}
        gone |= await self._line.call(lambda redis: _unlink(redis, pattern or "*"))
        for key in gone if pattern else [ALL]:
            await self._line.call(lambda redis, key=key: redis.publish(CHANNEL, key))  # type: ignore[misc]
            self._drop(key)
        return len(gone)

    async def forget_one(self, key: str, pattern: str) -> None:
        """Remove one copy from every layer of every worker."""
        await self._objects.delete([_object(key, pattern)])
        await self._line.call(lambda redis: redis.unlink(_key(key, pattern), _refused(key)))
        await self._line.call(lambda redis: redis.publish(CHANNEL, key))
        self._drop(key)

    async def forget_tenant(self, tenant_id: str) -> None:
        """Forget which copy was made for the tenant. The copy itself names nobody."""

        async def work(redis: Redis) -> None:
            for name in [name async for name in redis.scan_iter(match=_near(f"*:tenant:{tenant_id}"), count=1_000)]:
                await redis.unlink(name)

        await self._line.call(work)

    def _drop(self, key: str) -> None:
        if key == ALL:
            self._memory.clear()
        else:
            self._memory.pop(key, None)

    async def listen(self) -> None:
        """Drop from memory what others forget, until cancelled."""
        while True:
            try:
                async with self._line.redis.pubsub() as told:
                    await told.subscribe(CHANNEL)
                    self._drop(ALL)  # what was forgotten while nobody listened is not told again
                    async for message in told.listen():
                        if message["type"] == "message":
                            self._drop(message["data"].decode())
            except Exception as error:  # noqa: BLE001 - the worker does without; the next round tells whether it is back
                log.warning("%s: %s, listening again", CHANNEL, type(error).__name__)
            await asyncio.sleep(LISTEN_AGAIN_S)


async def _unlink(redis: Redis, pattern: str) -> set[str]:
    """Remove copy of a pattern (`*`: of all) and what points to it; the keys of what was there."""
    names = [name async for name in redis.scan_iter(match=f"lp:copy:{pattern}:*", count=1_000)]
    pointers = [name async for name in redis.scan_iter(match=_near(f"{pattern}:*"), count=1_000)]
    for name in names + pointers:
        await redis.unlink(name)
    return {name.decode().rpartition(":")[2] for name in names}


def _key(key: str, pattern: str) -> str:
    return f"lp:copy:{pattern}:{key}"


def _near(name: str) -> str:
    return f"lp:near:{name}"


def _refused(key: str) -> str:
    return f"lp:refused:{key}"


def _object(key: str, pattern: str) -> str:
    return f"copy/{pattern}/{key}.json"


def _share(key: str) -> float:
    """A number in [0, 1) that follows from the key."""
    return int(key[:8], 16) / 2**32
