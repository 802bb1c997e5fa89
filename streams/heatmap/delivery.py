"""The delivery rules: cut the log into buckets, store each bucket, then commit its end.

Nothing else is committed. The content of a bucket is a function of the log and the cut alone. So a replay after any
fault makes the same inserts under the same tokens, and ClickHouse drops the inserts that it already has. The steps of
a bucket, in this order:

1. insert each table under the bucket's token,
2. send the records that cannot be decoded to the dead-letter topic and wait for the delivery,
3. start to write the bucket's identities to Redis, without waiting,
4. record the boundary (`complete`) and commit it, with the parameters of the cut.

A failed step is repeated. If the partition is taken away meanwhile, the bucket is dropped and the partition's next
owner builds it again. While a bucket is being stored, the partition's next bucket fills, and no further bucket begins:
buckets of a partition are stored one after another, those of different partitions concurrently.

Offsets are not consecutive. Each slice states which offsets its fetch has passed. A slice must begin where the
previous slice ended.

This module does not know what a record means: that is the task of `BucketWork`.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from faust.types import TP

from processors.heatmap.cuts import Cut
from schemas.errors import LpstreamError, Retryable
from streams.heatmap.boundaries import Boundaries
from streams.heatmap.bucket import Bucket, BucketWork, OpenWork, SliceConsumer, StaleEpochError
from streams.runtime import metrics
from streams.transports.slices import Slice

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0
# Most buckets that are stored at the same time.
FLUSHES = 4
# A partition without an open bucket commits its read position this long after its last commit. Otherwise retention
# would at some time pass the committed offset of a quiet partition, and that would look like a loss.
QUIET_S = 60.0
# Bytes of all buckets together. Beyond this only the oldest open bucket grows, until it is stored. Together with
# MOST_BYTES of processors/heatmap/cuts.py this bounds the memory for every log.
MOST_HELD = 96 * 2**20
ROOM_POLL_S = 0.02
# A partition without a slice for this long cannot grow: an unreadable batch stops it, or it has no leader.
STILL_S = 30.0


@dataclass(slots=True)
class Partition:
    """The state of one partition in one epoch.

    The open bucket, or else the next, begins at `boundary` and is cut by `cut`. `expected` is the next offset to take.
    `seen_ms` is the time of the last record that was taken or passed. Slices up to fetch `void_fetch` are dropped.
    """

    epoch: int
    boundary: int
    earliest: int
    cut: Cut
    committed_at: float
    expected: int = field(init=False)
    new_work: Callable[[int], BucketWork] | None = None
    bucket: Bucket | None = None
    flush: asyncio.Task[bool] | None = None
    storing_work: BucketWork | None = None
    waiting: bool = False
    taken_at: float = 0.0
    braked: bool = False
    void_fetch: int | None = None
    seen_ms: int | None = None

    def __post_init__(self) -> None:
        self.expected = self.boundary

    def drop_open(self) -> None:
        """Drop the open bucket, so that reading continues at the boundary."""
        self.bucket, self.expected = None, self.boundary

    @property
    def storing(self) -> bool:
        """Return whether a bucket is being stored."""
        return self.flush is not None and not self.flush.done()


class Delivery:
    """The delivery of one worker: it adds slices to buckets and stores each full bucket."""

    def __init__(
        self,
        consumer: SliceConsumer,
        open_work: OpenWork,
        *,
        cut: Cut,
        skew_s: float,
        on_fatal: Callable[[Exception], None],
        most_held: int = MOST_HELD,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Create a delivery.

        `open_work(slice, boundary, earliest)` prepares a partition and returns the function that opens its buckets.
        `on_fatal` gets the error that the worker must end with. `most_held` bounds the memory of all buckets in bytes.
        """
        self._consumer = consumer
        self._on_fatal = on_fatal
        self._open_work = open_work
        self._cut = cut
        self._skew_s = skew_s
        self._most_held = most_held
        self._clock = clock
        self._sleep = sleep
        self.partitions: dict[TP, Partition] = {}
        self._boundaries = Boundaries(consumer, cut, on_fatal)
        self._slots = asyncio.Semaphore(FLUSHES)
        self._finishing = False

    async def on_slice(self, part: Slice) -> None:
        """Add one slice to its bucket. Wait while an earlier bucket of the partition is still being stored.

        Call it for one slice of a partition after another; calls for different partitions may run concurrently. It
        raises nothing but cancellation: failed calls are retried, slices of an old epoch are dropped.
        """
        try:
            state = await self._partition(part)
            if state is not None:
                await self._take(state, part)
        except StaleEpochError:
            # If only the flow has stopped, the worker still owns the partition, and its bucket is still being stored.
            self._drop_stale()

    async def _partition(self, part: Slice) -> Partition | None:
        """Return the state of the slice's partition, or None if the slice must be dropped."""
        self._drop_stale()
        if self._finishing or not self._consumer.current(part.epoch):
            raise StaleEpochError
        state = self.partitions.get(part.tp)
        if state is None:
            state = self.partitions[part.tp] = await self._open(part)
        if state.braked or (state.void_fetch is not None and part.fetch <= state.void_fetch):
            return None
        # Contract 2: a slice begins where the one before it ended.
        if part.begin > state.expected:
            await self._rewind(state, part)
            return None
        if part.begin < state.expected and self._consumer.end(part.tp) < state.expected:
            self._end_for(part.tp, state)
            return None
        return state

    def _end_for(self, tp: TP, state: Partition) -> None:
        """End the worker, because the log is now shorter than the part that was read."""
        state.braked = True
        self._on_fatal(
            LpstreamError(
                f"{tp}: the log ends at offset {self._consumer.end(tp)}, but offset {state.expected} was next: the "
                "topic was deleted and created again, or truncated; the worker ends, so that it starts on the new log"
            )
        )

    def _drop_stale(self) -> None:
        # Contract 9: state belongs to one epoch.
        for tp, state in list(self.partitions.items()):
            if not self._consumer.owns(state.epoch):
                del self.partitions[tp]

    async def _open(self, part: Slice) -> Partition:
        async def find() -> tuple[int, int, Cut]:
            return await self._boundaries.find(part.tp, part.epoch)

        boundary, earliest, cut = await self._retry(part.epoch, "kafka", find)
        return Partition(part.epoch, boundary, earliest, cut, self._clock())

    async def _rewind(self, state: Partition, part: Slice) -> None:
        """Drop the open bucket and read again from the boundary, because offsets are missing."""
        log.warning("%s: got offset %d instead of %d: reading again", part.tp, part.begin, state.expected)
        await self._committed(state)
        state.drop_open()
        fresh = await self._open(part)
        if not self._consumer.owns(part.epoch):
            raise StaleEpochError
        self.partitions[part.tp] = fresh
        fresh.void_fetch = self._consumer.rewind(part.tp, fresh.expected)

    async def _take(self, state: Partition, part: Slice) -> None:
        state.void_fetch, state.taken_at = None, self._clock()
        records = part.records
        if part.begin < state.expected:
            records = [record for record in records if record.offset >= state.expected]
        if not records:
            state.expected = max(state.expected, part.next)
            return
        state.seen_ms = records[-1].timestamp
        new_work = state.new_work or await self._prepare(state, part)
        while records:
            await self._room(state)
            if state.bucket is None:
                records = records[state.cut.passed(records) :]
                if not records:
                    break
                state.bucket = self._new_bucket(state, part, records[0], new_work(records[0].timestamp))
            bucket = state.bucket
            if taken := bucket.take(part, records):
                records = records[taken:]
                state.expected = bucket.last + 1
                if bucket.work.braked():
                    self._brake(state, bucket)
                    return
            else:
                await self._committed(state)
                if self._finishing:
                    raise StaleEpochError
                self._start_flush(state, bucket)
        state.expected = max(state.expected, part.next)

    async def _room(self, state: Partition) -> None:
        """Wait while all buckets hold too much memory. If none is being stored, the oldest may grow."""
        while self._held() > self._most_held and not self._may_grow(state):
            state.waiting = True
            await self._pause(state.epoch, ROOM_POLL_S)
            if self._finishing or not self._consumer.owns(state.epoch):
                raise StaleEpochError
        state.waiting = False

    def _held(self) -> int:
        open_works = [state.bucket.work for state in self.partitions.values() if state.bucket]
        storing = [state.storing_work for state in self.partitions.values() if state.storing_work]
        return sum(work.held() for work in (*open_works, *storing))

    def _may_grow(self, state: Partition) -> bool:
        if state.bucket is None or any(other.storing for other in self.partitions.values()):
            return False
        still_since = self._clock() - STILL_S
        growing = (other for other in self.partitions.values() if other.waiting or other.taken_at > still_since)
        return state.bucket.opened_at <= min(other.bucket.opened_at for other in growing if other.bucket)

    async def _prepare(self, state: Partition, part: Slice) -> Callable[[int], BucketWork]:
        async def open_work() -> Callable[[int], BucketWork]:
            return await self._open_work(part, state.boundary, state.earliest)

        new_work: Callable[[int], BucketWork] = await self._retry(part.epoch, "kafka", open_work)
        state.new_work = new_work
        return new_work

    def _new_bucket(self, state: Partition, part: Slice, head: Any, work: BucketWork) -> Bucket:
        index = state.cut.bucket_of(head.timestamp, part.tp.partition)
        return Bucket(part.tp, state.cut, index, state.boundary, head.offset, head.timestamp, work, self._clock())

    def _start_flush(self, state: Partition, bucket: Bucket) -> None:
        state.bucket, state.boundary, state.cut = None, bucket.last + 1, self._cut
        state.storing_work = bucket.work
        state.flush = asyncio.create_task(self._flush(state, bucket))

    def _brake(self, state: Partition, bucket: Bucket) -> None:
        """Pause the partition and drop its open bucket, because too many records are rejected."""
        state.braked = True
        state.drop_open()
        self._consumer.brake({bucket.tp})
        log.error("%s: too many records are rejected; paused at offset %d", bucket.tp, bucket.first)

    async def _committed(self, state: Partition) -> None:
        """Wait until the partition's bucket is stored. Raise StaleEpochError if the epoch has ended."""
        if state.flush is None:
            return
        done = await state.flush
        state.flush = None
        if not done:
            raise StaleEpochError

    async def settle(self) -> None:
        """Wait for all buckets that are being stored."""
        for state in list(self.partitions.values()):
            try:
                await self._committed(state)
            except StaleEpochError:
                self._drop_stale()

    async def finish(self, within_s: float) -> int:
        """Finish the buckets that are being stored and start no other. Return how many were not in time.

        After `within_s` seconds the others are cancelled: the partition's next owner stores them again.
        """
        # Contract 10: finish the work that has begun, and begin no other.
        self._finishing = True
        flushes = {state.flush for state in self.partitions.values() if state.storing and state.flush}
        _, late = await asyncio.wait(flushes, timeout=within_s) if flushes else (None, set())
        await self.close()
        return len(late)

    async def close(self) -> None:
        """Cancel the buckets that are being stored. The partition's next owner stores them again."""
        self._finishing = True
        flushes = [state.flush for state in self.partitions.values() if state.flush is not None]
        for flush in flushes:
            flush.cancel()
        await asyncio.gather(*flushes, return_exceptions=True)

    async def _flush(self, state: Partition, bucket: Bucket) -> bool:
        """Store the bucket, then commit its end. Return False if the epoch ended first."""
        async with self._slots:
            if self._finishing:
                return False
            started = self._clock()
            try:
                await self._store(state, bucket)
            except StaleEpochError:
                return False
            except Exception as error:  # noqa: BLE001 - a bug: unless the worker ends, the partition stands still
                self._on_fatal(error)
                return False
            finally:
                state.storing_work = None
        metrics.BUCKETS.inc()
        metrics.FLUSH_SECONDS.observe(self._clock() - started)
        return True

    async def _store(self, state: Partition, bucket: Bucket) -> None:
        async def retry(store: str, call: Callable[[], Awaitable[Any]]) -> Any:
            return await self._retry(state.epoch, store, call)

        # Contract 6: the commit comes after all tables.
        await bucket.work.store(bucket, retry)
        await self._retry(
            state.epoch, "kafka", lambda: self._boundaries.commit(bucket.tp, bucket.last + 1, state.epoch)
        )
        state.committed_at = self._clock()

    async def _retry(self, epoch: int, store: str, call: Callable[[], Awaitable[Any]]) -> Any:
        """Repeat the call until it succeeds; return its result. Raise StaleEpochError if the epoch ends."""
        pause = FIRST_PAUSE_S
        while True:
            if not self._consumer.owns(epoch):
                raise StaleEpochError
            try:
                return await call()
            except StaleEpochError:
                raise
            except LpstreamError as error:
                level = logging.WARNING if isinstance(error, Retryable) else logging.ERROR
                log.log(level, "%s, again in %.1f s: %s", store, pause, error)
            except Exception:
                # Contract 11. If an exception left the loop, Faust would start a second agent and lose events.
                log.exception("%s, again in %.1f s", store, pause)
            metrics.RETRIES.labels(store).inc()
            await self._pause(epoch, pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)

    async def _pause(self, epoch: int, seconds: float) -> None:
        """Sleep, but wake early when the epoch ends, so that a rebalance never waits for this worker."""
        until = self._clock() + seconds
        while self._consumer.owns(epoch) and (left := until - self._clock()) > 0:
            await self._sleep(min(left, FIRST_PAUSE_S))

    # -- by the clock ----------------------------------------------------------------------------------

    def overdue(self) -> list[Bucket]:
        """Return open buckets that need a tick to end. A bucket is returned again after `skew_s` seconds.

        A tick does not help while the partition stores a bucket or waits for memory, so these are left out.
        """
        if self._finishing:
            return []
        now = self._clock()
        due = []
        for state in self.partitions.values():
            bucket = state.bucket
            if bucket and not state.storing and not state.waiting and bucket.overdue(now, self._skew_s):
                bucket.ticked_at = now
                due.append(bucket)
        return due

    def commit_quiet(self) -> None:
        """Commit the read position of each partition that is idle and has not committed for a minute.

        No bucket begins in the offsets that were passed, so this does not move a cut.
        """
        now = self._clock()
        for tp, state in self.partitions.items():
            idle = state.bucket is None and not state.storing and not state.braked
            # A first bucket with another cut may be stored in part: only its own commit moves the boundary.
            passed = state.expected > state.boundary and state.cut == self._cut
            if not idle or not passed or now - state.committed_at < QUIET_S:
                continue
            if state.new_work is not None and state.seen_ms is not None:
                work = state.new_work(state.seen_ms)
                empty = Bucket(tp, self._cut, 0, state.boundary, state.boundary, state.seen_ms, work, now)
                empty.last = state.expected - 1
                self._start_flush(state, empty)

    def open_for_s(self) -> float:
        """Return the age of the oldest open bucket in seconds, or 0 if no bucket is open."""
        now = self._clock()
        return max((now - state.bucket.opened_at for state in self.partitions.values() if state.bucket), default=0.0)
