"""The delivery rules: buckets cut from the log, flushed in order, committed at once, nothing in between.

What a bucket holds is a function of the log alone, so that a replay after any fault makes the same inserts
under the same tokens, and ClickHouse drops what it already has. Steps of one bucket, in this order:

1. insert each table under the bucket's token,
2. send what could not be decoded to the dead-letter topic, delivery awaited,
3. write the bucket's identities,
4. note the boundary (`complete`) and commit it.

Any failure repeats the step; when the partition is taken away meanwhile, the bucket is dropped and its next
owner makes it again. While a bucket is on its way the next one of its partition fills, and no more than that: buckets
of one partition are stored one after another, those of several beside each other.

This module knows no business words: what a record means is the `Bucket`'s affair.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from faust.types import TP

from processors.windows import bucket_end_ms
from schemas.errors import LpstreamError, Retryable
from streams import metrics
from streams.transport import Slice

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
# buckets on their way to the stores at once
FLUSHES = 4


class StaleEpochError(Exception):
    """The partition was taken away: what is open of it must be dropped."""


class SliceConsumer(Protocol):
    """What the delivery needs of streams.transport.Consumer."""

    def current(self, epoch: int) -> bool:
        """Whether what was read in that epoch still counts."""

    def complete(self, tp: TP, next_offset: int, epoch: int) -> bool:
        """Note a boundary."""

    async def commit_boundary(self, tp: TP) -> bool:
        """Commit the boundary."""

    async def committed(self, tp: TP) -> int | None:
        """The broker's committed offset."""

    async def earliest(self, tp: TP) -> int:
        """First offset that exists."""

    def rewind(self, tp: TP, offset: int) -> int:
        """Read again from there; the number of the last fetch that does not know of it."""

    def brake(self, tps: set[TP]) -> None:
        """Stop reading."""


class BucketWork(Protocol):
    """What a bucket's records become. One object a bucket."""

    def add(self, records: list[Any]) -> None:
        """Take consecutive records, ticks among them; never raises for what they hold."""

    def rows(self) -> bool:
        """Whether there is anything to insert, to dead-letter, or to wait for."""

    def braked(self) -> bool:
        """Whether so much cannot be decoded that the partition must stop."""

    async def store(self, bucket: "Bucket", retry: "Retry") -> None:
        """Steps 1 to 3 of the module's list."""


Retry = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]
OpenWork = Callable[[Slice, int, int], Awaitable[Callable[[int], BucketWork]]]


@dataclass(slots=True)
class Bucket:
    """A stretch of one partition's log, from `first` to `last`, that is stored as one."""

    tp: TP
    index: int
    first: int
    timestamp_ms: int
    work: BucketWork
    opened_at: float
    last: int = -1
    records: int = 0
    ticked_at: float = 0.0

    @property
    def token(self) -> str:
        """What makes a repeated insert of this bucket known to ClickHouse.

        The time of the first record is in it because a topic made anew has the same offsets again.
        """
        return f"{self.tp.topic}:{self.tp.partition}:{self.first}-{self.last}:{self.timestamp_ms}"

    def ends_before(self, index: int) -> bool:
        """Whether a record of that 5-second bucket belongs to the next one."""
        return index > self.index or index < self.index - 1

    def overdue(self, now: float, skew_s: float) -> bool:
        """Whether the bucket is past its end plus the skew, by the worker's monotonic clock."""
        left_ms = bucket_end_ms(self.index, self.tp.partition) - self.timestamp_ms
        return now >= max(self.opened_at + left_ms / 1000, self.ticked_at) + skew_s


@dataclass(slots=True)
class Partition:
    """What is open of one partition in one epoch."""

    epoch: int
    expected: int
    new_work: Callable[[int], BucketWork]
    bucket: Bucket | None = None
    flush: asyncio.Task[bool] | None = None
    braked: bool = False
    void_fetch: int | None = None
    committed_at: float = field(default_factory=time.monotonic)


class Delivery:
    """Feeds slices into buckets and brings full ones to the stores."""

    def __init__(
        self,
        consumer: SliceConsumer,
        open_work: OpenWork,
        *,
        bucket_records: int,
        skew_s: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`open_work(slice, boundary, earliest)` prepares a partition and gives what opens its buckets."""
        self._consumer = consumer
        self._open_work = open_work
        self._bucket_records = bucket_records
        self._skew_s = skew_s
        self._clock = clock
        self._sleep = sleep
        self.partitions: dict[TP, Partition] = {}
        self._slots = asyncio.Semaphore(FLUSHES)
        self._waiting = False

    async def on_slice(self, part: Slice) -> None:
        """Take one slice; returns when it is in a bucket and at most one of its partition's is on its way.

        Raises nothing but cancellation: what fails is tried again, what is void is dropped.
        """
        try:
            state = await self._partition(part)
            if state is not None:
                await self._take(state, part)
        except StaleEpochError:
            self.partitions.pop(part.tp, None)

    async def _partition(self, part: Slice) -> Partition | None:
        """The slice's partition, ready for exactly this slice, or None when the slice is to be dropped."""
        self._drop_stale()
        if not self._consumer.current(part.epoch):
            raise StaleEpochError
        state = self.partitions.get(part.tp)
        if state is None:
            state = self.partitions[part.tp] = await self._open(part)
        if state.braked or (state.void_fetch is not None and part.fetch <= state.void_fetch):
            return None
        if part.first == state.expected:
            return state
        if part.first > state.expected and state.void_fetch is not None:
            # read again from there and still not given: these offsets hold no record (retention, markers)
            log.warning("%s: no records from %d to %d", part.tp, state.expected, part.first - 1)
            return state
        await self._rewind(state, part)
        return None

    def _drop_stale(self) -> None:
        for tp, state in list(self.partitions.items()):
            if not self._consumer.current(state.epoch):
                del self.partitions[tp]

    async def _open(self, part: Slice) -> Partition:
        async def committed() -> tuple[int, int]:
            earliest = await self._consumer.earliest(part.tp)
            return max(await self._consumer.committed(part.tp) or 0, earliest), earliest

        boundary, earliest = await self._retry(part.epoch, "kafka", committed)
        new_work = await self._retry(part.epoch, "identities", lambda: self._open_work(part, boundary, earliest))
        return Partition(part.epoch, boundary, new_work)

    async def _rewind(self, state: Partition, part: Slice) -> None:
        """A slice out of turn: drop what is open and read again from the last boundary."""
        if part.first < state.expected:
            log.info("%s: offsets %d to %d were here already", part.tp, part.first, part.last)
            return
        log.warning("%s: got offset %d, want %d: reading again", part.tp, part.first, state.expected)
        await self._committed(state)
        del self.partitions[part.tp]
        fresh = self.partitions[part.tp] = await self._open(part)
        fresh.void_fetch = self._consumer.rewind(part.tp, fresh.expected)

    async def _take(self, state: Partition, part: Slice) -> None:
        state.void_fetch = None
        records = part.records
        while records:
            bucket = state.bucket
            if bucket and (bucket.ends_before(part.bucket) or bucket.records >= self._bucket_records):
                await self._committed(state)
                state.bucket, state.flush = None, asyncio.create_task(self._flush(state, bucket))
                continue
            if bucket is None:
                bucket = state.bucket = self._new_bucket(state, part, records[0])
            room = self._bucket_records - bucket.records
            taken, records = records[:room], records[room:]
            bucket.work.add(taken)
            bucket.records += len(taken)
            bucket.last = taken[-1].offset
            state.expected = bucket.last + 1
            if bucket.work.braked():
                self._brake(state, bucket)
                return

    def _new_bucket(self, state: Partition, part: Slice, head: Any) -> Bucket:
        work = state.new_work(head.timestamp)
        return Bucket(part.tp, part.bucket, head.offset, head.timestamp, work, self._clock())

    def _brake(self, state: Partition, bucket: Bucket) -> None:
        """Too much cannot be decoded: hold the partition where it is; what is open is made again later."""
        state.braked = True
        state.bucket = None
        self._consumer.brake({bucket.tp})
        metrics.BRAKED.inc()
        log.error("%s: too many records cannot be decoded, paused at offset %d", bucket.tp, bucket.first)

    async def _committed(self, state: Partition) -> None:
        """Wait for the partition's bucket that is on its way; StaleEpochError when the epoch has ended."""
        if state.flush is None:
            return
        self._waiting = True
        try:
            done = await state.flush
        finally:
            self._waiting = False
        state.flush = None
        if not done:
            raise StaleEpochError

    async def settle(self) -> None:
        """Wait for all buckets that are on their way."""
        for tp, state in list(self.partitions.items()):
            try:
                await self._committed(state)
            except StaleEpochError:
                self.partitions.pop(tp, None)

    async def close(self) -> None:
        """Let go of what is on its way: its next owner makes it again."""
        flushes = [state.flush for state in self.partitions.values() if state.flush is not None]
        for flush in flushes:
            flush.cancel()
        await asyncio.gather(*flushes, return_exceptions=True)

    async def _flush(self, state: Partition, bucket: Bucket) -> bool:
        """Store the bucket, then commit its boundary; False when the epoch ended before that."""
        async with self._slots:
            started = self._clock()
            try:
                await self._store(state, bucket)
            except StaleEpochError:
                return False
        metrics.BUCKETS.inc()
        metrics.FLUSH_SECONDS.observe(self._clock() - started)
        return True

    async def _store(self, state: Partition, bucket: Bucket) -> None:
        async def retry(store: str, call: Callable[[], Awaitable[Any]]) -> Any:
            return await self._retry(state.epoch, store, call)

        await bucket.work.store(bucket, retry)
        if not self._consumer.complete(bucket.tp, bucket.last + 1, state.epoch):
            raise StaleEpochError
        await self._retry(state.epoch, "kafka", lambda: self._commit(bucket.tp))
        state.committed_at = self._clock()

    async def _commit(self, tp: TP) -> None:
        if not await self._consumer.commit_boundary(tp):
            raise Retryable(f"Kafka: {tp} is not committed yet")

    async def _retry(self, epoch: int, store: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """The call's answer, however long it takes, while the epoch lasts; StaleEpochError after it."""
        pause = FIRST_PAUSE_S
        while True:
            if not self._consumer.current(epoch):
                raise StaleEpochError
            try:
                return await call()
            except LpstreamError as error:
                level = logging.WARNING if isinstance(error, Retryable) else logging.ERROR
                log.log(level, "%s, again in %.1f s: %s", store, pause, error)
            except Exception:
                # nothing may leave the loop: Faust would restart the agent beside the old one and lose events
                log.exception("%s, again in %.1f s", store, pause)
            metrics.RETRIES.labels(store).inc()
            await self._pause(epoch, pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _pause(self, epoch: int, seconds: float) -> None:
        """Sleep, but wake early when the epoch ends, so that a rebalance or a stop never waits for us."""
        until = self._clock() + seconds
        while self._consumer.current(epoch) and (left := until - self._clock()) > 0:
            await self._sleep(min(left, FIRST_PAUSE_S))

    # -- ticks -----------------------------------------------------------------------------------------

    def overdue(self) -> list[Bucket]:
        """Open buckets with rows that nothing but a tick will close; each is named again after a skew.

        None while slices wait for the stores, or of a partition whose bucket does: ticks would not make that faster.
        """
        if self._waiting:
            return []
        now = self._clock()
        due = []
        for state in self.partitions.values():
            bucket = state.bucket
            on_its_way = state.flush is not None and not state.flush.done()
            if bucket and not on_its_way and bucket.work.rows() and bucket.overdue(now, self._skew_s):
                bucket.ticked_at = now
                due.append(bucket)
        return due

    def ages(self) -> Mapping[TP, tuple[float, float]]:
        """Seconds since the open bucket began (0 without one) and since the last commit, by partition."""
        now = self._clock()
        return {
            tp: (now - state.bucket.opened_at if state.bucket else 0.0, now - state.committed_at)
            for tp, state in self.partitions.items()
        }
