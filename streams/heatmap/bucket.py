"""A bucket, which is a range of one partition's log, and the protocols that the delivery needs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from faust.types import TP

from processors.heatmap.cuts import Cut
from streams.transports.slices import Slice


class StaleEpochError(Exception):
    """The partition was taken away: its open bucket must be dropped."""


class SliceConsumer(Protocol):
    """The part of streams.transports.slices.Consumer that the delivery uses."""

    def current(self, epoch: int) -> bool:
        """Return whether the worker may still process records of the epoch: it owns them and runs."""

    def owns(self, epoch: int) -> bool:
        """Return whether the partitions have had no rebalance since the epoch. A stopping worker owns them."""

    def complete(self, tp: TP, next_offset: int, epoch: int) -> bool:
        """Record the offset at which a bucket ends. Return False if the epoch has ended."""

    async def commit_boundary(self, tp: TP) -> bool:
        """Commit the recorded offset. Return False if the broker has not accepted it."""

    async def committed(self, tp: TP) -> tuple[int, str] | None:
        """Return the committed offset and its metadata from the broker."""

    async def earliest(self, tp: TP) -> int:
        """Return the first offset that exists."""

    def rewind(self, tp: TP, offset: int) -> int:
        """Read again from the offset. Return the number of the last fetch before this call."""

    def end(self, tp: TP) -> int:
        """Return the offset after the log's last record, as of the last fetch."""

    def brake(self, tps: set[TP]) -> None:
        """Stop reading the partitions."""


class BucketWork(Protocol):
    """The work on the records of one bucket."""

    def add(self, records: list[Any], number: int) -> None:
        """Add consecutive records, which may include ticks, of the slices' bucket `number`.

        No content of a record makes it raise.
        """

    def braked(self) -> bool:
        """Return whether the partition must stop, because too many records are rejected."""

    def held(self) -> int:
        """Return the approximate memory of the bucket in bytes."""

    async def store(self, bucket: "Bucket", retry: "Retry") -> None:
        """Do steps 1 to 3 of the list in streams/heatmap/delivery.py."""


Retry = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]
OpenWork = Callable[[Slice, int, int], Awaitable[Callable[[int], BucketWork]]]


@dataclass(slots=True)
class Bucket:
    """A range of one partition's log that is stored as a unit.

    It covers the offsets from `begin` to `last`. Its records go from `first` to `last`; before `first` no record
    counts.
    """

    tp: TP
    cut: Cut
    index: int
    begin: int
    first: int
    timestamp_ms: int
    work: BucketWork
    opened_at: float
    last: int = -1
    records: int = 0
    bytes: int = 0
    ticked_at: float = 0.0

    @property
    def token(self) -> str:
        """Return the token by which ClickHouse recognises a repeated insert of this bucket.

        It contains the time of the first record, because a topic that is created again has the same offsets.
        """
        return f"{self.tp.topic}:{self.tp.partition}:{self.first}-{self.last}:{self.timestamp_ms}"

    def token_of(self, number: int) -> str:
        """Return the token of a table's part. The first part has the token of the bucket."""
        # Contract 5: one token a part.
        return f"{self.token}:{number}" if number else self.token

    def take(self, part: Slice, records: list[Any]) -> int:
        """Add the leading records that belong to the bucket. Return their number."""
        sizes = np.cumsum([len(record.value or b"") for record in records[: self.cut.records - self.records]])
        count = self._mine(part, records, self._room(sizes))
        if count:
            self.work.add(records[:count], part.bucket)
            self.records += count
            self.bytes += int(sizes[count - 1])
            self.last = records[count - 1].offset
        return count

    def _room(self, sizes: Any) -> int:
        """Return how many more records fit, by the running sums of their bytes. A first record always fits."""
        within = int(np.searchsorted(sizes, self.cut.most_bytes - self.bytes, side="right"))
        return min(max(within, int(not self.records)), self.cut.records - self.records)

    def _mine(self, part: Slice, records: list[Any], room: int) -> int:
        if self.cut.sliced():
            return 0 if self._ends_before(part.bucket) else room
        for count in range(room):
            if self._ends_before(self.cut.bucket_of(records[count].timestamp, self.tp.partition)):
                return count
        return room

    def _ends_before(self, index: int) -> bool:
        return index > self.index or index < self.index - 1

    def overdue(self, now: float, skew_s: float) -> bool:
        """Return whether the bucket's end plus the skew has passed, by the worker's monotonic clock."""
        left_ms = self.cut.end_ms(self.index, self.tp.partition) - self.timestamp_ms
        return now >= max(self.opened_at + left_ms / 1000, self.ticked_at) + skew_s
