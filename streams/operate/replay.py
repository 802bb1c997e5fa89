"""The reader of the log for a rebuild, outside any consumer group."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from infra.kafka import admin
from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Fetched, Reader
from infra.kafka.skips import skip_past
from infra.writer_schemas import WriterSchemas
from schemas.codec import BEACON
from schemas.errors import Retryable
from schemas.heatmap import TOPIC

log = logging.getLogger(__name__)

FETCH_S = 0.25
PARTITION_BYTES = 2 * 2**20
PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0


async def patiently(store: str, call: Callable[[], Awaitable[Any]]) -> Any:
    """Return the result of the call, and repeat it as long as the store is unavailable."""
    pause = PAUSE_S
    while True:
        try:
            return await call()
        except Retryable as error:
            log.warning("%s, again in %.1f s: %s", store, pause, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_S)


class Log:
    """The topic `heatmap.events` from its first record on, outside any group."""

    def __init__(
        self, servers: str, consumer: AIOKafkaConsumer, begins: dict[TopicPartition, int], writers: WriterSchemas
    ) -> None:
        self._servers = servers
        self._writers = writers
        self.consumer = consumer
        self.begins = begins
        self.positions = dict(begins)
        self.first_ms: dict[TopicPartition, int] = {}
        self.last_ms: dict[TopicPartition, int] = {}
        self._reader = Reader(consumer, lean=True)

    @classmethod
    async def open(cls, servers: str, writers: WriterSchemas) -> "Log":
        """Return the log at its first record. Raise Retryable if the brokers do not answer.

        `writers` has the schemas of framed Avro.
        """
        places = await admin.partitions_of(servers, TOPIC)
        consumer = build_consumer(
            servers, auto_offset_reset="none", max_partition_fetch_bytes=PARTITION_BYTES, fetch_max_wait_ms=100
        )
        try:
            await consumer.start()
            consumer.assign(places)
            begins = await consumer.beginning_offsets(places)
            opened = cls(servers, consumer, begins, writers)
            for place, begin in begins.items():
                opened._reader.seek(place, begin)
        except KafkaError as error:
            await consumer.stop()
            raise Retryable(f"Kafka: {type(error).__name__}: {error}") from error
        return opened

    async def ends(self) -> dict[TopicPartition, int]:
        """Return the offset after the last committed record of each partition."""
        ends: dict[TopicPartition, int] = await self.consumer.end_offsets(list(self.begins))
        return ends

    def left(self, until: Mapping[TopicPartition, int]) -> int:
        """Return the number of offsets that are not read yet before `until`."""
        return sum(max(0, end - self.positions[place]) for place, end in until.items())

    async def fetch(self, until: Mapping[TopicPartition, int]) -> dict[TopicPartition, Fetched]:
        """Fetch once from the partitions that are not read up to `until`. Return records before `until`.

        Raise Refused if a batch cannot be read and has no skip letter, Retryable if retention has deleted records that
        were not read yet.
        """
        behind = [place for place, end in until.items() if self.positions[place] < end]
        if not behind:
            return {}
        try:
            fetched = await self._reader.fetch(FETCH_S, behind)
        except OffsetOutOfRangeError as error:
            raise Retryable(
                f"{TOPIC}: retention (retention.ms, retention.bytes) deleted its oldest records before they were read; "
                "run `lpstream rebuild` again"
            ) from error
        if self._reader.unreadable:
            await skip_past(self._reader, self._servers)
        values = [record.value for part in fetched.values() for record in part.records]
        await patiently("schema registry", partial(self._writers.learn, BEACON, values))
        return {place: self._taken(place, part, until[place]) for place, part in fetched.items()}

    def _taken(self, place: TopicPartition, part: Fetched, end: int) -> Fetched:
        if part.next > end:
            part = Fetched(part.begin, [record for record in part.records if record.offset < end], end)
            self._reader.seek(place, end)
        self.positions[place] = part.next
        if part.records:
            self.first_ms.setdefault(place, part.records[0].timestamp)
            self.last_ms[place] = part.records[-1].timestamp
        return part
