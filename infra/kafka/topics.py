"""Topics from one file: missing topics are created, different settings updated. Idempotent."""

import asyncio
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, KafkaConnectionError, KafkaError, for_code

from infra.kafka.access import reach
from schemas.errors import LpstreamError, Refused, Retryable

Outcome = Literal["created", "exists", "updated"]
TOPIC_EXISTS, UNKNOWN_TOPIC, INVALID_CONFIG, INVALID_REQUEST = 36, 3, 40, 42
DLQ = ".dlq"
TIMESTAMP_TYPE, RETENTION_BYTES = "message.timestamp.type", "retention.bytes"
KNOWN_S, POLL_S = 30.0, 0.05


@dataclass(frozen=True)
class TopicSpec:
    """A topic: its name, its number of partitions and its settings by Kafka's names."""

    name: str
    partitions: int
    config: Mapping[str, str]


class TopicOutcomes(dict[str, Outcome]):
    """The outcome by topic.

    `refused` holds, by topic, the settings that the broker does not apply. `partitions` holds the number of
    partitions of topics that exist with another number than the file's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.refused: dict[str, tuple[str, ...]] = {}
        self.partitions: dict[str, int] = {}


def load_topics(path: Path | Traversable | None = None) -> tuple[TopicSpec, ...]:
    """Load the topics of a file like `topics.toml` (the default). Raise LpstreamError if it is invalid."""
    source = path or files("infra.kafka").joinpath("topics.toml")
    try:
        text = tomllib.loads(source.read_text(encoding="utf-8"))
        partitions = _positive(text["partitions"])
        dlq = _config(text["dlq"])
        specs = [spec for entry in text["topic"] for spec in _specs(entry, partitions, dlq)]
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise LpstreamError(f"{source}: {type(error).__name__}: {error}") from error
    names = [spec.name for spec in specs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise LpstreamError(f"{source}: topics named twice: {', '.join(sorted(twice))}")
    return tuple(specs)


def _specs(entry: dict[str, Any], partitions: int, dlq: dict[str, str]) -> list[TopicSpec]:
    name, count = str(entry["name"]), _positive(entry.get("partitions", partitions))
    specs = [TopicSpec(name, count, _config(entry.get("config", {})))]
    if entry.get("dlq", False):
        specs.append(TopicSpec(f"{name}{DLQ}", max(count, partitions), dlq))
    return specs


def _positive(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"partitions must be a whole number of at least 1, not {value!r}")
    return value


def _config(table: dict[str, object]) -> dict[str, str]:
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in table.items()}


async def ensure_topics(
    bootstrap: str,
    *,
    replication_factor: int,
    min_insync: int,
    partitions: int | None = None,
    topics: tuple[TopicSpec, ...] | None = None,
) -> TopicOutcomes:
    """Create missing topics and update settings that differ.

    A topic that exists keeps its number of partitions, because identities are stored by partition. `partitions`
    overrides the file for all topics. Raise Retryable if the broker does not answer. Raise Refused if it refuses to
    create a topic, or if a topic exists with another number than `partitions`.
    """
    specs = [_desired(spec, partitions, min_insync) for spec in topics or load_topics()]
    admin = AIOKafkaAdminClient(**reach(bootstrap), client_id="lpstream-migrate")
    try:
        await admin.start()
        return await _ensure(admin, specs, replication_factor, fixed=partitions is not None)
    except KafkaError as error:
        raise Retryable(f"Kafka at {bootstrap}: {type(error).__name__}: {error}") from error
    finally:
        await admin.close()


def _desired(spec: TopicSpec, partitions: int | None, min_insync: int) -> TopicSpec:
    config = {**spec.config, "min.insync.replicas": str(min_insync)}
    return TopicSpec(spec.name, partitions or spec.partitions, config)


async def _ensure(
    admin: AIOKafkaAdminClient, specs: list[TopicSpec], replication_factor: int, *, fixed: bool
) -> TopicOutcomes:
    outcomes = TopicOutcomes()
    counts = await _partition_counts(admin, [spec.name for spec in specs])
    if fixed:
        _same_partitions([spec for spec in specs if spec.name in counts], counts)
    outcomes.partitions = {
        spec.name: count for spec in specs if (count := counts.get(spec.name, spec.partitions)) != spec.partitions
    }
    specs = [_with_partitions(spec, _count(spec, counts)) for spec in specs]
    missing = [spec for spec in specs if spec.name not in counts]
    created = {spec.name for spec in missing if await _create(admin, spec, replication_factor)}
    if missing:
        _same_partitions(missing, await _until_known(admin, missing))
    current = await _configs(admin, specs)
    for spec in specs:
        differing = {key for key, value in spec.config.items() if current.get(spec.name, {}).get(key) != value}
        changed = bool(differing) and await _alter(admin, spec)
        if differing and not changed:
            outcomes.refused[spec.name] = tuple(sorted(differing))
        outcomes[spec.name] = "created" if spec.name in created else "updated" if changed else "exists"
    return outcomes


async def _until_known(admin: AIOKafkaAdminClient, created: list[TopicSpec]) -> dict[str, int]:
    """Return the partition counts once the broker serves all created topics.

    The broker acknowledges a creation before its own metadata has the topic.
    """
    names = [spec.name for spec in created]
    deadline = time.monotonic() + KNOWN_S
    while time.monotonic() < deadline:
        counts = await _partition_counts(admin, names)
        if len(counts) == len(names):
            return counts
        await asyncio.sleep(POLL_S)
    raise Retryable(f"Kafka does not show its new topics after {KNOWN_S:g} s")


async def _partition_counts(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, int]:
    """Return the partition counts of the topics that exist, by name."""
    existing = set(await admin.list_topics())
    present = [name for name in names if name in existing]
    described = await admin.describe_topics(present) if present else []
    return {topic["topic"]: len(topic["partitions"]) for topic in described if topic["error_code"] != UNKNOWN_TOPIC}


def _count(spec: TopicSpec, existing: Mapping[str, int]) -> int:
    """Return the topic's number of partitions. A new dead-letter topic has at least as many as its topic.

    A skip letter has the partition of the batch that it skips.
    """
    return existing.get(spec.name) or max(spec.partitions, existing.get(spec.name.removesuffix(DLQ), 0))


def _with_partitions(spec: TopicSpec, count: int) -> TopicSpec:
    """Return the topic with `count` partitions and the same bytes to retain in all partitions together."""
    config = dict(spec.config)
    if RETENTION_BYTES in config:
        config[RETENTION_BYTES] = str(int(config[RETENTION_BYTES]) * spec.partitions // count)
    return TopicSpec(spec.name, count, config)


def _same_partitions(existing: list[TopicSpec], counts: dict[str, int]) -> None:
    for spec in existing:
        if counts[spec.name] != spec.partitions:
            raise Refused(
                f"topic {spec.name} has {counts[spec.name]} partitions, not {spec.partitions}. The number is fixed, "
                f"because identities are stored by partition. Use {counts[spec.name]}, or delete the topic"
            )


async def _create(admin: AIOKafkaAdminClient, spec: TopicSpec, replication_factor: int) -> bool:
    """Create a topic. Return False if it exists by now."""
    code, detail = await _try_create(admin, spec, replication_factor, spec.config)
    if code in (INVALID_CONFIG, INVALID_REQUEST) and TIMESTAMP_TYPE in spec.config:
        # a broker without LogAppendTime may refuse the topic because of this setting
        fewer = {key: value for key, value in spec.config.items() if key != TIMESTAMP_TYPE}
        code, detail = await _try_create(admin, spec, replication_factor, fewer)
    if code not in (0, TOPIC_EXISTS):
        raise Refused(f"topic {spec.name} was not created: {for_code(code).__name__} {detail}".rstrip(), code)
    return code == 0


async def _try_create(
    admin: AIOKafkaAdminClient, spec: TopicSpec, replication_factor: int, config: Mapping[str, str]
) -> tuple[int, str]:
    topic = NewTopic(spec.name, spec.partitions, replication_factor, topic_configs=dict(config))
    response = await admin.create_topics([topic])
    error = response.topic_errors[0]
    return int(error[1]), str(error[2] or "") if len(error) > 2 else ""


async def _configs(admin: AIOKafkaAdminClient, specs: list[TopicSpec]) -> dict[str, dict[str, str]]:
    """Return the effective settings by topic, empty if the broker does not report them."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, spec.name, dict(spec.config)) for spec in specs]
    configs: dict[str, dict[str, str]] = {}
    try:
        responses = await admin.describe_configs(resources)
    except (IncompatibleBrokerVersion, KafkaConnectionError):  # Tansu closes the connection on this request
        return configs
    for response in responses:
        for code, _, _, name, entries in response.resources:
            if code == 0:
                configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs


async def _alter(admin: AIOKafkaAdminClient, spec: TopicSpec) -> bool:
    """Replace the topic's settings. Return whether the broker accepted them."""
    # the request replaces all settings of the topic: the file is their only source
    resource = ConfigResource(ConfigResourceType.TOPIC, spec.name, dict(spec.config))
    try:
        responses = await admin.alter_configs([resource])
    except IncompatibleBrokerVersion:
        return False
    return all(row[0] == 0 for response in responses for row in response.resources)
