"""Reads of a range of one partition's log, outside any group."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Reader, stretch
from infra.kafka.skips import skip_past, start_at
from schemas.errors import Retryable

FETCH_WAIT_MS = 20


async def read_back(
    bootstrap: str, topic: str, partition: int, since_ms: int, end_offset: int
) -> AsyncIterator[list[Any]]:
    """Yield lean records with time >= `since_ms` and offset < `end_offset`, one fetch at a time.

    An unreadable batch is skipped if it has a skip letter. Raise Refused if it has none, Retryable on failure.
    """
    tp = TopicPartition(topic, partition)
    # right after assignment the consumer fetches at the log's end, where the default wait is half a second
    consumer = build_consumer(bootstrap, fetch_max_wait_ms=FETCH_WAIT_MS)
    try:
        await consumer.start()
        consumer.assign([tp])
        start = await start_at(consumer, tp, since_ms)
        reader = Reader(consumer, lean=True)
        async for records in stretch(reader, tp, start, end_offset, partial(skip_past, bootstrap=bootstrap)):
            yield records
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}") from error
    finally:
        await consumer.stop()


async def with_records_before(bootstrap: str, topic: str, time_ms: int) -> list[TopicPartition]:
    """Return the partitions with a record older than `time_ms`. Raise Retryable on failure."""
    async with _asking(bootstrap, topic) as (consumer, places):
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        later = await consumer.offsets_for_times(dict.fromkeys(places, max(0, time_ms)))
    return [tp for tp in places if (later[tp].offset if later[tp] else ends[tp]) > begins[tp]]


async def ends_of(bootstrap: str, topic: str) -> dict[TopicPartition, int]:
    """Return the offset after the last record of each partition. Raise Retryable on failure."""
    async with _asking(bootstrap, topic) as (consumer, places):
        return dict(await consumer.end_offsets(places))


@asynccontextmanager
async def _asking(bootstrap: str, topic: str) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    """Yield a consumer without assignment, for offset requests, and the topic's partitions."""
    places = await partitions_of(bootstrap, topic)
    consumer = build_consumer(bootstrap)
    try:
        await consumer.start()
        yield consumer, places
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}") from error
    finally:
        await consumer.stop()
