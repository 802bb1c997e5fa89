"""The producer, and the partition of a key."""

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

LINGER_MS = 5
BATCH_BYTES = 16_384  # aiokafka's own default


def build_producer(
    bootstrap: str, broker: str, *, linger_ms: int = LINGER_MS, batch_bytes: int = BATCH_BYTES
) -> AIOKafkaProducer:
    """A producer, not started, inside a running loop: acks from all replicas, idempotent where the broker can."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        acks="all",
        enable_idempotence=broker != "tansu",
        linger_ms=linger_ms,
        max_batch_size=batch_bytes,
        max_request_size=2 * 2**20,
        request_timeout_ms=8_000,
    )


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key as Kafka's default partitioner has it (murmur2, made positive)."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)
