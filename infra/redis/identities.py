"""The identities of closed buckets in Redis: one value per bucket, chained from newest to oldest."""

import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from infra.redis.line import retryable

HEADER = struct.Struct(">qqq")
GROUP = struct.Struct(">qI")
IDENTITY_BYTES = 20
TTL_S = 3_600
AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class ClosedBucket:
    """A closed bucket: offsets `begin` to `last`, the time of its first record (ms), and its identities.

    `seen` holds all identities in log order, retries included, by number of the slices' 5-second bucket.
    """

    begin: int
    last: int
    timestamp_ms: int
    seen: list[tuple[int, list[bytes]]]

    def to_bytes(self) -> bytes:
        """Return three int64 as header; then for each number an int64, a count, and 20 bytes an identity."""
        groups = [GROUP.pack(number, len(identities)) + b"".join(identities) for number, identities in self.seen]
        return HEADER.pack(self.begin, self.last, self.timestamp_ms) + b"".join(groups)

    @classmethod
    def from_bytes(cls, value: bytes) -> "ClosedBucket":
        """Return the bucket that `to_bytes` encoded."""
        begin, last, timestamp_ms = HEADER.unpack_from(value)
        seen, at = [], HEADER.size
        while at < len(value):
            number, count = GROUP.unpack_from(value, at)
            at += GROUP.size
            end = at + count * IDENTITY_BYTES
            seen.append((number, [value[place : place + IDENTITY_BYTES] for place in range(at, end, IDENTITY_BYTES)]))
            at = end
        return cls(begin, last, timestamp_ms, seen)


class BucketIdentities:
    """The store of closed buckets by topic, partition and last offset.

    An index lists the buckets of each partition by time. A worker that takes over a partition reads half an hour of
    buckets in a few calls; single reads of 360 buckets for each partition take seconds. The index only
    saves time: the chain decides which buckets belong to it, and a bucket that the index lacks is read alone.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @staticmethod
    def _key(topic: str, partition: int, last: int) -> str:
        return f"{BucketIdentities._index(topic, partition)}:{last}"

    @staticmethod
    def _index(topic: str, partition: int) -> str:
        return f"heatmap:seen:{topic}:{partition}"

    async def put(self, topic: str, partition: int, bucket: ClosedBucket) -> None:
        """Store a closed bucket for an hour. Raise Retryable if Redis does not answer."""
        index = self._index(topic, partition)
        with retryable():
            async with self._redis.pipeline(transaction=False) as line:
                line.set(self._key(topic, partition, bucket.last), bucket.to_bytes(), ex=TTL_S)
                line.zadd(index, {str(bucket.last): bucket.timestamp_ms})
                line.zremrangebyscore(index, "-inf", bucket.timestamp_ms - TTL_S * 1_000)
                line.expire(index, TTL_S)
                await line.execute()

    async def newest_first(
        self, topic: str, partition: int, boundary: int, oldest_ms: int
    ) -> AsyncIterator[ClosedBucket]:
        """Yield the buckets before `boundary`, newest first; stop where the chain lacks a bucket.

        Each bucket ends where the next newer bucket begins. The last bucket is the first whose records may all be older
        than `oldest_ms`. Raise Retryable if Redis is away.
        """
        last = boundary - 1
        with retryable():
            near: dict[int, bytes] = {}
            names = await self._names(topic, partition, last, oldest_ms)
            while True:
                if last in names and last not in near:
                    near = await self._values(topic, partition, names[names.index(last) :][:AT_ONCE])
                value = near.get(last) or await self._redis.get(self._key(topic, partition, last))
                if value is None:
                    return
                bucket = ClosedBucket.from_bytes(cast(bytes, value))
                yield bucket
                if bucket.timestamp_ms < oldest_ms or bucket.begin > last:
                    return
                last = bucket.begin - 1

    async def _names(self, topic: str, partition: int, last: int, oldest_ms: int) -> list[int]:
        """Return the last offsets of the buckets in the index, newest first."""
        members = cast("list[bytes]", await self._redis.zrangebyscore(self._index(topic, partition), oldest_ms, "+inf"))
        return sorted((offset for offset in map(int, members) if offset <= last), reverse=True)

    async def _values(self, topic: str, partition: int, names: list[int]) -> dict[int, bytes]:
        values = await self._redis.mget([self._key(topic, partition, name) for name in names])
        return {name: cast(bytes, value) for name, value in zip(names, values, strict=True) if value is not None}
