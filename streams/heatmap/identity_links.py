"""Identities between workers: kept in Redis beside the flushes, loaded from it and else from the log.

Redis is a view. Keeping identities never holds up a bucket, and loading them has a budget of time for all partitions
of a worker together. The log has whatever Redis does not give in time.
"""

import asyncio
import logging
from typing import Any, Protocol

import numpy as np
from faust.types import TP

from infra.kafka.log import read_back
from infra.kafka.reading import Fetched
from infra.redis.identities import ClosedBucket
from processors.heatmap.cuts import WINDOW_MS
from processors.heatmap.decode import Decoded, decode
from schemas.errors import Retryable
from streams.heatmap.identities import MOST, RETRY_WINDOW_MS, Identities
from streams.runtime import metrics
from streams.transports.slices import Slice, cut

log = logging.getLogger(__name__)

KEEP_S = 2.0
MOST_KEEPING = 64
LOAD_S = 5.0
# Times of a log may go back so far where a partition's leader changes to a broker whose clock is behind.
BACK_MS = 60_000


class Links(Protocol):
    """Where identities of closed buckets are kept: infra.redis.identities.BucketIdentities."""

    async def put(self, topic: str, partition: int, bucket: ClosedBucket) -> None:
        """Keep a bucket's identities."""

    def newest_first(self, topic: str, partition: int, boundary: int, oldest_ms: int) -> Any:
        """Yield the closed buckets before a boundary."""


class IdentityLinks:
    """Keeps and loads the identities of one worker's partitions."""

    def __init__(self, links: Links, bootstrap: str) -> None:
        self._links = links
        self._bootstrap = bootstrap
        self._keeping: set[asyncio.Task[None]] = set()
        self._epoch: int | None = None
        self._load_until = 0.0
        self._loading = asyncio.Lock()

    def keep(self, tp: TP, bucket: ClosedBucket) -> None:
        """Begin to write a bucket's identities to Redis; a bucket too many is left to the log."""
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
            log.warning("%s: identities up to offset %d are not in Redis: %r", tp, bucket.last, error)

    async def close(self) -> None:
        """Wait for what is on its way to Redis, `KEEP_S` at most."""
        if self._keeping:
            await asyncio.wait(self._keeping)

    async def load(self, part: Slice, boundary: int, earliest: int) -> Identities:
        """Return the identities that the log held before `boundary`, in the 30 minutes before the slice's records.

        `earliest` is the log's first offset. Loads one partition at a time, which bounds the memory. Retryable when
        the log cannot be read.
        """
        async with self._loading:
            return await self._load(part, boundary, earliest)

    async def _load(self, part: Slice, boundary: int, earliest: int) -> Identities:
        # A bucket of slices may begin up to one window before its first record.
        oldest_ms = part.records[0].timestamp - RETRY_WINDOW_MS - WINDOW_MS - BACK_MS
        found = await self._from_redis(part, boundary, oldest_ms)
        reached = found[-1].begin if found else boundary
        identities = Identities()
        enough = found and (found[-1].timestamp_ms < oldest_ms or _beacons(found) > MOST)
        if reached > earliest and not enough:
            await self._from_log(identities, part.tp, oldest_ms, reached)
        for bucket in reversed(found):
            for number, seen in bucket.seen:
                identities.see(seen, number)
        return identities

    async def _from_redis(self, part: Slice, boundary: int, oldest_ms: int) -> list[ClosedBucket]:
        if self._epoch != part.epoch:
            self._epoch, self._load_until = part.epoch, asyncio.get_running_loop().time() + LOAD_S
        found: list[ClosedBucket] = []
        tp, held = part.tp, 0
        try:
            async with asyncio.timeout_at(self._load_until):
                async for bucket in self._links.newest_first(tp.topic, tp.partition, boundary, oldest_ms):
                    found.append(bucket)
                    if (held := held + sum(len(seen) for _, seen in bucket.seen)) > MOST:
                        break
        except (Retryable, TimeoutError) as error:
            log.warning("%s: %r; reading the missing identities from the log", tp, error)
        return found

    async def _from_log(self, identities: Identities, tp: TP, oldest_ms: int, end: int) -> None:
        async for records in read_back(self._bootstrap, tp.topic, tp.partition, oldest_ms, end):
            for part in cut(tp, 0, 0, Fetched(0, records, end)):
                identities.see(decoded_of(part.records).identities, part.bucket)
            await asyncio.sleep(0)


def _beacons(buckets: list[ClosedBucket]) -> int:
    return sum(len(seen) for bucket in buckets for _, seen in bucket.seen)


def decoded_of(records: list[Any]) -> Decoded:
    """Return the decoded beacons of records; empty records are passed over."""
    times = np.fromiter((record.timestamp for record in records), np.int64, len(records))
    return decode([record.value or b"" for record in records], times)
