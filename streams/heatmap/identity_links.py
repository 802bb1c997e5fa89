"""The transfer of identities between workers: through Redis, and otherwise from the log.

Redis is a cache. Writing identities to it never delays a bucket. Loading has one time limit for all partitions of a
worker together. Identities that Redis does not return in time are read from the log.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import numpy as np
from faust.types import TP

from infra.kafka.admin import partitions_of
from infra.kafka.log import read_back
from infra.kafka.reading import Fetched
from infra.redis.identities import ClosedBucket
from processors.heatmap.decode import Decoded, decode
from schemas.errors import Retryable
from schemas.heatmap import WINDOW_MS
from streams.heatmap.identities import RETRY_WINDOW_MS, Identities, most_of_partition
from streams.runtime import metrics
from streams.transports.slices import Slice, cut

log = logging.getLogger(__name__)

KEEP_S = 2.0
MOST_KEEPING = 64
LOAD_S = 5.0
# The times of a log may go back this far if a partition's new leader is a broker whose clock is behind.
BACK_MS = 60_000


class Links(Protocol):
    """The store of closed buckets' identities, such as infra.redis.identities.BucketIdentities."""

    async def put(self, topic: str, partition: int, bucket: ClosedBucket) -> None:
        """Store a bucket's identities."""

    def newest_first(self, topic: str, partition: int, boundary: int, oldest_ms: int) -> Any:
        """Yield the closed buckets before a boundary, the newest first."""


class IdentityLinks:
    """The writer and loader of the identities of one worker's partitions."""

    def __init__(
        self,
        links: Links,
        bootstrap: str,
        partitions: Callable[[str, str], Awaitable[Sequence[Any]]] = partitions_of,
        learn: Callable[[list[Any]], Awaitable[None]] | None = None,
    ) -> None:
        """Create the links. `partitions(bootstrap, topic)` returns the partitions of a topic.

        `learn` prepares the decoding of records.
        """
        self._learn = learn
        self._links = links
        self._bootstrap = bootstrap
        self._partitions = partitions
        self._most: dict[str, int] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._epoch: int | None = None
        self._load_until = 0.0
        self._loading = asyncio.Lock()

    def keep(self, tp: TP, bucket: ClosedBucket) -> None:
        """Start to write a bucket's identities to Redis, unless too many writes are under way."""
        if len(self._keeping) >= MOST_KEEPING:
            metrics.RETRIES.labels("redis").inc()
            return
        task = asyncio.create_task(self._keep(tp, bucket))
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _keep(self, tp: TP, bucket: ClosedBucket) -> None:
        try:
            async with asyncio.timeout(KEEP_S):
                await self._links.put(tp.topic, tp.partition, bucket)
        except (Retryable, TimeoutError) as error:
            metrics.RETRIES.labels("redis").inc()
            log.warning("%s: could not write identities up to offset %d to Redis: %r", tp, bucket.last, error)

    async def close(self) -> None:
        """Wait for the writes to Redis, at most `KEEP_S` seconds."""
        if self._keeping:
            await asyncio.wait(self._keeping)

    async def load(self, part: Slice, boundary: int, earliest: int) -> Identities:
        """Return the identities before `boundary`, in the 30 minutes before the slice's records.

        `earliest` is the log's first offset. One partition is loaded at a time, which bounds the memory. Raise
        Retryable if the log cannot be read.
        """
        async with self._loading:
            return await self._load(part, boundary, earliest)

    async def _load(self, part: Slice, boundary: int, earliest: int) -> Identities:
        # A slice's bucket may begin up to one window before its first record.
        oldest_ms = part.records[0].timestamp - RETRY_WINDOW_MS - WINDOW_MS - BACK_MS
        identities = Identities(await self._most_of(part.tp.topic))
        buckets = await self._from_redis(part, boundary, oldest_ms, identities.most)
        reached = buckets[-1].begin if buckets else boundary
        enough = buckets and (buckets[-1].timestamp_ms < oldest_ms or _beacons(buckets) > identities.most)
        if reached > earliest and not enough:
            await self._from_log(identities, part.tp, oldest_ms, reached)
        for bucket in reversed(buckets):
            for number, seen in bucket.seen:
                identities.see(seen, number)
        return identities

    async def _most_of(self, topic: str) -> int:
        if topic not in self._most:
            self._most[topic] = most_of_partition(len(await self._partitions(self._bootstrap, topic)))
        return self._most[topic]

    async def _from_redis(self, part: Slice, boundary: int, oldest_ms: int, most: int) -> list[ClosedBucket]:
        if self._epoch != part.epoch:
            self._epoch, self._load_until = part.epoch, asyncio.get_running_loop().time() + LOAD_S
        buckets: list[ClosedBucket] = []
        tp, held = part.tp, 0
        try:
            async with asyncio.timeout_at(self._load_until):
                async for bucket in self._links.newest_first(tp.topic, tp.partition, boundary, oldest_ms):
                    buckets.append(bucket)
                    if (held := held + sum(len(seen) for _, seen in bucket.seen)) > most:
                        break
        except (Retryable, TimeoutError) as error:
            log.warning("%s: Redis: %r; reading the missing identities from the log", tp, error)
        return buckets

    async def _from_log(self, identities: Identities, tp: TP, oldest_ms: int, end: int) -> None:
        async for records in read_back(self._bootstrap, tp.topic, tp.partition, oldest_ms, end):
            if self._learn is not None:
                await self._learn(records)
            for part in cut(tp, 0, 0, Fetched(0, records, end)):
                identities.see(decoded_of(part.records).identities, part.bucket)
            await asyncio.sleep(0)


def _beacons(buckets: list[ClosedBucket]) -> int:
    return sum(len(seen) for bucket in buckets for _, seen in bucket.seen)


def decoded_of(records: list[Any]) -> Decoded:
    """Return the decoded beacons of the records. Empty records are skipped."""
    times = np.fromiter((record.timestamp for record in records), np.int64, len(records))
    return decode([record.value or b"" for record in records], times)
