"""Records to Kafka: bounded in number, acknowledged or reported, never silently dropped."""

import asyncio
from dataclasses import dataclass

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from infra.kafka.producer import build_producer, partition_of
from streams import metrics
from streams.edge.errors import HttpError
from streams.settings import Settings

KAFKA_ERROR, RETRIABLE_KAFKA_ERROR = 50002, 50003


@dataclass(frozen=True, slots=True)
class Record:
    """What is to be sent. `place_by` chooses the partition when none is given."""

    value: bytes | None
    key: bytes | None
    place_by: bytes | None
    partition: int | None


@dataclass(frozen=True, slots=True)
class Sent:
    """Where a record lies, or why not: an error code of the REST proxy."""

    partition: int | None
    offset: int | None
    error_code: int | None = None
    error: str | None = None


class Sender:
    """The producer with a bound on what is not acknowledged yet.

    Without the bound a broker's return after an outage finds more than it can take, and never catches up.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer: AIOKafkaProducer
        self._in_flight = 0
        self.ready = False

    async def start(self) -> None:
        """Connect; returns when the broker answers."""
        self._producer = build_producer(self._settings.kafka_bootstrap_servers, self._settings.broker)
        await self._producer.start()
        self.ready = True

    async def stop(self) -> None:
        """Bring out what is on its way."""
        if self.ready:
            self.ready = False
            await self._producer.stop()

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        found = await self._producer.partitions_for(topic)
        return len(found)

    async def send(self, topic: str, records: list[Record]) -> list[Sent]:
        """Send all and wait for each; HttpError 503 before the first when there is no room for the batch."""
        if self._in_flight + len(records) > self._settings.edge_max_in_flight:
            metrics.REFUSED.labels("in_flight").inc()
            raise HttpError(503, "Too many records are waiting for the broker, try again")
        self._in_flight += len(records)
        metrics.IN_FLIGHT.set(self._in_flight)
        try:
            async with asyncio.timeout(self._settings.produce_timeout_s):
                count = await self.partitions(topic)
            return list(await asyncio.gather(*(self._send_one(topic, record, count) for record in records)))
        except (KafkaError, TimeoutError) as error:
            raise HttpError(503, "The broker does not answer, try again") from error
        finally:
            self._in_flight -= len(records)
            metrics.IN_FLIGHT.set(self._in_flight)

    async def _send_one(self, topic: str, record: Record, partitions: int) -> Sent:
        place = record.partition
        if place is None and record.place_by is not None:
            place = partition_of(record.place_by, partitions)
        if place is not None and not 0 <= place < partitions:
            return Sent(None, None, 40402, "Partition not found.")
        try:
            async with asyncio.timeout(self._settings.produce_timeout_s):
                done = await self._producer.send_and_wait(topic, record.value, key=record.key, partition=place)
        except MessageSizeTooLargeError:
            return Sent(None, None, KAFKA_ERROR, "The record is larger than the broker takes.")
        except (KafkaError, TimeoutError) as error:
            return Sent(None, None, RETRIABLE_KAFKA_ERROR, f"Kafka: {type(error).__name__}")
        metrics.ACKNOWLEDGED.labels(topic).inc()
        return Sent(done.partition, done.offset)
