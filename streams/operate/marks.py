"""The committed offsets of the heatmap workers' group, which a rebuild reads and sets."""

from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra.kafka import admin
from infra.kafka.consumer import build_consumer
from processors.heatmap.cuts import Cut
from schemas.errors import Refused
from schemas.heatmap import GROUP, TOPIC
from streams.runtime.settings import Settings

Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Mark:
    """A committed offset: all records before `offset` are counted. Its next bucket is cut by `cut`."""

    offset: int
    cut: Cut


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks by partition, and the number of group members.

    `strange` lists the partitions whose offset no worker committed, or whose offset is beyond the end of the log.
    """

    members: int
    by_place: dict[TopicPartition, Mark]
    strange: list[TopicPartition]


async def read_marks(settings: Settings, begins: Offsets, consumer: AIOKafkaConsumer) -> Marks:
    """Return the group's marks in the log that begins at `begins`.

    Raise Retryable if the brokers do not answer.

    A worker commits an offset before it stores the first bucket of a partition. So if workers run, a partition without
    an offset is not counted. If no worker runs, its offset may have been deleted.
    """
    servers, ours = settings.kafka_bootstrap_servers, Cut(settings.heatmap_bucket_records)
    # In this order: a member that has committed is counted, and the log is at least as long as its offsets.
    members = await admin.members(servers, GROUP)
    committed = await admin.committed(servers, GROUP)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(list(begins))
    marks, strange = {}, []
    for place, begin in begins.items():
        commit = committed.get(place)
        cut = ours if settings.broker == "tansu" or commit is None else ours.parse(commit.metadata)
        marks[place] = Mark(begin, ours)
        if commit is None:
            if not members and begin < ends[place]:
                strange.append(place)
        elif cut is None or commit.offset > ends[place]:
            strange.append(place)
        elif commit.offset >= begin:
            marks[place] = Mark(commit.offset, cut)
    return Marks(members, marks, strange)


async def commit_for_group(servers: str, offsets: Offsets, metadata: str) -> None:
    """Set the offsets of a group without members. Raise Refused if it has members or the broker refuses."""
    consumer = build_consumer(servers, group_id=GROUP)
    try:
        await consumer.start()
        consumer.assign(list(offsets))
        await consumer.commit({place: (offset, metadata) for place, offset in offsets.items()})
    except KafkaError as error:
        raise Refused(
            f"could not set the offsets of group {GROUP} in {TOPIC} ({type(error).__name__}): maybe a worker was "
            "started meanwhile; stop the heatmap workers, then run `lpstream rebuild` again"
        ) from error
    finally:
        await consumer.stop()
