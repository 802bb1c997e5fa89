"""A reader of fetched records by partition, with the position before and after each fetch.

Offsets of a partition are not consecutive: transaction markers, aborted transactions and compaction leave gaps. Only
the consumer knows that a gap holds no record, because it passed the gap within one fetch. So each answer holds the
position before and after it.

An unreadable batch (bad checksum, unknown codec) stops its own partition only. aiokafka's `getmany` raises, loses the
records of other partitions, and skips the records before the bad batch.

A hopeless batch is intact and cannot be parsed: it is oversized, or a header's name is not UTF-8. Anyone who may write
to the topic can send it, and no replica has a better copy. So the reader passes the rest of the batch, and notes it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from itertools import islice
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchError
from aiokafka.errors import ConsumerStoppedError, KafkaError, RecordTooLargeError
from aiokafka.structs import TopicPartition

from infra.kafka.inflating import MOST_FETCH_BYTES, MOST_FETCH_RECORDS, BoundedBatches, bound_codecs, inflated_bytes
from schemas.errors import Retryable

log = logging.getLogger(__name__)

IDLE_S = 5.0
MOST_NOTES = 1_000


@dataclass(frozen=True, slots=True)
class Fetched:
    """The records of one partition from one fetch: all records from `begin` to before `next`.

    The records are ConsumerRecords, or `lean` records of a Reader.
    """

    begin: int
    records: list[Any]
    next: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The first unreadable offset of a partition, and the error."""

    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Passed:
    """The offsets of hopeless batches, from `first` up to, but not including, `next`; and the error."""

    first: int
    next: int
    reason: str


class Reader:
    """A reader on an aiokafka consumer, in the consumer's own event loop.

    `unreadable` holds the stopped partitions, `hopeless` the last hopeless batches. `lean` records are those of
    aiokafka's parser, without topic and partition: to make a ConsumerRecord of each takes longer than to parse it. The
    reader uses private attributes of aiokafka; tests/unit/test_libraries.py checks that they exist.
    """

    def __init__(self, consumer: AIOKafkaConsumer, *, lean: bool = False) -> None:
        bound_codecs()
        self.consumer = consumer
        self._lean = lean
        self._passed: dict[TopicPartition, int] = {}
        self.unreadable: dict[TopicPartition, Unreadable] = {}
        self.hopeless: deque[tuple[TopicPartition, Passed]] = deque(maxlen=MOST_NOTES)

    async def fetch(
        self, timeout_s: float, partitions: Collection[TopicPartition] = (), most: int | None = None
    ) -> dict[TopicPartition, Fetched]:
        """Return the fetched records of the partitions (empty: all), at most `most` of each.

        Wait up to `timeout_s` seconds for a fetch, and return an empty dict if none comes. Raise KafkaError if the
        consumer is stopped or has no permission to read.
        """
        fetcher = self.consumer._fetcher
        if self.consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        self.consumer._coordinator.check_errors()
        with fetcher._subscriptions.fetch_context():
            if fetcher._subscriptions.reassignment_in_progress:
                await fetcher._subscriptions.wait_for_assignment()
            if fetched := self._take(partitions, most):
                return fetched
            waiter = fetcher._create_fetch_waiter()
            await asyncio.wait([waiter], timeout=timeout_s)
            if not waiter.done():
                waiter.cancel()
                return {}
            waiter.result()
            return {} if fetcher._closed else self._take(partitions, most)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Continue at `offset`, even if the partition is stopped."""
        self._forget(tp)
        self.consumer.seek(tp, offset)

    def skip(self, tp: TopicPartition, next_offset: int) -> None:
        """Continue a stopped partition at `next_offset`. The next answer covers the skipped offsets."""
        stopped = self.unreadable[tp]
        self.seek(tp, next_offset)
        self._passed[tp] = stopped.offset

    def retry(self, tp: TopicPartition) -> None:
        """Fetch a stopped partition's batch again, because another replica may have an intact copy."""
        self.seek(tp, self.unreadable[tp].offset)

    def forget(self) -> None:
        """Reset all partitions for a new assignment, for which aiokafka drops its pauses."""
        self._passed.clear()
        self.unreadable.clear()

    def _forget(self, tp: TopicPartition) -> None:
        self._passed.pop(tp, None)
        if self.unreadable.pop(tp, None) is not None:
            self.consumer.resume(tp)

    def _state(self, tp: TopicPartition) -> Any:
        """Return aiokafka's state of the partition; None without an assignment or a position."""
        subscription = self.consumer._fetcher._subscriptions.subscription
        assignment = subscription.assignment if subscription is not None else None
        state = assignment.state_value(tp) if assignment is not None else None
        return state if state is not None and state.has_valid_position else None

    def _take(self, partitions: Collection[TopicPartition], most: int | None) -> dict[TopicPartition, Fetched]:
        for tp, stopped in list(self.unreadable.items()):
            state = self._state(tp)
            if state is not None and state.position != stopped.offset:
                self._forget(tp)  # other code has moved the consumer
        taken = self._take_passed(partitions)
        begun, records = inflated_bytes(), 0
        for tp, result in list(self.consumer._fetcher._records.items()):
            if records >= MOST_FETCH_RECORDS or inflated_bytes() - begun >= MOST_FETCH_BYTES:
                break  # the next call takes the other partitions
            state = self._state(tp)
            if state is None or state.paused:
                self._drop(tp)
            elif (partitions and tp not in partitions) or tp in taken:
                continue
            elif isinstance(result, FetchError):
                self._take_error(tp, state, result)
            elif (fetched := self._read(tp, state, result, most)) is not None:
                taken[tp] = fetched
                records += len(fetched.records)
        return taken

    def _take_passed(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Fetched]:
        taken = {}
        for tp, begin in list(self._passed.items()):
            if (not partitions or tp in partitions) and (state := self._state(tp)) is not None:
                taken[tp] = Fetched(begin, [], state.position)
                del self._passed[tp]
        return taken

    def _take_error(self, tp: TopicPartition, state: Any, result: FetchError) -> None:
        self._drop(tp)
        if not isinstance(result._error, RecordTooLargeError):
            result.check_raise()
        # A broker sends the first batch whole, so its length is wrong. aiokafka has advanced the position by one.
        offset = state.position - 1
        self.consumer.seek(tp, offset)
        self._stop(tp, offset, result._error)

    def _read(self, tp: TopicPartition, state: Any, result: Any, most: int | None) -> Fetched | None:
        begin, records = state.position, list[Any]()
        if not result.has_more() or not result.check_assignment(tp):
            self._drop(tp)
            return None
        parsing = result._partition_records
        if not isinstance(parsing._records, BoundedBatches):
            parsing._records = BoundedBatches(parsing._records)
        if self._lean:
            parsing._consumer_record = _as_parsed
        error = self._parse(tp, parsing, records, most)
        result._update_position()
        if error is not None or most is None or len(records) < most:
            self._drop(tp)
        if error is not None and state.position == begin:
            self._stop(tp, begin, error)
        return None if state.position == begin else Fetched(begin, records, state.position)

    def _parse(self, tp: TopicPartition, parsing: Any, records: list[Any], most: int | None) -> Exception | None:
        """Append the records up to an unreadable batch, and return its error. Pass hopeless batches."""
        while True:
            try:
                # `extend` keeps the records before an error
                records.extend(islice(parsing, None if most is None else most - len(records)))
                return None
            except Exception as error:  # noqa: BLE001 - decoders raise any error
                batch = parsing._records.current
                # aiokafka's own errors: bad checksums and structures, unknown codecs
                corrupt = batch is None or isinstance(error, KafkaError | MemoryError)
                if corrupt or batch.next_offset <= parsing.next_fetch_offset:
                    return error
                self._note(tp, Passed(parsing.next_fetch_offset, batch.next_offset, _described(error)))
                parsing.next_fetch_offset = batch.next_offset
                parsing._records_iterator = parsing._unpack_records()

    def _note(self, tp: TopicPartition, passed: Passed) -> None:
        """Note a hopeless batch, together with the batch before it if that was hopeless too."""
        if self.hopeless and self.hopeless[-1][0] == tp and self.hopeless[-1][1].next == passed.first:
            before = self.hopeless.pop()[1]
            passed = Passed(before.first, passed.next, before.reason)
        else:
            log.warning("%s[%d] offset %d cannot be parsed and is passed: %s", *tp, passed.first, passed.reason)
        self.hopeless.append((tp, passed))

    def _drop(self, tp: TopicPartition) -> None:
        """Remove a result so that the fetcher requests the next."""
        fetcher = self.consumer._fetcher
        del fetcher._records[tp]
        fetcher._notify(fetcher._wait_consume_future)

    def _stop(self, tp: TopicPartition, offset: int, error: Exception) -> None:
        self.consumer.pause(tp)
        self.unreadable[tp] = Unreadable(offset, _described(error))


def _described(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _as_parsed(_tp: TopicPartition, record: Any) -> Any:
    return record


async def stretch(
    reader: Reader,
    tp: TopicPartition,
    start: int,
    end: int,
    when_stopped: Callable[[Reader], Awaitable[None]],
    idle_s: float = IDLE_S,
) -> AsyncIterator[list[Any]]:
    """Yield the records from `start` to before `end`, one non-empty fetch at a time.

    The partition must be assigned to the consumer. `when_stopped` skips an unreadable batch or raises. Records that
    retention deletes meanwhile are left out. Raise Retryable if no data comes for `idle_s` seconds, or if the log was
    created again.
    """
    reader.seek(tp, start)
    at, heard = start, time.monotonic()
    while at < end:
        part = (await reader.fetch(idle_s, [tp])).get(tp)
        if part is not None:
            if part.begin < at:
                raise Retryable(
                    f"Kafka: {tp.topic}[{tp.partition}] was created again: it begins at offset {part.begin}"
                )
            at, heard = part.next, time.monotonic()
            if records := [record for record in part.records if record.offset < end]:
                yield records
        elif reader.unreadable:
            await when_stopped(reader)
        elif time.monotonic() - heard >= idle_s:
            raise Retryable(f"Kafka: {tp.topic}[{tp.partition}] sent no data from offset {at} on for {idle_s:g} s")
