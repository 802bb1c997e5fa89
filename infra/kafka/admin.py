"""Admin requests to the brokers: partitions of topics, offsets and members of groups."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaClient
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from infra.kafka.access import reach
from schemas.errors import Refused, Retryable

log = logging.getLogger(__name__)

DEAD, WAIT_S = "Dead", 1.0


@asynccontextmanager
async def open_admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """Yield an admin client. Raise Retryable if the brokers do not answer."""
    admin = AIOKafkaAdminClient(**reach(bootstrap), client_id="lpstream-admin")
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        raise Retryable(f"Kafka at {bootstrap}: {type(error).__name__}: {error}") from error
    finally:
        await admin.close()


async def wait_for_brokers(bootstrap: str) -> None:
    """Return as soon as Kafka answers. Log each try that fails."""
    while True:
        client = AIOKafkaClient(**reach(bootstrap))
        try:
            await client.bootstrap()
        except KafkaError as error:
            log.warning("Kafka at %s: %s; waiting", bootstrap, type(error).__name__)
            await asyncio.sleep(WAIT_S)
        else:
            return
        finally:
            await client.close()


async def partitions_of(bootstrap: str, topic: str) -> list[TopicPartition]:
    """Return the topic's partitions. Raise Refused if there is no such topic."""
    async with open_admin(bootstrap) as admin:
        described = (await admin.describe_topics([topic]))[0]
    if described["error_code"] != 0:
        raise Refused(f"topic {topic}: {for_code(described['error_code']).__name__}; run `lpstream migrate`")
    return [TopicPartition(topic, number) for number in sorted(part["partition"] for part in described["partitions"])]


async def committed(bootstrap: str, group: str) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return the group's committed offsets, without partitions that have none."""
    async with open_admin(bootstrap) as admin:
        offsets = await admin.list_consumer_group_offsets(group)
    return {tp: offset for tp, offset in offsets.items() if offset.offset >= 0}


async def members(bootstrap: str, group: str) -> int:
    """Return the group's current number of members, 0 if it does not exist."""
    async with open_admin(bootstrap) as admin:
        response = (await admin.describe_consumer_groups([group]))[0]
    description = response.groups[0]
    return 0 if description[2] == DEAD else len(description[5])
