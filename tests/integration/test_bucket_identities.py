"""Identities of closed buckets in a real Redis, as a worker finds them that takes a partition over."""

import os
import time

import pytest

from infra.identities import BucketIdentities, ClosedBucket
from infra.redis import RedisLine

pytestmark = pytest.mark.stack
TOPIC = "heatmap.events"
BUCKETS = 400
NOW_MS = int(time.time() * 1000)


def bucket(number: int) -> ClosedBucket:
    """Three records, 5 s after those of the bucket before."""
    first = number * 3
    return ClosedBucket(first, first + 2, NOW_MS - (BUCKETS - number) * 5_000, [os.urandom(20), os.urandom(20)])


@pytest.fixture
async def kept(line: RedisLine) -> list[ClosedBucket]:
    buckets = [bucket(number) for number in range(BUCKETS)]
    identities = BucketIdentities(line.redis)
    for one in buckets:
        await identities.put(TOPIC, 3, one)
    return buckets


async def commands(line: RedisLine) -> int:
    return int((await line.redis.info("stats"))["total_commands_processed"])


async def test_half_an_hour_is_taken_over_in_a_few_answers(line: RedisLine, kept: list[ClosedBucket]) -> None:
    before = await commands(line)
    found = await BucketIdentities(line.redis).chain(TOPIC, 3, kept[-1].last + 1, kept[40].timestamp_ms, 0)
    assert found == kept[40:]
    assert await commands(line) - before < 12


async def test_a_chain_ends_at_the_boundary_and_at_the_logs_beginning(
    line: RedisLine, kept: list[ClosedBucket]
) -> None:
    identities = BucketIdentities(line.redis)
    assert await identities.chain(TOPIC, 3, kept[99].last + 1, 0, kept[90].first) == kept[90:100]
    assert await identities.chain(TOPIC, 4, 0, 0, 0) == [], "a log without records has a whole chain"


async def test_a_missing_link_is_told(line: RedisLine, kept: list[ClosedBucket]) -> None:
    await line.redis.delete(f"heatmap:identities:{TOPIC}:3:{kept[200].last}")
    identities = BucketIdentities(line.redis)
    end = kept[-1].last + 1
    assert await identities.chain(TOPIC, 3, end, kept[100].timestamp_ms, 0) is None
    assert await identities.chain(TOPIC, 3, end, kept[201].timestamp_ms, kept[201].first) == kept[201:]


async def test_without_the_index_the_chain_is_the_same(line: RedisLine, kept: list[ClosedBucket]) -> None:
    await line.redis.delete(f"heatmap:identities:{TOPIC}:3")
    found = await BucketIdentities(line.redis).chain(TOPIC, 3, kept[-1].last + 1, kept[300].timestamp_ms, 0)
    assert found == kept[300:]


async def test_what_was_never_committed_is_no_link(line: RedisLine, kept: list[ClosedBucket]) -> None:
    """A bucket whose worker died before the commit may be cut otherwise by the next one, and both are kept."""
    identities = BucketIdentities(line.redis)
    half = ClosedBucket(kept[-1].first, kept[-1].first + 1, kept[-1].timestamp_ms, kept[-1].identities[:1])
    await identities.put(TOPIC, 3, half)
    found = await identities.chain(TOPIC, 3, kept[-1].last + 1, kept[390].timestamp_ms, 0)
    assert found == kept[390:]


async def test_the_index_forgets_after_an_hour(line: RedisLine, kept: list[ClosedBucket]) -> None:
    late = ClosedBucket(9_000, 9_000, NOW_MS + 3_600_000, [])
    await BucketIdentities(line.redis).put(TOPIC, 3, late)
    index = f"heatmap:identities:{TOPIC}:3"
    assert await line.redis.zrange(index, 0, -1) == [b"9000"]
    assert 0 < await line.redis.ttl(index) <= 3_600
