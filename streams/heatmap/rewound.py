"""Refuse to start where offsets and tables do not fit together: beacons would be counted twice or never."""

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
# The mark of a group whose tables a rebuild exchanges at this time: no worker may start on it.
UNFINISHED = "lpstream-rebuild"
REBUILD = "run `lpstream rebuild`, which makes the tables anew from the log"
Offsets = dict[TopicPartition, OffsetAndMetadata]


async def refuse_rewound(settings: Settings) -> None:
    """Raise Refused when somebody else has moved or deleted the group's offsets, or has replaced the log.

    Only commits of ours carry our mark, and no partition is counted before it has an offset. Retryable when a store
    is away.
    """
    if settings.broker == "tansu":  # its log ends with the broker, and it keeps no metadata
        return
    found = await committed(settings.kafka_bootstrap_servers, GROUP)
    offsets = {tp: one for tp, one in found.items() if tp.topic == TOPIC}
    _refuse_moved(offsets, Cut(settings.heatmap_bucket_records))
    await _refuse_replaced(settings, offsets)
    if (newest_ms := await _newest_window(settings)) is not None:
        await _refuse_deleted(settings, offsets, newest_ms)


def _refuse_moved(offsets: Offsets, cut: Cut) -> None:
    if any(one.metadata == UNFINISHED for one in offsets.values()):
        raise Refused(
            "a rebuild of the heatmap tables runs or was cut off: when none runs, run `lpstream rebuild` again"
        )
    moved = [tp.partition for tp, one in offsets.items() if cut.parse(one.metadata) is None]
    if moved:
        raise Refused(
            f"the offsets of group {GROUP} were moved by hand (partitions {_listed(moved)} of {TOPIC}), which would "
            f"count beacons twice or never: {REBUILD}"
        )


async def _refuse_replaced(settings: Settings, offsets: Offsets) -> None:
    ends = await ends_of(settings.kafka_bootstrap_servers, TOPIC)
    beyond = [tp.partition for tp, one in offsets.items() if tp in ends and one.offset > ends[tp]]
    if beyond:
        raise Refused(
            f"the offsets of group {GROUP} lie beyond the end of the log (partitions {_listed(beyond)} of {TOPIC}): "
            f"the topic was created again or truncated; {REBUILD}"
        )


async def _refuse_deleted(settings: Settings, offsets: Offsets, newest_ms: int) -> None:
    older = await with_records_before(settings.kafka_bootstrap_servers, TOPIC, newest_ms - BEFORE_MS)
    deleted = [tp.partition for tp in older if tp not in offsets]
    if deleted:
        raise Refused(
            f"group {GROUP} has no offsets for partitions {_listed(deleted)} of {TOPIC}, while the tables hold windows "
            f"that their log covers: beacons would be counted twice; {REBUILD}"
        )


def _listed(partitions: list[int]) -> str:
    return ", ".join(map(str, sorted(partitions)))


async def _newest_window(settings: Settings) -> int | None:
    """Return the start of the newest window in ms, None when the tables are empty."""
    clickhouse = open_writer(settings)
    try:
        row = (await clickhouse.rows("SELECT count() AS n, max(window_start) AS newest FROM heatmap_windows"))[0]
    finally:
        await clickhouse.close()
    return int(row["newest"].replace(tzinfo=UTC).timestamp() * 1000) if row["n"] else None
