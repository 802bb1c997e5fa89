"""The consumer: it reads committed records only and never commits automatically."""

from typing import Any

from aiokafka import AIOKafkaConsumer

from infra.kafka.access import reach

# Contract 1.
READ_COMMITTED = "read_committed"


def build_consumer(bootstrap: str, *topics: str, **rest: Any) -> AIOKafkaConsumer:
    """Return a consumer that is not started. Call it inside a running loop.

    `rest` holds more arguments of AIOKafkaConsumer. Its `end_offsets` stop at the oldest open transaction.
    """
    return AIOKafkaConsumer(
        *topics, **reach(bootstrap), enable_auto_commit=False, isolation_level=READ_COMMITTED, **rest
    )
