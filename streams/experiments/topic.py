"""Reads of `lp.experiments`, outside any group: every reader reads the whole topic."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Reader, stretch
from infra.kafka.skips import pass_over
from processors.experiments.known import Known, Taken
from schemas.errors import DecodeError, Retryable
from schemas.experiments import EXPERIMENTS, ExperimentState

log = logging.getLogger(__name__)

FETCH_WAIT_MS = 100  # short, because each partition is read to its end; long, because the optimizer reads for ever


class TopicReader:
    """A reader that has read the topic to its end, and goes on from there."""

    def __init__(self, reader: Reader, known: Known) -> None:
        self._reader = reader
        self.known = known

    async def more(self, timeout_s: float) -> list[Taken]:
        """Return the records that have come. Wait up to `timeout_s` seconds for them."""
        taken = [
            each
            for part in (await self._reader.fetch(timeout_s)).values()
            for record in part.records
            if (each := _take(self.known, record.key, record.value)) is not None
        ]
        if self._reader.unreadable:
            await pass_over(self._reader)
        return taken


@asynccontextmanager
async def read_topic(bootstrap: str) -> AsyncIterator[TopicReader]:
    """Read the topic to its end, and yield the reader. Raise Retryable if Kafka does not answer."""
    known = Known()
    async with _read(bootstrap, lambda record: _take(known, record.key, record.value)) as reader:
        yield TopicReader(reader, known)


async def read_states(bootstrap: str) -> list[ExperimentState]:
    """Return the newest state of each page. Raise Retryable or Refused if the topic cannot be read.

    Only the last record of each key is decoded: before compaction the log has many states of a page.
    """
    newest: dict[bytes, bytes] = {}
    async with _read(bootstrap, lambda record: newest.update({record.key or b"": record.value or b""})):
        known = Known()
    for key, value in newest.items():
        _take(known, key, value)
    return list(known.states.values())


@asynccontextmanager
async def _read(bootstrap: str, take: Callable[[ConsumerRecord], object]) -> AsyncIterator[Reader]:
    """Pass each record up to the end to `take`, then yield a reader that stands there."""
    consumer = build_consumer(bootstrap, fetch_max_wait_ms=FETCH_WAIT_MS)
    try:
        await consumer.start()
        places = await partitions_of(bootstrap, EXPERIMENTS)
        consumer.assign(places)
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        reader = Reader(consumer)
        for tp in places:
            async for records in stretch(reader, tp, begins[tp], ends[tp], pass_over):
                for record in records:
                    take(record)
        for tp in places:
            reader.seek(tp, ends[tp])
        yield reader
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}: {error}") from error
    finally:
        await consumer.stop()


def _take(known: Known, key: bytes | None, value: bytes | None) -> Taken | None:
    try:
        return known.take(key, value)
    except DecodeError as error:
        log.warning("%s: the record %r is not used: %s", EXPERIMENTS, key, error)
        return None
