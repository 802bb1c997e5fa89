"""The consumer: it reads committed records only and never commits automatically."""

from typing import Any

from aiokafka import AIOKafkaConsumer

from infra.kafka.access import reach

# Contract 1.
READ_COMMITTED = "read_committed"


def build_consumer(bootstrap: str, *topics: str, **rest: Any) -> AIOKafkaConsumer:
    """Return a consumer that is not started. Call it inside a running loop.

    `rest` holds more arguments of AIOKafkaConsumer. Its `end_offsets` stop at the oldest open transaction. If retention
    passes its position, it continues at the first offset that exists.
    """
    defaults = {"enable_auto_commit": False, "isolation_level": READ_COMMITTED, "auto_offset_reset": "earliest"}
    return AIOKafkaConsumer(*topics, **reach(bootstrap), **defaults | rest)
