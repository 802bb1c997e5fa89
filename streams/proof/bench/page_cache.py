"""`lpstream bench --only cache_l1,cache_l2,cache_l3`: lookups of copy in each layer, on real stores.

The lookups run one at a time.
"""

import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from infra.embedded import stores
from infra.embedded.ports import Ports
from infra.redis.line import RedisLine, open_redis
from infra.redis.page_cache import Layer, Lifetimes, PageCache
from infra.s3.objects import Objects
from processors.pages.brief import brief_of
from processors.pages.cache_keys import key_of, pattern_of
from processors.pages.copywriting import PROMPT_VERSION, assemble
from processors.pages.page import TEMPLATE_VERSION
from schemas.errors import LpstreamError
from schemas.generation import GenerationRequest
from schemas.page_cache import CachedCopy
from streams.generation.mix import Mix
from streams.proof.bench.frame import Row, Say, quiet, row
from streams.proof.percentiles import spread

ENTRIES, PASSES = 500, 4
TARGETS_MS: dict[Layer, float] = {"l1": 1.0, "l2": 5.0, "l3": 20.0}
DAY_S = 86_400
KEY, SECRET, BUCKET, REGION = "bench", "bench-secret", "bench", "ap-northeast-1"


def layer(*, layer: Layer, rounds: int, say: Say = quiet) -> list[Row]:
    """Return the row `cache_<layer>`: p99 in ms of `rounds` times 2,000 lookups that hit that layer."""
    with tempfile.TemporaryDirectory() as folder:
        times = asyncio.run(_measure(Path(folder), layer, rounds * PASSES))
    percentiles, target = spread(times), TARGETS_MS[layer]
    detail = {f"{name}_ms": round(value, 4) for name, value in percentiles.items()} | {"lookups": len(times)}
    reference, p99 = f"target: p99 within {target:g} ms", percentiles["p99"]
    return [row(f"cache_{layer}", reference, p99, "ms", target, detail, digits=4, ratio_digits=4)]


def entries(count: int) -> list[CachedCopy]:
    """Return built-in copy, as long as a model's, for the first `count` patterns of the mix."""
    copies = []
    for pattern in Mix.load().patterns()[:count]:
        brief = brief_of(GenerationRequest.model_validate(pattern.request(0)))
        key, name = key_of(brief.fields, TEMPLATE_VERSION, PROMPT_VERSION), pattern_of(brief.fields)
        copies.append(
            CachedCopy(key=key, pattern=name, copy_=assemble(brief, {}), made_ms=int(time.time() * 1000), model="")
        )
    return copies


async def _measure(folder: Path, layer: Layer, passes: int) -> list[float]:
    ports = Ports(folder)
    valkey = stores.valkey(folder, port := ports.get("redis"))
    seaweedfs, s3_port = stores.seaweedfs(folder, ports, KEY, SECRET)
    async with AsyncExitStack() as opened:
        for server in (valkey, seaweedfs):
            await asyncio.to_thread(server.start)
            opened.callback(server.process.stop)
        redis = open_redis(f"redis://127.0.0.1:{port}")
        opened.push_async_callback(redis.aclose)
        objects = Objects.open(f"http://127.0.0.1:{s3_port}", REGION, KEY, SECRET, BUCKET)
        await objects.ensure_bucket()
        line, copies = RedisLine(redis), entries(ENTRIES)
        cache = _cache(line, objects)
        for copy in copies:
            await cache.put(copy)
            await cache.store(copy)
        times: list[float] = []
        for _ in range(passes):
            if layer == "l3":
                await redis.flushall()
            times += await _lookups(cache if layer == "l1" else _cache(line, objects), copies, layer)
        return times


def _cache(line: RedisLine, objects: Objects) -> PageCache:
    return PageCache(line, objects, Lifetimes(DAY_S, DAY_S, DAY_S, 256 * 1024 * 1024))


async def _lookups(cache: PageCache, copies: Sequence[CachedCopy], layer: Layer) -> list[float]:
    times = []
    for copy in copies:
        started = time.perf_counter()
        hit = await cache.get(copy.key, copy.pattern)
        times.append((time.perf_counter() - started) * 1000)
        if hit is None or hit.layer != layer:
            raise LpstreamError(f"page cache: expected copy in {layer}, found it in {hit and hit.layer}")
    return times
