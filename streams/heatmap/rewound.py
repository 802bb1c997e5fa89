"""The check at start that offsets and tables match: otherwise beacons count twice or never."""

from datetime import UTC

from aiokafka.structs import OffsetAndMetadata, TopicPartition

from infra.kafka.admin import committed
from infra.kafka.log import ends_of, with_records_before
from processors.heatmap.cuts import Cut
from schemas.errors import Refused
from schemas.heatmap import GROUP, TOPIC
from streams.runtime.settings import Settings
from streams.runtime.stores import open_writer

BEFORE_MS = 10 * 60 * 1000
# The metadata of offsets while a rebuild exchanges the tables: no worker may start with it.
UNFINISHED = "lpstream-rebuild"
REBUILD = "run `lpstream rebuild`, which builds the tables again from the log"
Offsets = dict[TopicPartition, OffsetAndMetadata]


async def refuse_rewound(settings: Settings) -> None:
    """Raise Refused if the group's offsets were moved or deleted by hand, or the log was replaced.

    Only the workers and the rebuild commit offsets with the metadata of a cut. A worker counts no partition before it
    has an offset. Raise Retryable if a store is unavailable.
    """
    if settings.broker == "tansu":  # its log ends with the broker, and it stores no metadata
        return
    by_partition = await committed(settings.kafka_bootstrap_servers, GROUP)
    offsets = {tp: offset for tp, offset in by_partition.items() if tp.topic == TOPIC}
    _refuse_moved(offsets, Cut(settings.heatmap_bucket_records))
    await _refuse_replaced(settings, offsets)
    if (newest_ms := await _newest_window(settings)) is not None:
        await _refuse_deleted(settings, offsets, newest_ms)


def _refuse_moved(offsets: Offsets, cut: Cut) -> None:
    if any(offset.metadata == UNFINISHED for offset in offsets.values()):
        raise Refused(
            "a rebuild of the heatmap tables is running or was interrupted; if none is running, run "
            "`lpstream rebuild` again"
        )
    moved = [tp.partition for tp, offset in offsets.items() if cut.parse(offset.metadata) is None]
    if moved:
        raise Refused(
            f"the offsets of group {GROUP} were moved by hand (partitions {_listed(moved)} of {TOPIC}), so beacons "
            f"would count twice or never: {REBUILD}"
        )


async def _refuse_replaced(settings: Settings, offsets: Offsets) -> None:
    ends = await ends_of(settings.kafka_bootstrap_servers, TOPIC)
    beyond = [tp.partition for tp, offset in offsets.items() if tp in ends and offset.offset > ends[tp]]
    if beyond:
        raise Refused(
            f"the offsets of group {GROUP} are beyond the end of the log (partitions {_listed(beyond)} of {TOPIC}): "
            f"the topic was created again or truncated; {REBUILD}"
        )


async def _refuse_deleted(settings: Settings, offsets: Offsets, newest_ms: int) -> None:
    older = await with_records_before(settings.kafka_bootstrap_servers, TOPIC, newest_ms - BEFORE_MS)
    deleted = [tp.partition for tp in older if tp not in offsets]
    if deleted:
        raise Refused(
            f"group {GROUP} has no offsets for partitions {_listed(deleted)} of {TOPIC}, but the tables have windows "
            f"from their log: beacons would count twice; {REBUILD}"
        )


def _listed(partitions: list[int]) -> str:
    return ", ".join(map(str, sorted(partitions)))


async def _newest_window(settings: Settings) -> int | None:
    """Return the start of the newest window in ms UTC, or None if the tables are empty."""
    clickhouse = open_writer(settings)
    try:
        row = (await clickhouse.rows("SELECT count() AS n, max(window_start) AS newest FROM heatmap_windows"))[0]
    finally:
        await clickhouse.close()
    return int(row["newest"].replace(tzinfo=UTC).timestamp() * 1000) if row["n"] else None
