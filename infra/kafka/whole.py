"""Reads of a whole topic, outside any group."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Reader, stretch
from infra.kafka.skips import pass_over
from schemas.errors import Retryable

FETCH_WAIT_MS = 100  # short, because each partition is read to its end; long, because the optimizer reads for ever


@asynccontextmanager
async def read_whole(bootstrap: str, topic: str, take: Callable[[ConsumerRecord], object]) -> AsyncIterator[Reader]:
    """Pass each record up to the end to `take`, then yield a reader that stands there.

    Raise Retryable if Kafka does not answer, Refused if there is no such topic.
    """
    consumer = build_consumer(bootstrap, fetch_max_wait_ms=FETCH_WAIT_MS)
    try:
        await consumer.start()
        places = await partitions_of(bootstrap, topic)
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
