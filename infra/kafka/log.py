"""Reading back a stretch of one partition's log, outside any group."""

from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from infra.kafka.admin import partitions_of
from schemas.errors import Retryable

FETCH_WAIT_MS = 20


async def read_back(
    bootstrap: str, topic: str, partition: int, since_ms: int, end_offset: int
) -> AsyncIterator[list[ConsumerRecord]]:
    """Records with time >= `since_ms` and offset < `end_offset`, a fetch at a time. Retryable on failure."""
    tp = TopicPartition(topic, partition)
    # assigned before it can seek, the consumer first asks at the log's end, and would wait there for half a second
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False, fetch_max_wait_ms=FETCH_WAIT_MS)
    try:
        await consumer.start()
        consumer.assign([tp])
        start = await _start(consumer, tp, since_ms)
        consumer.seek(tp, start)
        while start < end_offset:
            fetched = (await consumer.getmany(tp, timeout_ms=5_000)).get(tp)
            if not fetched:
                if await consumer.position(tp) <= start:
                    raise Retryable(f"Kafka: {topic}[{partition}] gave nothing from offset {start} on")
                start = await consumer.position(tp)
                continue
            start = fetched[-1].offset + 1
            yield [record for record in fetched if record.offset < end_offset]
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}") from error
    finally:
        await consumer.stop()


async def has_records_before(bootstrap: str, topic: str, time_ms: int) -> bool:
    """Whether any partition still holds a record older than that. Retryable on failure."""
    places = await partitions_of(bootstrap, topic)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    try:
        await consumer.start()
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        later = await consumer.offsets_for_times(dict.fromkeys(places, max(0, time_ms)))
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}") from error
    finally:
        await consumer.stop()
    return any((later[tp].offset if later[tp] else ends[tp]) > begins[tp] for tp in places)


async def _start(consumer: AIOKafkaConsumer, tp: TopicPartition, since_ms: int) -> int:
    earliest = int((await consumer.beginning_offsets([tp]))[tp])
    found = (await consumer.offsets_for_times({tp: max(0, since_ms)})).get(tp)
    return max(earliest, int(found.offset)) if found else earliest
