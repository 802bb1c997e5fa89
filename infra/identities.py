"""Counted identities in Redis: one value for each closed bucket, chained from newest to oldest."""

import struct
from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from schemas.errors import Retryable

HEADER = struct.Struct(">qqq")
IDENTITY_BYTES = 20
TTL_S = 3_600
AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class ClosedBucket:
    """A closed bucket: its first and last offset, its first record's time (ms), its counted identities."""

    first: int
    last: int
    timestamp_ms: int
    identities: list[bytes]

    def to_bytes(self) -> bytes:
        """Header of three int64, then 20 bytes an identity."""
        return HEADER.pack(self.first, self.last, self.timestamp_ms) + b"".join(self.identities)

    @classmethod
    def from_bytes(cls, value: bytes) -> "ClosedBucket":
        """The inverse of `to_bytes`."""
        first, last, timestamp_ms = HEADER.unpack_from(value)
        body = value[HEADER.size :]
        parts = [body[at : at + IDENTITY_BYTES] for at in range(0, len(body), IDENTITY_BYTES)]
        return cls(first, last, timestamp_ms, parts)


class BucketIdentities:
    """Closed buckets by topic, partition and last offset.

    An index names each partition's by time, so that a worker that takes the partition over gets half an hour of them
    in a few answers: asked for one by one, 360 of each of twelve partitions cost it seconds. Only the chain decides
    what belongs to it, and where the index is silent the bucket is asked for alone.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @staticmethod
    def _key(topic: str, partition: int, last: int) -> str:
        return f"heatmap:identities:{topic}:{partition}:{last}"

    @staticmethod
    def _index(topic: str, partition: int) -> str:
        return f"heatmap:identities:{topic}:{partition}"

    async def put(self, topic: str, partition: int, bucket: ClosedBucket) -> None:
        """Keep a closed bucket for an hour; Retryable when Redis does not answer."""
        index = self._index(topic, partition)
        try:
            async with self._redis.pipeline(transaction=False) as line:
                line.set(self._key(topic, partition, bucket.last), bucket.to_bytes(), ex=TTL_S)
                line.zadd(index, {str(bucket.last): bucket.timestamp_ms})
                line.zremrangebyscore(index, "-inf", bucket.timestamp_ms - TTL_S * 1_000)
                line.expire(index, TTL_S)
                await line.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise Retryable(f"Redis: {type(error).__name__}") from error

    async def chain(
        self, topic: str, partition: int, boundary: int, oldest_ms: int, first_offset: int
    ) -> list[ClosedBucket] | None:
        """Buckets before `boundary` back to `oldest_ms`, oldest first; None when a link is missing.

        The log begins at `first_offset`: a chain that reaches it is whole. Retryable when Redis is away.
        """
        found: list[ClosedBucket] = []
        last = boundary - 1
        try:
            near = await self._near(topic, partition, last, oldest_ms)
            while last >= first_offset:
                value = near.get(last) or await self._redis.get(self._key(topic, partition, last))
                if value is None:
                    return None
                bucket = ClosedBucket.from_bytes(cast(bytes, value))
                if bucket.timestamp_ms < oldest_ms:
                    break
                found.append(bucket)
                last = bucket.first - 1
        except (RedisError, OSError, TimeoutError) as error:
            raise Retryable(f"Redis: {type(error).__name__}") from error
        return found[::-1]

    async def _near(self, topic: str, partition: int, last: int, oldest_ms: int) -> dict[int, bytes]:
        """What the index names up to `last`, by last offset."""
        named = await self._redis.zrangebyscore(self._index(topic, partition), oldest_ms, "+inf")
        wanted = [one for one in map(int, cast("list[bytes]", named)) if one <= last]
        found: dict[int, bytes] = {}
        for start in range(0, len(wanted), AT_ONCE):
            few = wanted[start : start + AT_ONCE]
            values = await self._redis.mget([self._key(topic, partition, one) for one in few])
            found.update((one, cast(bytes, value)) for one, value in zip(few, values, strict=True) if value is not None)
        return found
