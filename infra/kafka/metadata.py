"""What the metadata GETs of the REST proxy tell: topics with their settings, partitions, offsets, brokers."""

from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError, KafkaError

from infra.kafka.admin import open_admin
from infra.kafka.consumer import build_consumer
from schemas.errors import Retryable

Json = dict[str, Any]


async def brokers(bootstrap: str) -> list[int]:
    """Ids of the brokers."""
    async with open_admin(bootstrap) as admin:
        described = await admin.describe_cluster()
    return sorted(int(one["node_id"]) for one in described["brokers"])


async def existing(bootstrap: str, wanted: set[str]) -> list[str]:
    """Those of the topics that are there."""
    async with open_admin(bootstrap) as admin:
        return sorted(wanted & set(await admin.list_topics()))


async def partitions(bootstrap: str, topic: str) -> list[Json]:
    """The topic's partitions in the REST proxy's form; empty when it is not there."""
    async with open_admin(bootstrap) as admin:
        described = (await admin.describe_topics([topic]))[0]
    return [_partition(one) for one in sorted(described["partitions"], key=lambda one: int(one["partition"]))]


def _partition(one: Json) -> Json:
    leader = int(one["leader"])
    replicas = [
        {"broker": int(broker), "leader": int(broker) == leader, "in_sync": broker in one["isr"]}
        for broker in one["replicas"]
    ]
    return {"partition": int(one["partition"]), "leader": leader, "replicas": replicas}


async def configs(bootstrap: str, topic: str) -> dict[str, str]:
    """The topic's settings in force; empty where the broker does not tell."""
    try:
        async with open_admin(bootstrap) as admin:
            responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    except (IncompatibleBrokerVersion, KafkaConnectionError, Retryable):  # Tansu hangs up on this question
        return {}
    rows = [row for response in responses for row in response.resources if row[0] == 0]
    return {str(entry[0]): str(entry[1]) for row in rows for entry in row[4] if entry[1] is not None}


async def offsets(bootstrap: str, topic: str, partition: int) -> tuple[int, int]:
    """The first offset that is kept, and the next to be written. Retryable on failure."""
    place = TopicPartition(topic, partition)
    consumer = build_consumer(bootstrap)
    try:
        await consumer.start()
        begins, ends = await consumer.beginning_offsets([place]), await consumer.end_offsets([place])
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}") from error
    finally:
        await consumer.stop()
    return int(begins[place]), int(ends[place])
