"""Boundaries: committed offsets before which all records are stored, with the parameters of the cut."""

import logging
from collections.abc import Callable

from faust.types import TP

from processors.heatmap.cuts import Cut
from schemas.errors import Refused, Retryable
from streams.heatmap.bucket import SliceConsumer, StaleEpochError
from streams.runtime import metrics

log = logging.getLogger(__name__)


class Boundaries:
    """The reader and writer of the partitions' boundaries.

    `on_fatal` gets the error if a newer release has committed the offset.
    """

    def __init__(self, consumer: SliceConsumer, cut: Cut, on_fatal: Callable[[Exception], None]) -> None:
        self._consumer = consumer
        self._cut = cut
        self._on_fatal = on_fatal
        self._lost_to: dict[TP, int] = {}

    async def commit(self, tp: TP, boundary: int, epoch: int) -> None:
        """Commit a boundary.

        Raise Retryable if the broker has not accepted it, StaleEpochError if the epoch has ended.
        """
        if not self._consumer.complete(tp, boundary, epoch):
            raise StaleEpochError
        if not await self._consumer.commit_boundary(tp):
            raise Retryable(f"Kafka: {tp} is not committed yet")

    async def find(self, tp: TP, epoch: int) -> tuple[int, int, Cut]:
        """Return the offset to continue at, the log's first offset, and the cut of the first bucket."""
        earliest = await self._consumer.earliest(tp)
        committed = await self._consumer.committed(tp)
        if committed is None:
            # A worker commits an offset before it stores any row of the partition. So afterwards, a missing offset
            # means that somebody deleted it.
            await self.commit(tp, earliest, epoch)
            return earliest, earliest, self._cut
        offset, metadata = committed
        # Contract 7: the first bucket is cut as the commit says.
        if offset >= earliest:
            return offset, earliest, self._cut_of(metadata)
        self._count_loss(tp, offset, earliest)
        await self.commit(tp, earliest, epoch)
        return earliest, earliest, self._cut

    def _cut_of(self, metadata: str) -> Cut:
        try:
            return self._cut.parse(metadata) or self._cut
        except Refused as error:
            self._on_fatal(error)
            raise StaleEpochError from error

    def _count_loss(self, tp: TP, offset: int, earliest: int) -> None:
        """Count and log deleted records that were never counted, once, though the commit may be retried."""
        lost = earliest - max(offset, self._lost_to.get(tp, 0))
        if lost <= 0:
            return
        self._lost_to[tp] = earliest
        metrics.LOST.labels(str(tp.partition)).inc(lost)
        log.error(
            "%s: the log begins at offset %d, but only offsets before %d were counted: %d records or markers were "
            "deleted before they were counted; raise retention.ms or retention.bytes of the topic, or keep a worker "
            "running",
            tp,
            earliest,
            offset,
            lost,
        )
