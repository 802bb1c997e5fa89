"""Identities of closed buckets in a real Redis, as the next owner of a partition loads them."""

import os
import time

import pytest

from infra.redis.identities import BucketIdentities, ClosedBucket
from infra.redis.line import RedisLine

pytestmark = pytest.mark.stack
TOPIC = "heatmap.events"
BUCKETS = 400
NOW_MS = int(time.time() * 1000)


def bucket(number: int) -> ClosedBucket:
    """Return a bucket of three records, 5 s after the previous bucket."""
    begin = number * 3
    seen = [(number, [os.urandom(20), os.urandom(20)])]
    return ClosedBucket(begin, begin + 2, NOW_MS - (BUCKETS - number) * 5_000, seen)


@pytest.fixture
async def kept(line: RedisLine) -> list[ClosedBucket]:
    buckets = [bucket(number) for number in range(BUCKETS)]
    identities = BucketIdentities(line.redis)
    for one in buckets:
        await identities.put(TOPIC, 3, one)
    return buckets


async def chain(line: RedisLine, boundary: int, oldest_ms: int, partition: int = 3) -> list[ClosedBucket]:
    """Return the buckets before a boundary, oldest first."""
    found = [one async for one in BucketIdentities(line.redis).newest_first(TOPIC, partition, boundary, oldest_ms)]
    return found[::-1]


async def commands(line: RedisLine) -> int:
    return int((await line.redis.info("stats"))["total_commands_processed"])


async def test_half_an_hour_of_buckets_loads_in_a_few_commands(line: RedisLine, kept: list[ClosedBucket]) -> None:
    before = await commands(line)
    assert await chain(line, kept[-1].last + 1, kept[40].timestamp_ms) == kept[39:]
    assert await commands(line) - before < 12


async def test_a_chain_ends_at_the_boundary(line: RedisLine, kept: list[ClosedBucket]) -> None:
    assert await chain(line, kept[99].last + 1, kept[90].timestamp_ms) == kept[89:100]
    assert await chain(line, 0, 0, partition=4) == []


async def test_a_chain_ends_where_a_link_is_missing(line: RedisLine, kept: list[ClosedBucket]) -> None:
    await line.redis.delete(f"heatmap:seen:{TOPIC}:3:{kept[200].last}")
    assert await chain(line, kept[-1].last + 1, kept[100].timestamp_ms) == kept[201:]


async def test_the_chain_is_the_same_without_the_index(line: RedisLine, kept: list[ClosedBucket]) -> None:
    await line.redis.delete(f"heatmap:seen:{TOPIC}:3")
    assert await chain(line, kept[-1].last + 1, kept[300].timestamp_ms) == kept[299:]


async def test_an_uncommitted_bucket_is_not_in_the_chain(line: RedisLine, kept: list[ClosedBucket]) -> None:
    """If a worker dies before the commit, the next may cut the bucket differently; then Redis has both."""
    half = ClosedBucket(kept[-1].begin, kept[-1].begin + 1, kept[-1].timestamp_ms, [])
    await BucketIdentities(line.redis).put(TOPIC, 3, half)
    assert await chain(line, kept[-1].last + 1, kept[390].timestamp_ms) == kept[389:]


async def test_index_entries_expire_after_an_hour(line: RedisLine, kept: list[ClosedBucket]) -> None:
    late = ClosedBucket(9_000, 9_000, NOW_MS + 3_600_000, [])
    await BucketIdentities(line.redis).put(TOPIC, 3, late)
    index = f"heatmap:seen:{TOPIC}:3"
    assert await line.redis.zrange(index, 0, -1) == [b"9000"]
    assert 0 < await line.redis.ttl(index) <= 3_600
