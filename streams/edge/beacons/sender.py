"""The sender of records to Kafka, of a bounded number. Each is acknowledged or reported as failed."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable
from functools import partial

from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from msgspec import Struct

from infra.kafka.coalescing import BATCH_BYTES, CoalescingProducer, Headers, Outcome, is_refused
from infra.kafka.producer import build_producer, partition_of
from schemas.heatmap import TOPIC as BEACONS
from streams.edge.http.errors import HttpError
from streams.runtime import metrics
from streams.runtime.settings import Settings

# No visitor waits for the answer to a beacon. At 1,000 beacons/s the edge and the broker need a fifth less processor
# time than with 5 ms; 50 ms saved little more (docs/performance.md).
BEACONS_GATHER_S = 0.02
KAFKA_ERROR, RETRIABLE_KAFKA_ERROR, FORBIDDEN, NO_PARTITION = 50002, 50003, 40301, 40402


class Record(Struct, frozen=True):
    """A record to send. `place_by` chooses the partition if `partition` is None."""

    value: bytes | None
    key: bytes | None
    place_by: bytes | None
    partition: int | None
    headers: Headers | None = None

    @property
    def size(self) -> int:
        """The number of bytes of key and value together."""
        return len(self.value or b"") + len(self.key or b"")


class Sent(Struct, frozen=True):
    """The partition and offset of a record, or an error code and message, as the REST proxy answers them."""

    partition: int | None
    offset: int | None
    error_code: int | None = None
    error: str | None = None


class Sender:
    """A producer with a limit on unacknowledged records.

    Each topic has its own limit, so that beacons cannot block generation requests. Without a limit, a broker that
    returns after an outage gets more records than it can take, and never catches up.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = CoalescingProducer(
            lambda: build_producer(
                settings.kafka_bootstrap_servers, settings.broker, linger_ms=0, batch_bytes=BATCH_BYTES
            ),
            settings.produce_timeout_s,
            {BEACONS: BEACONS_GATHER_S},
        )
        self._turn = itertools.count()
        self._waiting: Counter[str] = Counter()
        self.ready = False

    @property
    def in_flight(self) -> int:
        """The number of records that are not acknowledged yet."""
        return self._waiting.total()

    async def start(self) -> None:
        """Connect and wait until the broker answers."""
        await self._producer.start()
        self.ready = True

    async def stop(self) -> None:
        """Send all waiting records, then close the connection."""
        if self.ready:
            self.ready = False
            await self._producer.stop()

    async def partitions(self, topic: str) -> int:
        """Return the topic's number of partitions. Raise HttpError 503 if the broker does not answer in time."""
        try:
            return await self._producer.partitions(topic)
        except (KafkaError, TimeoutError) as error:
            raise HttpError(503, "The broker does not answer, try again") from error

    def knows(self, topic: str) -> bool:
        """Return whether the topic's number of partitions is known, which `send_one` needs."""
        return self._producer.known_partitions(topic) > 0

    async def send(self, topic: str, records: list[Record]) -> list[Sent]:
        """Send all records and wait for each. Raise HttpError 503 before the first if too many records wait."""
        self._take_room(topic, len(records))
        try:
            count = await self.partitions(topic)
            turn = next(self._turn)
            places = [_place(record, count, turn) for record in records]
            # all are started before the first wait, so that a request's records stay together and in order
            started = [self._future(topic, record, place, count) for record, place in zip(records, places, strict=True)]
            results = [await future for future in started]
            metrics.acknowledged_counter(topic).inc(sum(sent.error_code is None for sent in results))
            return results
        finally:
            self._waiting[topic] -= len(records)

    def send_one(self, topic: str, record: Record, done: Callable[[Sent], None]) -> None:
        """Send a record; call `done` with its result. Raise HttpError 503 if too many records wait."""
        self._take_room(topic, 1)
        count = self._producer.known_partitions(topic)

        def settle(sent: Sent) -> None:
            self._waiting[topic] -= 1
            if sent.error_code is None:
                metrics.acknowledged_counter(topic).inc()
            done(sent)

        self._start(topic, record, _place(record, count, 0), count, settle)

    def _future(self, topic: str, record: Record, place: int, partitions: int) -> asyncio.Future[Sent]:
        future: asyncio.Future[Sent] = asyncio.get_running_loop().create_future()

        def settle(sent: Sent) -> None:
            if not future.done():
                future.set_result(sent)

        self._start(topic, record, place, partitions, settle)
        return future

    def _take_room(self, topic: str, count: int) -> None:
        if count > (most := self._settings.edge_max_in_flight):
            raise HttpError(413, f"records: the request has {count}; send at most {most} at once")
        if self._waiting[topic] + count > self._settings.edge_max_in_flight:
            metrics.REFUSED.labels("in_flight").inc()
            raise HttpError(503, "Too many records are waiting for the broker, try again")
        self._waiting[topic] += count

    def _start(self, topic: str, record: Record, place: int, partitions: int, done: Callable[[Sent], None]) -> None:
        if not 0 <= place < partitions:
            return done(Sent(None, None, NO_PARTITION, "Partition not found."))
        if record.size > self._settings.edge_max_record_bytes:
            most = self._settings.edge_max_record_bytes
            return done(Sent(None, None, KAFKA_ERROR, f"The record is larger than {most} bytes."))
        report = partial(_report, done, place)
        return self._producer.send(topic, place, record.key, record.value, report, record.headers)


def _report(done: Callable[[Sent], None], partition: int, outcome: Outcome) -> None:
    """Call `done` with the producer's outcome as a result of the REST proxy."""
    if isinstance(outcome, int):
        done(Sent(partition, outcome))
    elif isinstance(outcome, TopicAuthorizationFailedError):
        done(Sent(None, None, FORBIDDEN, "The edge may not write to this topic."))
    else:
        code = KAFKA_ERROR if is_refused(outcome) else RETRIABLE_KAFKA_ERROR
        done(Sent(None, None, code, f"Kafka: {type(outcome).__name__}"))


def _place(record: Record, partitions: int, turn: int) -> int:
    """Return the given partition, else the key's, else one that all records of this request share."""
    if record.partition is not None:
        return record.partition
    if record.place_by is not None:
        return partition_of(record.place_by, partitions)
    return turn % partitions
