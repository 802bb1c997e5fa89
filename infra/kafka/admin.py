"""What the brokers know: partitions of topics, offsets and members of groups."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from infra.kafka.access import reach
from schemas.errors import Refused, Retryable

DEAD = "Dead"


@asynccontextmanager
async def open_admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for the time of the block; Retryable when the brokers do not answer."""
    admin = AIOKafkaAdminClient(**reach(bootstrap), client_id="lpstream-admin")
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise Retryable(f"Kafka at {bootstrap}: {type(error).__name__}: {error}") from error
    finally:
        await admin.close()


async def partitions_of(bootstrap: str, topic: str) -> list[TopicPartition]:
    """The topic's partitions; Refused when there is no such topic."""
    async with open_admin(bootstrap) as admin:
        described = (await admin.describe_topics([topic]))[0]
    if described["error_code"] != 0:
        raise Refused(f"topic {topic}: {for_code(described['error_code']).__name__}; has `lpstream migrate` been run?")
    return [TopicPartition(topic, number) for number in sorted(part["partition"] for part in described["partitions"])]


async def committed(bootstrap: str, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    """The group's committed offsets, of partitions that have any."""
    async with open_admin(bootstrap) as admin:
        found = await admin.list_consumer_group_offsets(group)
    return {tp: one for tp, one in found.items() if one.offset >= 0}


async def members(bootstrap: str, group: str) -> int:
    """How many members the group has now; 0 for one that does not exist."""
    async with open_admin(bootstrap) as admin:
        response = (await admin.describe_consumer_groups([group]))[0]
    description = response.groups[0]
    return 0 if description[2] == DEAD else len(description[5])
