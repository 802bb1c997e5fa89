"""The three cache layers (memory, Valkey, S3) on a real Valkey and a real object store."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import uuid4

import pytest
from patience import SLACK_S
from seaweedfs_bucket import Bucket

from infra.embedded.process import Server
from infra.redis import page_cache
from infra.redis.line import RedisLine, open_redis
from infra.redis.page_cache import Lifetimes, PageCache
from infra.s3.objects import Objects
from processors.pages.brief import brief_of
from processors.pages.cache_keys import key_of, pattern_of
from processors.pages.copywriting import assemble
from schemas.generation import GenerationRequest
from schemas.page_cache import CachedCopy
from streams.generation.mix import Mix

FIRST = Mix.load().patterns()[0]
TIMES = Lifetimes(fresh_s=1_000, stale_s=500, l1_s=60, l1_bytes=2**20)


def cached(keyword: str = "ラーメン", *, made_s: float | None = None, **changes: object) -> CachedCopy:
    request = FIRST.request(1) | {"keywords": [keyword], **changes}
    brief = brief_of(GenerationRequest.model_validate(request))
    fields = brief.fields
    made_ms = int((time.time() if made_s is None else made_s) * 1000)
    return CachedCopy(
        key=key_of(fields, 1, 1),
        pattern=pattern_of(fields),
        fields=fields,
        copy_=assemble(brief, {}),
        made_ms=made_ms,
        model="one/fast-1",
    )


async def put_everywhere(cache: PageCache, one: CachedCopy) -> None:
    await cache.put(one)
    await cache.store(one)


async def test_a_hit_in_a_lower_layer_fills_the_upper_layers(line: RedisLine, objects: Objects) -> None:
    one = cached()
    await put_everywhere(PageCache(line, objects, TIMES), one)
    await line.redis.flushall()
    other = PageCache(line, objects, TIMES)
    layers = []
    for _ in range(2):
        found = await other.get(one.key, one.pattern)
        assert found is not None and found.cached == one and not found.stale
        layers.append(found.layer)
    third = await PageCache(line, objects, TIMES).get(one.key, one.pattern)
    assert [*layers, third and third.layer] == ["l3", "l1", "l2"]


async def test_a_missing_key_returns_none(line: RedisLine, objects: Objects) -> None:
    assert await PageCache(line, objects, TIMES).get("0" * 64, "0" * 16) is None
    assert await near(PageCache(line, objects, TIMES), "0" * 16, "none") == []


async def test_copy_becomes_stale_and_then_expires(line: RedisLine, objects: Objects) -> None:
    now = time.time()
    clock = [now]
    cache = PageCache(line, objects, TIMES, clock=lambda: clock[0])
    one = cached(made_s=now)
    await put_everywhere(cache, one)
    for age, stale in ((850, False), (1_150, True), (1_499, True)):
        clock[0] = now + age
        found = await cache.get(one.key, one.pattern)
        assert found is not None and found.stale is stale
    clock[0] = now + 1_501
    assert await cache.get(one.key, one.pattern) is None


@pytest.mark.parametrize("lasting", [False, True])
@pytest.mark.parametrize("newest", ["Redis", "S3, without Redis", "S3, above older copy in Redis"])
async def test_newer_copy_in_a_lower_layer_replaces_stale_copy(
    line: RedisLine, objects: Objects, newest: str, lasting: bool
) -> None:
    clock = [time.time()]
    here, there, new_here = (PageCache(line, objects, TIMES, clock=lambda: clock[0]) for _ in range(3))
    old = cached(made_s=clock[0])
    await put_everywhere(here, old)
    clock[0] += 1_200
    new = cached(made_s=clock[0])
    await there.store(new)
    if newest == "Redis":
        await there.put(new)
    elif newest == "S3, without Redis":
        await line.redis.flushall()
    if newest != "Redis" and not lasting:
        assert (found := await here.get(new.key, new.pattern, lasting=False)) is not None and found.cached == old
        return
    found = await here.get(new.key, new.pattern, lasting=lasting)
    assert found is not None and (found.cached, found.stale) == (new, False)
    layers = []
    for cache in (here, new_here):
        found = await cache.get(new.key, new.pattern)
        assert found is not None and found.cached == new
        layers.append(found.layer)
    assert layers == ["l1", "l2"], "the layers above have the newer copy from now on"


async def test_stale_copy_in_memory_wins_over_older_copy_below(line: RedisLine, objects: Objects) -> None:
    clock = [time.time()]
    cache = PageCache(line, objects, TIMES, clock=lambda: clock[0])
    older, newer = cached(made_s=clock[0]), cached(made_s=clock[0] + 100)
    await put_everywhere(PageCache(line, objects, TIMES), older)
    await cache.put(newer)
    await PageCache(line, objects, TIMES).put(older)
    clock[0] += 1_300
    for _ in range(2):
        found = await cache.get(newer.key, newer.pattern)
        assert found is not None and found.stale and found.cached == newer


async def test_fresh_copy_in_memory_needs_no_other_layer() -> None:
    cache = PageCache(cast(Any, None), cast(Any, None), TIMES)
    one = cached()
    cache._keep(one, 1_000)
    found = await cache.get(one.key, one.pattern)
    assert found is not None and (found.layer, found.cached) == ("l1", one)


async def test_the_memory_layer_is_bounded_in_bytes(line: RedisLine, objects: Objects) -> None:
    ones = [cached(f"語{number}") for number in range(20)]
    size = len(ones[0].model_dump_json().encode())
    cache = PageCache(line, objects, Lifetimes(1_000, 500, 60, size * 5))
    for one in ones:
        await cache.put(one)
    layers = [found.layer for one in reversed(ones) if (found := await cache.get(one.key, one.pattern))]
    assert layers[:4] == ["l1"] * 4 and layers.count("l1") < 8 and len(layers) == 20
    tiny = PageCache(line, objects, Lifetimes(1_000, 500, 60, 10))
    await tiny.put(ones[0])
    found = await tiny.get(ones[0].key, ones[0].pattern)
    assert found is not None and found.layer == "l2"


async def near(cache: PageCache, pattern: str, *names: str) -> list[CachedCopy]:
    return [one async for one in cache.near(pattern, names)]


async def test_near_returns_the_last_copy_of_each_name_in_order(line: RedisLine, objects: Objects) -> None:
    cache = PageCache(line, objects, TIMES)
    first, last, other = cached("居酒屋"), cached("個室"), cached("宴会")
    for one, names in ((first, ["a"]), (last, ["a", "b"]), (other, ["c"])):
        await cache.put(one, names)
    for asked in (cache, PageCache(line, objects, TIMES)):
        assert await near(asked, first.pattern, "b", "a", "c", "none") == [last, other]
    assert await near(cache, first.pattern, "none") == []


async def test_invalid_bytes_in_redis_are_ignored(line: RedisLine, objects: Objects) -> None:
    one = cached()
    cache = PageCache(line, objects, TIMES)
    await cache.store(one)
    await line.redis.set(f"lp:copy:{one.pattern}:{one.key}", b'{"schema":1}')
    found = await cache.get(one.key, one.pattern)
    assert found is not None and found.layer == "l3"


async def test_refused_input_is_known_to_all_workers(line: RedisLine, objects: Objects) -> None:
    await PageCache(line, objects, TIMES).refuse("k")
    assert await PageCache(line, objects, TIMES).refused("k")
    assert not await PageCache(line, objects, TIMES).refused("other")


@contextlib.asynccontextmanager
async def listening(cache: PageCache) -> AsyncIterator[None]:
    task = asyncio.create_task(cache.listen())
    await asyncio.sleep(0.3)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("everything", [False, True])
async def test_forgotten_copy_is_removed_from_all_workers(line: RedisLine, objects: Objects, everything: bool) -> None:
    here, there = PageCache(line, objects, TIMES), PageCache(line, objects, TIMES)
    ones = [cached("居酒屋"), cached("個室"), cached("個室", industry="美容")]
    async with listening(there):
        for one in ones:
            await put_everywhere(here, one)
            await here.put(one, [f"{one.pattern}:a"])
            assert await there.get(one.key, one.pattern)
        assert await here.forget(None if everything else ones[0].pattern) == (3 if everything else 2)
        await asyncio.sleep(0.2)
        left = [bool(await cache.get(one.key, one.pattern)) for cache in (here, there) for one in ones]
    assert left == [False, False, not everything] * 2
    assert await near(there, ones[0].pattern, f"{ones[0].pattern}:a") == []


class Gate:
    """A gate before Valkey. Connections that it once shut stay open and carry nothing."""

    def __init__(self, valkey_url: str) -> None:
        self._port = int(valkey_url.rpartition(":")[2])
        self.open = True
        self._shut: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    def shut(self) -> None:
        self.open = False
        self._shut |= self._writers

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers.add(writer)
        if not self.open:
            self._shut.add(writer)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65_536):
                if writer not in self._shut:
                    sink.write(data)
            sink.close()

        await asyncio.gather(pump(reader, back), pump(there, writer), return_exceptions=True)


@pytest.mark.parametrize("when", ["before the subscription", "after the subscription"])
async def test_copy_is_forgotten_after_redis_kept_connections_and_was_silent(
    valkey: tuple[Server, str], objects: Objects, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    for name in ("LISTEN_AGAIN_S", "ANSWER_S", "SILENT_S"):
        monkeypatch.setattr(page_cache, name, 0.2, raising=False)
    gate = Gate(valkey[1])
    server = await asyncio.start_server(gate.answer, "127.0.0.1", 0)
    through = open_redis(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", socket_s=None)
    direct = open_redis(valkey[1])
    one, there = cached("個室"), PageCache(RedisLine(through), objects, TIMES)
    try:
        gate.open = when == "after the subscription"
        async with listening(there):
            gate.shut()
            await asyncio.sleep(0.5)
            gate.open = True
            await asyncio.sleep(2)
            await there.put(one)
            await PageCache(RedisLine(direct), objects, TIMES).forget_one(one.key, one.pattern)
            await asyncio.sleep(0.5)
            assert await there.get(one.key, one.pattern) is None
    finally:
        await through.aclose()
        await direct.aclose()
        server.close()


async def test_without_redis_memory_and_s3_serve(valkey: tuple[Server, str], line: RedisLine, objects: Objects) -> None:
    server, url = valkey
    one = cached(str(uuid4()))
    await PageCache(line, objects, TIMES).store(one)
    redis = open_redis(url)
    cache = PageCache(RedisLine(redis), objects, TIMES)
    server.kill()
    try:
        found = await cache.get(one.key, one.pattern)
        assert found is not None and found.layer == "l3"
        found = await cache.get(one.key, one.pattern)
        assert found is not None and found.layer == "l1"
        await cache.put(cached("別"))
        assert not await cache.refused("k")
    finally:
        await asyncio.to_thread(server.restart)
        await redis.aclose()


async def test_a_stall_of_our_own_event_loop_is_no_slow_layer(line: RedisLine, bucket: Bucket) -> None:
    one, slow = cached(str(uuid4())), list[str]()
    await PageCache(line, bucket.open(), TIMES).put(one)
    for turns in range(1, 8):  # the look-up has got as far as this
        cache = PageCache(line, bucket.open(), TIMES, on_slow=slow.append)
        asking = asyncio.create_task(cache.get(one.key, one.pattern))
        for _ in range(turns):
            await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251 - the stall
        found = await asking
        assert found is not None and (found.layer, slow) == ("l2", [])


async def test_without_s3_memory_and_redis_serve(line: RedisLine, bucket: Bucket) -> None:
    objects = bucket.open()
    one = cached(str(uuid4()))
    cache = PageCache(line, objects, TIMES)
    await cache.put(one)
    bucket.server.kill()
    try:
        found = await PageCache(line, objects, TIMES).get(one.key, one.pattern)
        assert found is not None and found.layer == "l2"
        started = time.monotonic()
        assert await cache.get("0" * 64, "0" * 16) is None
        assert time.monotonic() - started < SLACK_S
    finally:
        await asyncio.to_thread(bucket.server.restart)
