"""How far a group has read a topic."""

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.kafka.admin import partitions_of
from schemas.errors import Retryable

# a partition that rests has a tick or two behind its last committed record, never so many
MOST_TICKS = 1_000
FETCH_MS = 1_000


async def has_read(bootstrap: str, group: str, topic: str, before_ms: int) -> bool:
    """Whether the group has committed every record older than that, empty ones aside. Retryable on failure."""
    places = await partitions_of(bootstrap, topic)
    # a consumer that names its partitions is no member of the group, and can ask for its offsets
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    try:
        await consumer.start()
        consumer.assign(places)
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        later = await consumer.offsets_for_times(dict.fromkeys(places, max(0, before_ms)))
        for tp in places:
            at = max(begins[tp], await consumer.committed(tp) or 0)
            found = later.get(tp)
            # "none": Kafka leaves it out, Tansu gives it a time of -1
            until = found.offset if found is not None and found.timestamp >= 0 else ends[tp]
            if at < until and not await _only_ticks(consumer, tp, at, until):
                return False
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}") from error
    finally:
        await consumer.stop()
    return True


async def _only_ticks(consumer: AIOKafkaConsumer, tp: TopicPartition, at: int, until: int) -> bool:
    if until - at > MOST_TICKS:
        return False
    consumer.assign([tp])
    consumer.seek(tp, at)
    while at < until:
        fetched = (await consumer.getmany(tp, timeout_ms=FETCH_MS)).get(tp, [])
        if any(record.value for record in fetched if record.offset < until):
            return False
        position = await consumer.position(tp)
        if position <= at:
            return False
        at = position
    return True
