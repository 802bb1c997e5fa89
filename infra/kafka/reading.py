"""Reads fetched records partition by partition, with the offsets that each fetch passed.

Offsets of a partition are not consecutive: transaction markers, aborted transactions and compaction leave holes.
Only the consumer knows that a hole holds no record, because it passed the hole within one fetch. So each answer names
the position before and after it.

A batch that cannot be read (bad checksum, unknown codec) stops its own partition. aiokafka's `getmany` would raise,
lose what it had read of other partitions, and pass over the records before the bad batch.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchError
from aiokafka.errors import ConsumerStoppedError, RecordTooLargeError
from aiokafka.structs import ConsumerRecord, TopicPartition

from schemas.errors import Retryable

IDLE_S = 5.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """Records of one partition from one fetch; between `begin` and `next` there are no others."""

    begin: int
    records: list[ConsumerRecord]
    next: int


@dataclass(frozen=True, slots=True)
class Unreadable:
    """The first offset of a partition that cannot be read, and the error."""

    offset: int
    reason: str


class Reader:
    """Takes fetched records from an aiokafka consumer, in the consumer's own event loop.

    `unreadable` holds the partitions that are stopped. It uses attributes of aiokafka that are not public;
    tests/unit/test_libraries.py checks that they exist.
    """

    def __init__(self, consumer: AIOKafkaConsumer) -> None:
        self.consumer = consumer
        self._careful: set[TopicPartition] = set()
        self._passed: dict[TopicPartition, int] = {}
        self.unreadable: dict[TopicPartition, Unreadable] = {}

    async def fetch(
        self, timeout_s: float, partitions: Collection[TopicPartition] = (), most: int | None = None
    ) -> dict[TopicPartition, Fetched]:
        """Return what is fetched of the partitions (none named: of all), at most `most` records of each.

        Waits up to `timeout_s` seconds for a fetch and returns an empty dict when none came. KafkaError when the
        consumer is stopped or may not read.
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
        """Continue at `offset`, also where the partition is stopped."""
        self._forget(tp)
        self.consumer.seek(tp, offset)

    def skip(self, tp: TopicPartition, next_offset: int) -> None:
        """Continue a stopped partition at `next_offset`; the next answer passes the offsets between."""
        stopped = self.unreadable[tp]
        self.seek(tp, next_offset)
        self._passed[tp] = stopped.offset

    def retry(self, tp: TopicPartition) -> None:
        """Fetch a stopped partition's batch once more: another replica may have it whole."""
        self.seek(tp, self.unreadable[tp].offset)

    def forget(self) -> None:
        """Forget all partitions: a new assignment begins, and aiokafka has forgotten its pauses."""
        self._careful.clear()
        self._passed.clear()
        self.unreadable.clear()

    def _forget(self, tp: TopicPartition) -> None:
        self._careful.discard(tp)
        self._passed.pop(tp, None)
        if self.unreadable.pop(tp, None) is not None:
            self.consumer.resume(tp)

    def _state(self, tp: TopicPartition) -> Any:
        """Where the partition stands by aiokafka; None when it is not assigned, or its position is not known yet."""
        subscription = self.consumer._fetcher._subscriptions.subscription
        assignment = subscription.assignment if subscription is not None else None
        state = assignment.state_value(tp) if assignment is not None else None
        return state if state is not None and state.has_valid_position else None

    def _take(self, partitions: Collection[TopicPartition], most: int | None) -> dict[TopicPartition, Fetched]:
        for tp, stopped in list(self.unreadable.items()):
            state = self._state(tp)
            if state is not None and state.position != stopped.offset:
                self._forget(tp)  # somebody has moved the consumer past the Reader
        taken = self._take_passed(partitions)
        for tp, result in list(self.consumer._fetcher._records.items()):
            state = self._state(tp)
            if state is None or state.paused:
                self._drop(tp)
            elif (partitions and tp not in partitions) or tp in taken:
                continue
            elif isinstance(result, FetchError):
                self._take_error(tp, state, result)
            elif (fetched := self._read(tp, state, result, most)) is not None:
                taken[tp] = fetched
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
        # a broker sends the first batch whole: its length is wrong. aiokafka has moved the position behind it by one
        offset = state.position - 1
        self.consumer.seek(tp, offset)
        self._stop(tp, offset, result._error)

    def _read(self, tp: TopicPartition, state: Any, result: Any, most: int | None) -> Fetched | None:
        begin, error, careful = state.position, None, tp in self._careful
        records: list[ConsumerRecord] = []
        try:
            if careful:
                while (record := result.getone()) is not None:
                    records.append(record)
                self._careful.discard(tp)
            else:
                records = result.getall(most)
        except Exception as failure:  # noqa: BLE001 - decoders raise what they like; the batch cannot be read
            error = failure
        if error is not None:
            # Go on at the bad batch. `getall` has lost what it read before it, `getone` has given each record.
            self.consumer.seek(tp, result._partition_records.next_fetch_offset if careful else begin)
            if careful and state.position == begin:
                self._stop(tp, begin, error)
            self._careful.add(tp)
        elif not result.has_more():
            self._drop(tp)
        return None if state.position == begin else Fetched(begin, records, state.position)

    def _drop(self, tp: TopicPartition) -> None:
        """Remove a result so that the fetcher asks for the next."""
        fetcher = self.consumer._fetcher
        del fetcher._records[tp]
        fetcher._notify(fetcher._wait_consume_future)

    def _stop(self, tp: TopicPartition, offset: int, error: Exception) -> None:
        self.consumer.pause(tp)
        self.unreadable[tp] = Unreadable(offset, f"{type(error).__name__}: {error}"[:300])


async def stretch(
    reader: Reader,
    tp: TopicPartition,
    start: int,
    end: int,
    when_stopped: Callable[[Reader], Awaitable[None]],
    idle_s: float = IDLE_S,
) -> AsyncIterator[list[ConsumerRecord]]:
    """Records from `start` to before `end`, a fetch at a time, never none; the partition is the consumer's own.

    `when_stopped` goes past what cannot be read, or raises. Retryable when nothing comes for `idle_s` seconds.
    """
    reader.seek(tp, start)
    at, heard = start, time.monotonic()
    while at < end:
        part = (await reader.fetch(idle_s, [tp])).get(tp)
        if part is not None:
            at, heard = part.next, time.monotonic()
            if records := [record for record in part.records if record.offset < end]:
                yield records
        elif reader.unreadable:
            await when_stopped(reader)
        elif time.monotonic() - heard >= idle_s:
            raise Retryable(f"Kafka: {tp.topic}[{tp.partition}] gave nothing from offset {at} on")
