"""The committed offsets of the heatmap workers' group, as a rebuild reads and sets them."""

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
    """All before `offset` is counted; the bucket that begins there is cut by `cut`."""

    offset: int
    cut: Cut


@dataclass(frozen=True, slots=True)
class Marks:
    """A mark for each partition.

    `strange` names the partitions whose offset is not a worker's, or lies beyond the end of the log.
    """

    members: int
    by_place: dict[TopicPartition, Mark]
    strange: list[TopicPartition]


async def read_marks(settings: Settings, begins: Offsets, consumer: AIOKafkaConsumer) -> Marks:
    """Return the group's marks in the log that begins at `begins`. Retryable when the brokers do not answer.

    A worker commits an offset before it stores the first bucket of a partition. So a partition without an offset is
    not counted while workers run. Without workers the offset may have been deleted.
    """
    servers, ours = settings.kafka_bootstrap_servers, Cut(settings.heatmap_bucket_records)
    # in this order: who has committed was a member before, and the log was as long
    members = await admin.members(servers, GROUP)
    committed = await admin.committed(servers, GROUP)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(list(begins))
    marks, strange = {}, []
    for place, begin in begins.items():
        found = committed.get(place)
        cut = ours if settings.broker == "tansu" or found is None else ours.parse(found.metadata)
        marks[place] = Mark(begin, ours)
        if found is None:
            if not members and begin < ends[place]:
                strange.append(place)
        elif cut is None or found.offset > ends[place]:
            strange.append(place)
        elif found.offset >= begin:
            marks[place] = Mark(found.offset, cut)
    return Marks(members, marks, strange)


async def commit_for_group(servers: str, offsets: Offsets, metadata: str) -> None:
    """Set the offsets of a group that has no members; Refused when it has one, or the broker does not take them."""
    consumer = build_consumer(servers, group_id=GROUP)
    try:
        await consumer.start()
        consumer.assign(list(offsets))
        await consumer.commit({place: (offset, metadata) for place, offset in offsets.items()})
    except KafkaError as error:
        raise Refused(
            f"the offsets of group {GROUP} in {TOPIC} cannot be set ({type(error).__name__}): a worker may have been "
            "started meanwhile; stop the heatmap workers, then run `lpstream rebuild` again"
        ) from error
    finally:
        await consumer.stop()
