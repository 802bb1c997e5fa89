"""The slice transport: Faust, handed many records of a partition as one message.

Faust spends 80 to 160 µs on every message whatever it holds. This driver, registered in `pyproject.toml`
at Faust's entry point `faust.transports` for broker URLs `lpstream://`, makes one message of consecutive
records.
What Faust keeps of acknowledgements does not fit slices (it would commit inside a bucket), so commits are
ours: nothing but a boundary that `complete` was given can ever be committed.
"""

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import faust
from aiokafka.errors import KafkaError
from faust.transport.consumer import notify
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage, Message

from processors.windows import bucket_of

log = logging.getLogger(__name__)

LOG_APPEND_TIME = 1
# The broker gathers for a moment, unless there is much: a slice costs a millisecond and more, whatever it holds.
FETCH_BYTES, FETCH_WAIT_MS = 262_144, 250
# in the metadata of every commit of ours: offsets that someone else has set do not carry it
MARK = "lpstream"


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive records of one partition, from one fetch (by number), with one ⌊timestamp / 5 s⌋."""

    tp: TP
    epoch: int
    fetch: int
    bucket: int
    records: list[Any]

    @property
    def first(self) -> int:
        """Offset of the first record."""
        return int(self.records[0].offset)

    @property
    def last(self) -> int:
        """Offset of the last record."""
        return int(self.records[-1].offset)


def cut(tp: TP, epoch: int, fetch: int, records: list[Any]) -> Iterator[Slice]:
    """Slices of one partition's fetched records, in order."""
    start = 0
    bucket = bucket_of(records[0].timestamp, tp.partition)
    if records[0].timestamp_type == LOG_APPEND_TIME and bucket_of(records[-1].timestamp, tp.partition) == bucket:
        yield Slice(tp, epoch, fetch, bucket, records)  # the broker's times only grow
        return
    for index, record in enumerate(records):
        if (this := bucket_of(record.timestamp, tp.partition)) != bucket:
            yield Slice(tp, epoch, fetch, bucket, records[start:index])
            start, bucket = index, this
    yield Slice(tp, epoch, fetch, bucket, records[start:])


class PassThrough(faust.Schema):  # type: ignore[misc]  # faust publishes no types
    """Keeps Faust's codecs away from slices."""

    def loads_key(self, app: Any, message: Message, **_: Any) -> Any:
        """The key as it is."""
        return message.key

    def loads_value(self, app: Any, message: Message, **_: Any) -> Any:
        """The value as it is: a Slice."""
        return message.value


class ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the aiokafka consumer; a failed commit is said, and does not end the worker."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no settings for these, and aiokafka reads them when the consumer starts
        consumer._fetch_min_bytes, consumer._fetch_max_wait_ms = FETCH_BYTES, FETCH_WAIT_MS
        return consumer

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        wanted = {
            driver.ensure_aiokafka_TP(tp): driver.OffsetAndMetadata(offset, MARK)
            for tp, offset in offsets.items()
            if tp in self.assignment()
        }
        if not wanted:
            return False
        try:
            await self._ensure_consumer().commit(wanted)
        except KafkaError as error:
            log.warning("commit refused, it will be tried again: %s", type(error).__name__)
            return False
        return True

    async def committed(self, tp: TP) -> int | None:
        """The partition's committed offset by the broker, None before the first commit."""
        consumer = self._ensure_consumer()
        found = await self.call_thread(consumer.committed, driver.ensure_aiokafka_TP(tp))
        return cast("int | None", found)

    async def earliest(self, tp: TP) -> int:
        """The partition's first offset that still exists."""
        wanted = driver.ensure_aiokafka_TP(tp)
        found = await self.call_thread(self._ensure_consumer().beginning_offsets, [wanted])
        return int(found[wanted])


class NoReadOffsets(dict[TP, int | None]):
    """Faust's note of what it last read, switched off.

    It would drop what is read again after a rewind; the delivery sees whether slices follow each other.
    """

    def __getitem__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        """Nothing is kept."""


class Consumer(driver.Consumer):  # type: ignore[misc]
    """Hands out slices, and commits only boundaries.

    `epoch` counts revocations and assignments: what was read in an older one is void.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.epoch = 0
        self._fetch = 0
        self._rewinds: dict[TP, int] = {}
        self._unread: set[TP] = set()
        self._read_offset = NoReadOffsets()
        self._boundaries: dict[TP, int] = {}
        self._committed_boundaries: dict[TP, int] = {}

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- reading ---------------------------------------------------------------------------------------

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """One fetch as slices; flow and epoch are looked at again before every slice."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        epoch = self.epoch
        while (self._unread or self._rewinds) and self.current(epoch):
            await self._seek()
        self._fetch += 1
        records, active = await self._wait_next_records(timeout)
        if not records or self.should_stop:
            return
        # a fetch may go on over a rebalance; what is then not handed out must be read again in the new epoch
        self._unread.update(records)
        for tp, part in self._slices(records, epoch, self._fetch):
            if not self.current(epoch):
                return
            if active is None or tp in active or tp in self._buffered_partitions:
                self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
                yield tp, self._message(part)
        self._unread.clear()

    async def _seek(self) -> None:
        """Seek between two fetches, so that a fetch's number says whether it knows of a rewind."""
        try:
            for tp in self._unread & self.assignment():
                self._rewinds.setdefault(tp, max(await self.committed(tp) or 0, await self.earliest(tp)))
            self._unread.clear()
            for tp, offset in list(self._rewinds.items()):
                await self._thread.seek_wait({tp: offset})
                if self._rewinds.get(tp) == offset:
                    del self._rewinds[tp]
        except (KafkaError, TimeoutError) as error:
            log.warning("could not seek, trying again: %r", error)
            await self.sleep(0.1)

    def _slices(self, records: Mapping[TP, list[Any]], epoch: int, fetch: int) -> Iterator[tuple[TP, Slice]]:
        waiting = [(tp, cut(tp, epoch, fetch, part)) for tp, part in records.items() if part]
        while waiting:
            following = []
            for tp, parts in waiting:
                if (part := next(parts, None)) is not None:
                    yield tp, part
                    following.append((tp, parts))
            waiting = following

    def _message(self, part: Slice) -> ConsumerMessage:
        head = part.records[0]
        return ConsumerMessage(
            part.tp.topic,
            part.tp.partition,
            part.last,
            head.timestamp / 1000.0,
            head.timestamp_type,
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
        """Whether what was read in that epoch still counts."""
        return epoch == self.epoch and self.flow_active and not self.should_stop

    def complete(self, tp: TP, next_offset: int, epoch: int) -> bool:
        """Note that all before `next_offset` is in the stores; False when the epoch is over."""
        if not self.current(epoch):
            return False
        self._boundaries[tp] = next_offset
        return True

    async def commit_boundary(self, tp: TP) -> bool:
        """Commit the partition's boundary now; False when the broker has not taken it."""
        boundary = self._boundaries.get(tp)
        # a commit that another caller has begun may have looked before this boundary was noted
        for _ in range(2):
            if boundary is None or self._committed_boundaries.get(tp) == boundary:
                break
            await self.commit({tp})
        return boundary is not None and self._committed_boundaries.get(tp) == boundary

    def ack(self, message: Message) -> bool:
        """Mark a slice as received, so that a rebalance never waits for an open bucket."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        return True

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: boundaries know no gaps."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._boundaries) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._boundaries.get(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        return self._committed_boundaries.get(tp) != offset

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        if not await self._thread.commit(offsets):
            return False
        self._committed_boundaries.update(offsets)
        return True

    # -- the group -------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self.epoch += 1
        self._rewinds.clear()
        self._boundaries.clear()
        self._committed_boundaries.clear()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget boundaries before Faust looks for something to commit."""
        self._forget()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin a new epoch with what is assigned."""
        self._forget()
        await super().on_partitions_assigned(assigned, generation_id)

    async def committed(self, tp: TP) -> int | None:
        """The partition's committed offset by the broker, None before the first commit."""
        return await cast(ConsumerThread, self._thread).committed(tp)

    async def earliest(self, tp: TP) -> int:
        """The partition's first offset that still exists."""
        return await cast(ConsumerThread, self._thread).earliest(tp)

    def rewind(self, tp: TP, offset: int) -> int:
        """Have the partition read again from `offset`; every fetch after the returned number does so."""
        self._rewinds[tp] = offset
        return self._fetch

    def brake(self, tps: Iterable[TP]) -> None:
        """Stop reading partitions until the next assignment."""
        self.pause_partitions(tps)


class Transport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with our consumer."""

    Consumer = Consumer
