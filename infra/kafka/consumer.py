"""The consumer: every reader of ours sees committed records alone, and commits by itself or not at all."""

from typing import Any

from aiokafka import AIOKafkaConsumer

from infra.kafka.access import reach

READ_COMMITTED = "read_committed"


def build_consumer(bootstrap: str, *topics: str, **rest: Any) -> AIOKafkaConsumer:
    """A consumer, not started, inside a running loop; `rest` are further arguments of aiokafka's.

    `end_offsets` is then the end of what is decided: the first offset of the oldest open transaction.
    """
    return AIOKafkaConsumer(
        *topics, **reach(bootstrap), enable_auto_commit=False, isolation_level=READ_COMMITTED, **rest
    )
