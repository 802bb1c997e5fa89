"""The slice transport: it hands Faust many records of a partition as one message.

Faust spends 80 to 160 µs on every message, whatever its size. This driver makes one message of consecutive records;
`streams/workers/app.py` registers it for broker URLs `lpstream://`. Faust's own acknowledgements do not fit slices:
they would commit inside a bucket. So only boundaries that were passed to `complete` are committed.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import faust
from aiokafka.errors import KafkaError
from faust.transport.consumer import notify
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message

from infra.kafka.reading import Fetched
from processors.heatmap.cuts import SLICES
from streams.transports.reading import ReadingThread

log = logging.getLogger(__name__)

LOG_APPEND_TIME = 1
# The broker waits this long for this many bytes: a slice costs at least a millisecond, whatever its size.
FETCH_BYTES, FETCH_WAIT_MS = 262_144, 250


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive records of one partition, from one fetch (by number) and one bucket of `SLICES`.

    The slice covers the offsets from `begin` to before `next`, also offsets without a record. A fetch that passed only
    such offsets gives a slice without records.
    """

    tp: TP
    epoch: int
    fetch: int
    bucket: int
    records: list[Any]
    begin: int
    next: int


def cut(tp: TP, epoch: int, fetch: int, fetched: Fetched) -> Iterator[Slice]:
    """Yield the slices of one partition's fetched records, in order."""
    records, begin = fetched.records, fetched.begin
    for bucket, start, end in _stretches(records, tp.partition):
        following = fetched.next if end == len(records) else records[end - 1].offset + 1
        yield Slice(
            tp, epoch, fetch, bucket, records[start:end] if end - start < len(records) else records, begin, following
        )
        begin = following
    if not records:
        yield Slice(tp, epoch, fetch, 0, records, begin, fetched.next)


def _stretches(records: list[Any], partition: int) -> Iterator[tuple[int, int, int]]:
    """Yield (bucket, start, end) for each run of records in the same bucket of `SLICES`."""
    if not records:
        return
    start, bucket = 0, SLICES.bucket_of(records[0].timestamp, partition)
    # The broker's times may go back, if a partition's new leader is a broker whose clock is behind.
    times = [record.timestamp for record in records]
    if SLICES.bucket_of(min(times), partition) != SLICES.bucket_of(max(times), partition):
        for index, time in enumerate(times):
            if (this := SLICES.bucket_of(time, partition)) != bucket:
                yield bucket, start, index
                start, bucket = index, this
    yield bucket, start, len(records)


class PassThrough(faust.Schema):  # type: ignore[misc]  # faust publishes no types
    """A schema that passes slices through, without Faust's codecs."""

    def loads_key(self, app: Any, message: Message, **_: Any) -> Any:
        """Return the key unchanged."""
        return message.key

    def loads_value(self, app: Any, message: Message, **_: Any) -> Any:
        """Return the value, a Slice, unchanged."""
        return message.value


class ConsumerThread(ReadingThread):
    """The thread that owns the aiokafka consumer. A failed commit is logged and does not end the worker."""

    lean = True

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no settings for these, and aiokafka reads them when the consumer starts.
        consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = FETCH_BYTES, FETCH_WAIT_MS
        return consumer

    def _answer(self, fetched: dict[TP, Fetched]) -> dict[TP, Any]:
        return fetched

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        commits = {
            driver.ensure_aiokafka_TP(tp): driver.OffsetAndMetadata(offset, self.consumer.metadata)
            for tp, offset in offsets.items()
            if tp in self.assignment()
        }
        if not commits:
            return False
        # Without this, Faust warns about partitions whose commits it has not seen.
        self.tp_last_committed_at.update(dict.fromkeys(offsets, time.monotonic()))
        try:
            await self._ensure_consumer().commit(commits)
        except KafkaError as error:
            log.warning("Kafka refused a commit, which will be retried: %s", type(error).__name__)
            return False
        return True

    async def committed(self, tp: TP) -> tuple[int, str] | None:
        """Return the committed offset and its metadata from the broker, or None before the first commit."""
        place = driver.ensure_aiokafka_TP(tp)
        coordinator = self._ensure_consumer()._coordinator
        commit = (await self.call_thread(coordinator.fetch_committed_offsets, [place])).get(place)
        return None if commit is None or commit.offset < 0 else (commit.offset, commit.metadata)

    async def earliest(self, tp: TP) -> int:
        """Return the partition's first offset that still exists."""
        place = driver.ensure_aiokafka_TP(tp)
        offsets = await self.call_thread(self._ensure_consumer().beginning_offsets, [place])
        return int(offsets[place])

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Continue partitions at other offsets, including stopped partitions."""
        await self.call_thread(self._seek_all, partitions)

    async def _seek_all(self, partitions: Mapping[TP, int]) -> None:
        for tp, offset in partitions.items():
            self.reader.seek(driver.ensure_aiokafka_TP(tp), offset)

    def position(self, tp: TP) -> int | None:
        """Return the offset that is fetched next, or None while it is unknown."""
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = subscription.assignment if subscription is not None else None
        if assignment is None or tp not in assignment.tps:
            return None
        state = assignment.state_value(driver.ensure_aiokafka_TP(tp))
        return state.position if state.has_valid_position else None


class NoReadOffsets(dict[TP, int | None]):
    """A replacement for Faust's dict of read offsets, which stores nothing.

    With that dict, Faust would drop records that are read again after a rewind. The delivery itself checks that slices
    are consecutive.
    """

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        """Store nothing."""


class Consumer(driver.Consumer):  # type: ignore[misc]
    """A consumer that yields slices and commits only boundaries.

    `epoch` counts revocations and assignments. Records that were read in an earlier epoch are invalid.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.metadata = ""  # of commits; the heatmap service sets it before the first commit
        self.epoch = 0
        self._fetch = 0
        self._rewinds: dict[TP, int] = {}
        self._unread: set[TP] = set()
        self._read_offset = NoReadOffsets()
        self._boundaries: dict[TP, int] = {}
        self._committed_boundaries: dict[TP, int] = {}
        self._committing = asyncio.Lock()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- reading ---------------------------------------------------------------------------------------

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Yield one fetch as slices. Check flow and epoch before every slice."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        epoch = self.epoch
        while (self._unread or self._rewinds) and self.current(epoch):
            await self._seek()
        self._fetch += 1
        fetched, active = await self._wait_next_records(timeout)
        if not fetched or self.should_stop:
            return
        # A fetch may span a rebalance. Slices that are then not yielded must be read again in the new epoch.
        self._unread.update(fetched)
        for tp, part in self._slices(fetched, epoch, self._fetch):
            if not self.current(epoch):
                return
            if active is None or tp in active or tp in self._buffered_partitions:
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                yield tp, self._message(part)
        self._unread.clear()

    async def _seek(self) -> None:
        """Seek between two fetches, so that a fetch's number tells whether it came after a rewind."""
        try:
            for tp in self._unread & self.assignment():
                committed = await self.committed(tp)
                self._rewinds.setdefault(tp, max(committed[0] if committed else 0, await self.earliest(tp)))
            self._unread.clear()
            for tp in self._rewinds.keys() - self.assignment():
                del self._rewinds[tp]
            for tp, offset in list(self._rewinds.items()):
                await self._thread.seek_wait({tp: offset})
                if self._rewinds.get(tp) == offset:
                    del self._rewinds[tp]
        except (KafkaError, TimeoutError) as error:
            log.warning("could not seek, again in 0.1 s: %r", error)
            await self.sleep(0.1)

    def _slices(self, fetched: Mapping[TP, Fetched], epoch: int, fetch: int) -> Iterator[tuple[TP, Slice]]:
        # aiokafka has its own type for partitions, which Faust refuses for partitions that it buffers
        waiting = [(TP(*tp), cut(TP(*tp), epoch, fetch, part)) for tp, part in fetched.items()]
        while waiting:
            following = []
            for tp, parts in waiting:
                if (part := next(parts, None)) is not None:
                    yield tp, part
                    following.append((tp, parts))
            waiting = following

    def _message(self, part: Slice) -> ConsumerMessage:
        return ConsumerMessage(
            part.tp.topic,
            part.tp.partition,
            part.next - 1,
            part.records[0].timestamp / 1000.0 if part.records else 0.0,
            LOG_APPEND_TIME,
            (),
            None,
            part,
            None,
            0,
            0,
            part.tp,
            generation_id=self.app.consumer_generation_id,
        )

    # -- commits are ours ------------------------------------------------------------------------------

    def current(self, epoch: int) -> bool:
        """Return whether the worker may still process records of the epoch: it owns them and runs."""
        return self.owns(epoch) and self.flow_active and not self.should_stop

    def owns(self, epoch: int) -> bool:
        """Return whether the partitions have had no rebalance since the epoch. A stopping worker owns them."""
        return epoch == self.epoch

    def complete(self, tp: TP, next_offset: int, epoch: int) -> bool:
        """Record that all records before `next_offset` are stored. Return False if the epoch has ended."""
        if not self.owns(epoch):
            return False
        self._boundaries[tp] = next_offset
        return True

    async def commit_boundary(self, tp: TP) -> bool:
        """Commit the partition's boundary now. Return False if the broker has not accepted it."""
        boundary = self._boundaries.get(tp)
        if boundary is not None and self._committed_boundaries.get(tp) != boundary:
            await self.commit()
        return boundary is not None and self._committed_boundaries.get(tp) == boundary

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Commit all boundaries that are not committed yet.

        Return False if there are none, or if the broker refused. Callers that wait for a commit under way are all
        served by the next one.
        """
        async with self._committing:
            epoch = self.epoch
            offsets = {tp: at for tp, at in self._boundaries.items() if self._committed_boundaries.get(tp) != at}
            if not offsets or not await self._thread.commit(offsets):
                return False
            if epoch == self.epoch:
                self._committed_boundaries.update(offsets)
            return True

    def ack(self, message: Message) -> bool:
        """Mark a slice as received, so that a rebalance never waits for an open bucket.

        Return False if it was already marked.
        """
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Do nothing: boundaries do not depend on gaps."""

    # -- the group -------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self.epoch += 1
        self._rewinds.clear()
        self._boundaries.clear()
        self._committed_boundaries.clear()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget boundaries before Faust looks for offsets to commit."""
        self._forget()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin a new epoch with the assigned partitions."""
        self._forget()
        await super().on_partitions_assigned(assigned, generation_id)

    async def committed(self, tp: TP) -> tuple[int, str] | None:
        """Return the committed offset and its metadata from the broker, or None before the first commit."""
        return await cast(ConsumerThread, self._thread).committed(tp)

    def committed_boundary(self, tp: TP) -> int | None:
        """Return this worker's last committed boundary, or None before its first commit in this assignment."""
        return self._committed_boundaries.get(tp)

    def fetch_position(self, tp: TP) -> int | None:
        """Return the offset that is fetched next, or None while it is unknown."""
        return cast(ConsumerThread, self._thread).position(tp)

    async def earliest(self, tp: TP) -> int:
        """Return the partition's first offset that still exists."""
        return await cast(ConsumerThread, self._thread).earliest(tp)

    def rewind(self, tp: TP, offset: int) -> int:
        """Read the partition again from `offset`. Return the number of the last fetch from before that."""
        self._rewinds[tp] = offset
        return self._fetch

    def end(self, tp: TP) -> int:
        """Return the offset after the log's last record, as of the last fetch."""
        return int(self.highwater(tp))

    def on_buffer_drop(self, tp: TP) -> None:
        """Fetch a held partition again, unless it is braked or no longer assigned."""
        if tp in self._paused_partitions or tp not in self.assignment():
            self._buffered_partitions.discard(tp)
        else:
            super().on_buffer_drop(tp)

    def brake(self, tps: Iterable[TP]) -> None:
        """Stop reading partitions until the next assignment."""
        self.pause_partitions(tps)


class Transport(driver.Transport):  # type: ignore[misc]
    """The transport that gives Faust our consumer of slices instead of its own aiokafka consumer."""

    Consumer = Consumer
