"""The cache of copy in three layers: memory, Redis, S3.

A hit in a lower layer fills the layers above it. The cache holds copy with slots, never a page, so that no customer's
name reaches another customer. A key is a hash of every word that a customer typed for the copy, so only the same words
find it. Names for `near` follow the same rule. S3 is the source of truth; memory and Redis may be emptied at any time.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

from cachetools import TTLCache
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from infra.redis.line import RedisLine
from infra.s3.objects import Objects
from infra.waiting import within
from schemas.errors import DecodeError, LpstreamError, Retryable
from schemas.generation import decode_model, encode_model
from schemas.page_cache import CachedCopy

log = logging.getLogger(__name__)

Layer = Literal["l1", "l2", "l3"]
L2_S, L3_S = 0.1, 0.3
REFUSED_S = 600
CHANNEL = "lp:copy:forget"
ALL = "*"
LISTEN_AGAIN_S, ANSWER_S, SILENT_S = 1.0, 3.0, 30.0
MOST_NEAR = 3


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """The ages of copy: fresh for `fresh_s`, then stale (served and refreshed) for `stale_s` more.

    `l1_s` and `l1_bytes` limit the layer in memory.
    """

    fresh_s: int
    stale_s: int
    l1_s: int
    l1_bytes: int


@dataclass(frozen=True, slots=True)
class Found:
    """Cached copy, its layer, and whether it is stale."""

    cached: CachedCopy
    layer: Layer
    stale: bool


class PageCache:
    """The cache of copy. `on_slow` is called with the layer that timed out."""

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
            lifetimes.l1_bytes, lifetimes.l1_s, getsizeof=lambda entry: entry[1]
        )
        self._nearest: TTLCache[str, str] = TTLCache(10_000, lifetimes.l1_s)

    # -- reading ---------------------------------------------------------------------------------------

    async def get(self, key: str, pattern: str, *, lasting: bool = True) -> Found | None:
        """Return fresh copy from the highest layer that has it, or else the newest stale copy, or None.

        Stale copy is only a candidate, because another worker may have put newer copy into a lower layer. A layer that
        times out is skipped. `lasting=False` skips S3, for callers that have just read it.
        """
        entry = self._memory.get(key)
        best = None if entry is None else self._found(entry[0], "l1")
        best = await self._newer(best, "l2", L2_S, partial(self._second, key, pattern))
        return await self._newer(best, "l3", L3_S, partial(self._third, key, pattern)) if lasting else best

    async def _newer(
        self, best: Found | None, layer: Layer, within_s: float, read: Callable[[], Coroutine[Any, Any, bytes | None]]
    ) -> Found | None:
        """Return the copy of a lower layer, unless `best` is fresh or newer.

        It is put into the layers above.
        """
        if best is not None and not best.stale:
            return best
        try:
            body = await within(within_s, read())
        except LpstreamError:
            return best
        except TimeoutError:
            self._on_slow(layer)
            return best
        if body is None or (found := self._read(body, layer)) is None:
            return best
        if best is not None and found.cached.made_ms <= best.cached.made_ms:
            return best
        self._keep(found.cached, len(body))
        if layer == "l3":
            await self._put_second(found.cached, body)
        return found

    async def _second(self, key: str, pattern: str) -> bytes | None:
        return cast("bytes | None", await self._line.call(lambda redis: redis.get(_key(key, pattern))))

    async def _third(self, key: str, pattern: str) -> bytes | None:
        stored = await self._objects.get(_object(key, pattern))
        return None if stored is None else stored.body

    def _read(self, body: bytes, layer: Layer) -> Found | None:
        try:
            return self._found(decode_model(CachedCopy, body), layer)
        except DecodeError as error:
            log.warning("layer %s: cached copy cannot be decoded and is ignored: %s", layer, error)
            return None

    def _found(self, cached: CachedCopy, layer: Layer) -> Found | None:
        age, times = self._clock() - cached.made_ms / 1000, self._lifetimes
        # 10 % earlier or later by key, so that copy warmed at the same time does not expire at the same time
        fresh_s = times.fresh_s * (0.9 + 0.2 * _share(cached.key))
        return Found(cached, layer, age > fresh_s) if age <= times.fresh_s + times.stale_s else None

    async def near(self, pattern: str, names: Sequence[str]) -> AsyncIterator[CachedCopy]:
        """Yield the copy that was put under these names, in their order, at most MOST_NEAR."""
        keys = dict.fromkeys(key for key in await self._pointed_to(names) if key)
        for key in list(keys)[:MOST_NEAR]:
            if (found := await self.get(key, pattern)) is not None:
                yield found.cached

    async def _pointed_to(self, names: Sequence[str]) -> list[str | None]:
        """Return the key that each name points to, from Redis, or from memory while Redis is away."""
        try:
            keys = await self._line.call(lambda redis: redis.mget([_near(name) for name in names]))
        except Retryable:
            return [self._nearest.get(name) for name in names]
        return [None if key is None else cast(bytes, key).decode() for key in keys]

    # -- writing ---------------------------------------------------------------------------------------

    async def put(self, cached: CachedCopy, near_names: Sequence[str] = ()) -> None:
        """Put copy into memory and, if it answers, Redis; `store` makes it durable.

        `near` finds the copy by `near_names`.
        """
        body = encode_model(cached)
        self._keep(cached, len(body))
        self._nearest.update(dict.fromkeys(near_names, cached.key))
        await self._put_second(cached, body, near_names)

    async def store(self, cached: CachedCopy) -> None:
        """Store copy in S3. Raise Retryable or Refused if S3 fails or rejects it."""
        body = encode_model(cached)
        await self._objects.put(_object(cached.key, cached.pattern), body, "application/json", "private, no-store")

    def _keep(self, cached: CachedCopy, size: int) -> None:
        with contextlib.suppress(ValueError):  # larger than `l1_bytes`
            self._memory[cached.key] = (cached, size)

    async def _put_second(self, cached: CachedCopy, body: bytes, near_names: Sequence[str] = ()) -> None:
        left_s = self._lifetimes.fresh_s + self._lifetimes.stale_s - (self._clock() - cached.made_ms / 1000)
        ttl_s = max(1, round(left_s))

        async def work(redis: Redis) -> None:
            async with redis.pipeline(transaction=False) as pipe:
                pipe.set(_key(cached.key, cached.pattern), body, ex=ttl_s)
                for name in near_names:
                    pipe.set(_near(name), cached.key, ex=ttl_s)
                await pipe.execute()

        with contextlib.suppress(Retryable):
            await self._line.call(work)

    # -- input that providers refuse -------------------------------------------------------------------

    async def refuse(self, key: str) -> None:
        """Mark input as refused by providers, so that ten minutes of retries cost no further model call."""
        with contextlib.suppress(Retryable):
            await self._line.call(lambda redis: redis.set(_refused(key), 1, ex=REFUSED_S))

    async def refused(self, key: str) -> bool:
        """Return True if `refuse` was called for this key in the last ten minutes."""
        try:
            return bool(await self._line.call(lambda redis: redis.exists(_refused(key))))
        except Retryable:
            return False

    # -- forgetting ------------------------------------------------------------------------------------

    async def forget(self, pattern: str | None = None) -> int:
        """Remove the copy of a pattern, or all copy, from every layer of every worker. Return the count."""
        names = await self._objects.keys(f"copy/{pattern}/" if pattern else "copy/")
        await self._objects.delete(names)
        removed = {name.rpartition("/")[2].removesuffix(".json") for name in names}
        removed |= await self._line.call(lambda redis: _unlink(redis, pattern or "*"))
        for key in removed if pattern else [ALL]:
            await self._line.call(lambda redis, key=key: redis.publish(CHANNEL, key))  # type: ignore[misc]
            self._drop(key)
        return len(removed)

    async def forget_one(self, key: str, pattern: str) -> None:
        """Remove the copy of one key from every layer of every worker."""
        await self._objects.delete([_object(key, pattern)])
        await self._line.call(lambda redis: redis.unlink(_key(key, pattern), _refused(key)))
        await self._line.call(lambda redis: redis.publish(CHANNEL, key))
        self._drop(key)

    async def forget_tenant(self, tenant_id: str) -> None:
        """Remove the pointers to copy that was made for the tenant. The copy itself names no customer."""

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
        """Drop copy from memory when another worker forgets it, until cancelled."""
        while True:
            try:
                async with self._line.redis.pubsub() as subscription:
                    async with asyncio.timeout(ANSWER_S):
                        await subscription.subscribe(CHANNEL)
                    self._drop(ALL)  # messages sent before the subscription are lost
                    async for message in _answers(subscription):
                        if message["type"] == "message":
                            self._drop(message["data"].decode())
            except Exception as error:  # noqa: BLE001 - the worker goes on; the loop subscribes again
                log.warning("subscription to %s failed with %s; it is retried", CHANNEL, type(error).__name__)
            await asyncio.sleep(LISTEN_AGAIN_S)


async def _answers(subscription: PubSub) -> AsyncIterator[dict[str, Any]]:
    """Yield the messages of Redis.

    After SILENT_S seconds of silence, ping it. Raise TimeoutError if it does not answer.
    """
    asked = True  # it answers the subscription
    while True:
        wait_s = ANSWER_S if asked else SILENT_S
        async with asyncio.timeout(wait_s + ANSWER_S):
            message = await subscription.get_message(timeout=wait_s)
            if message is None and asked:
                raise TimeoutError
            if asked := message is None:
                await subscription.ping()
        if message is not None:
            yield message


async def _unlink(redis: Redis, pattern: str) -> set[str]:
    """Remove the copy of a pattern (`*`: all) and the pointers to it. Return the removed keys."""
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
    """Return a number in [0, 1) that depends only on the key."""
    return int(key[:8], 16) / 2**32
