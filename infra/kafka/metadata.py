"""The metadata for GET routes of the REST proxy: topics, settings, partitions, offsets, brokers."""

from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError, KafkaError

from infra.kafka.admin import open_admin
from infra.kafka.consumer import build_consumer
from schemas.errors import Retryable

Json = dict[str, Any]


async def brokers(bootstrap: str) -> list[int]:
    """Return the ids of the brokers."""
    async with open_admin(bootstrap) as admin:
        described = await admin.describe_cluster()
    return sorted(int(broker["node_id"]) for broker in described["brokers"])


async def existing(bootstrap: str, wanted: set[str]) -> list[str]:
    """Return those of the topics that exist."""
    async with open_admin(bootstrap) as admin:
        return sorted(wanted & set(await admin.list_topics()))


async def partitions(bootstrap: str, topic: str) -> list[Json]:
    """Return the topic's partitions in the REST proxy's form, empty if the topic does not exist."""
    async with open_admin(bootstrap) as admin:
        described = (await admin.describe_topics([topic]))[0]
    return [_partition(row) for row in sorted(described["partitions"], key=lambda row: int(row["partition"]))]


def _partition(row: Json) -> Json:
    leader = int(row["leader"])
    replicas = [
        {"broker": int(broker), "leader": int(broker) == leader, "in_sync": broker in row["isr"]}
        for broker in row["replicas"]
    ]
    return {"partition": int(row["partition"]), "leader": leader, "replicas": replicas}


async def configs(bootstrap: str, topic: str) -> dict[str, str]:
    """Return the topic's effective settings, empty if the broker does not report them."""
    try:
        async with open_admin(bootstrap) as admin:
            responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    except (IncompatibleBrokerVersion, KafkaConnectionError, Retryable):  # Tansu closes the connection on this request
        return {}
    rows = [row for response in responses for row in response.resources if row[0] == 0]
    return {str(entry[0]): str(entry[1]) for row in rows for entry in row[4] if entry[1] is not None}


async def offsets(bootstrap: str, topic: str, partition: int) -> tuple[int, int]:
    """Return the first offset in the log and the next to be written. Raise Retryable on failure."""
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
