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
    """Closed buckets by topic, partition and last offset."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    @staticmethod
    def _key(topic: str, partition: int, last: int) -> str:
        return f"heatmap:identities:{topic}:{partition}:{last}"

    async def put(self, topic: str, partition: int, bucket: ClosedBucket) -> None:
        """Keep a closed bucket for an hour; Retryable when Redis does not answer."""
        try:
            await self._redis.set(self._key(topic, partition, bucket.last), bucket.to_bytes(), ex=TTL_S)
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
            while last >= first_offset:
                value = await self._redis.get(self._key(topic, partition, last))
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
