"""The progress of a group on a topic."""

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Reader, stretch
from schemas.errors import Retryable

# an idle partition has a tick or two after its last committed record, never this many
MOST_TICKS = 1_000
WAIT_S = 1.0


async def has_read(bootstrap: str, group: str, topic: str, before_ms: int) -> bool:
    """Return whether the group has committed all records older than that, except empty records.

    Raise Retryable on failure.
    """
    places = await partitions_of(bootstrap, topic)
    # with manual assignment the consumer can fetch the group's offsets without being a member
    consumer = build_consumer(bootstrap, group_id=group)
    try:
        await consumer.start()
        consumer.assign(places)
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        later = await consumer.offsets_for_times(dict.fromkeys(places, max(0, before_ms)))
        for tp in places:
            at = max(begins[tp], await consumer.committed(tp) or 0)
            first = later.get(tp)
            # no such record: Kafka omits the entry, Tansu returns a time of -1
            until = first.offset if first is not None and first.timestamp >= 0 else ends[tp]
            if at < until and not await _only_ticks(consumer, tp, at, until):
                return False
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}") from error
    finally:
        await consumer.stop()
    return True


async def _only_ticks(consumer: AIOKafkaConsumer, tp: TopicPartition, at: int, until: int) -> bool:
    """Return whether the range holds only ticks and markers; False also if it cannot be read."""
    if until - at > MOST_TICKS:
        return False

    async def stopped(_: Reader) -> None:
        raise Retryable(f"Kafka: {tp.topic}[{tp.partition}] cannot be read")

    consumer.assign([tp])
    try:
        async for records in stretch(Reader(consumer), tp, at, until, stopped, WAIT_S):
            if any(record.value for record in records):
                return False
    except Retryable:
        return False
    return True
