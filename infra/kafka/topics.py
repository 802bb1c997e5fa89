"""The topics, from one file; created once, their settings brought up to date."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError

from schemas.errors import Refused, Retryable

Outcome = Literal["created", "exists"]


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should be."""

    name: str
    partitions: int
    configs: dict[str, str]


def load_topics() -> tuple[TopicSpec, ...]:
    """The topics of `topics.toml`."""
    found = tomllib.loads(files("infra.kafka").joinpath("topics.toml").read_text("utf-8"))
    return tuple(
        TopicSpec(name, found["partitions"], {key: str(value) for key, value in configs.items()})
        for name, configs in found["topics"].items()
    )


async def ensure_topics(
    bootstrap: str, *, replication_factor: int = 1, min_insync: int = 1, keeps_settings: bool = True
) -> dict[str, Outcome]:
    """Create what is missing and bring settings up to date; Refused when a topic has another number of partitions.

    `keeps_settings` is False for a broker (Tansu) that takes none for an existing topic.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        return {
            spec.name: await _ensure(admin, spec, replication_factor, min_insync, keeps_settings)
            for spec in load_topics()
        }
    except KafkaError as error:
        raise Retryable(f"Kafka at {bootstrap}: {type(error).__name__}: {error}") from error
    finally:
        await admin.close()


async def _ensure(
    admin: AIOKafkaAdminClient, spec: TopicSpec, replication_factor: int, min_insync: int, keeps_settings: bool
) -> Outcome:
    configs = {**spec.configs, "min.insync.replicas": str(min_insync)}
    known = [topic for topic in await admin.describe_topics([spec.name]) if not topic["error_code"]]
    if not known:
        try:
            await admin.create_topics([NewTopic(spec.name, spec.partitions, replication_factor, topic_configs=configs)])
        except TopicAlreadyExistsError:
            return "exists"
        return "created"
    _check_partitions(known[0], spec)
    if keeps_settings:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, spec.name, configs)])
    return "exists"


def _check_partitions(known: dict[str, Any], spec: TopicSpec) -> None:
    if (found := len(known["partitions"])) != spec.partitions:
        raise Refused(
            f"topic {spec.name} has {found} partitions, topics.toml says {spec.partitions}: this number is not changed "
            "later, because identities of beacons live by partition; set the file back"
        )
