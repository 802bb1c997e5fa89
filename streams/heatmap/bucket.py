"""A bucket: a stretch of one partition's log, and what the delivery needs of its surroundings."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from faust.types import TP

from processors.heatmap.cuts import Cut
from streams.transports.slices import Slice


class StaleEpochError(Exception):
    """The partition was taken away: what is open of it must be dropped."""


class SliceConsumer(Protocol):
    """What the delivery needs of streams.transports.slices.Consumer."""

    def current(self, epoch: int) -> bool:
        """Return whether records that were read in that epoch still count."""

    def owns(self, epoch: int) -> bool:
        """Return whether the partitions of that epoch are still ours, also while the worker stops."""

    def complete(self, tp: TP, next_offset: int, epoch: int) -> bool:
        """Note a boundary."""

    async def commit_boundary(self, tp: TP) -> bool:
        """Commit the boundary."""

    async def committed(self, tp: TP) -> tuple[int, str] | None:
        """Return the broker's committed offset and its metadata."""

    async def earliest(self, tp: TP) -> int:
        """Return the first offset that exists."""

    def rewind(self, tp: TP, offset: int) -> int:
        """Read again from there; return the number of the last fetch that does not know of it."""

    def end(self, tp: TP) -> int:
        """Return the offset after the log's last record, as the last fetch knew it."""

    def brake(self, tps: set[TP]) -> None:
        """Stop reading."""


class BucketWork(Protocol):
    """What a bucket's records become. One object a bucket."""

    def add(self, records: list[Any], number: int) -> None:
        """Take consecutive records, ticks among them, of slices' bucket `number`; never raises for what they hold."""

    def braked(self) -> bool:
        """Return whether so much cannot be decoded that the partition must stop."""

    def held(self) -> int:
        """Return about how many bytes of memory it holds."""

    async def store(self, bucket: "Bucket", retry: "Retry") -> None:
        """Do steps 1 to 3 of the module's list."""


Retry = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]
OpenWork = Callable[[Slice, int, int], Awaitable[Callable[[int], BucketWork]]]


@dataclass(slots=True)
class Bucket:
    """A stretch of one partition's log that is stored as one.

    It covers the offsets from `begin` to `last`. Its records go from `first` to `last`; before `first` there are none
    that count.
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
        """Return the text that makes a repeated insert of this bucket known to ClickHouse.

        The time of the first record is in it because a topic made anew has the same offsets again.
        """
        return f"{self.tp.topic}:{self.tp.partition}:{self.first}-{self.last}:{self.timestamp_ms}"

    def token_of(self, number: int) -> str:
        """Return the token of a table's part; that of the first part is the bucket's."""
        return f"{self.token}:{number}" if number else self.token

    def take(self, part: Slice, records: list[Any]) -> int:
        """Add the leading records that belong to the bucket; return how many."""
        sizes = np.cumsum([len(record.value or b"") for record in records[: self.cut.records - self.records]])
        count = self._mine(part, records, self._room(sizes))
        if count:
            self.work.add(records[:count], part.bucket)
            self.records += count
            self.bytes += int(sizes[count - 1])
            self.last = records[count - 1].offset
        return count

    def _room(self, sizes: Any) -> int:
        """Return for how many records there is room, by their running sums of bytes; always for a first record."""
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
        """Return whether the bucket is past its end plus the skew, by the worker's monotonic clock."""
        left_ms = self.cut.end_ms(self.index, self.tp.partition) - self.timestamp_ms
        return now >= max(self.opened_at + left_ms / 1000, self.ticked_at) + skew_s
