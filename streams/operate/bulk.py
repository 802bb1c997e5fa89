"""The bulk pass of a rebuild: it inserts long stretches of the log with few large inserts."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any
from uuid import uuid4

import numpy as np
from aiokafka import TopicPartition

from infra.clickhouse.client import ClickHouse
from infra.kafka.reading import Fetched
from processors.heatmap.cuts import PART_ROWS, SLICES, Cut
from processors.heatmap.decode import decode
from processors.heatmap.fold import Fold
from processors.heatmap.tiers import DAY_S, with_days_late
from streams.heatmap.bucket import Bucket, Retry
from streams.heatmap.identities import Identities, most_of_partition
from streams.operate.follower import Follower
from streams.operate.marks import Mark
from streams.operate.replay import Log, patiently

DAY_MS = DAY_S * 1000
# Limits of one insert into each table. With the number of inserts under way (STORES) they bound the memory.
MOST_RECORDS, MOST_EVENTS = 200_000, 600_000
STORES = 2
# Partitions are read concurrently and may reach midnight at different times.
MOST_DAYS = 2


@dataclass(slots=True)
class Stretch:
    """Records of one day (UTC) of BucketDays from all partitions, for one insert into each table."""

    day: int
    token: str
    records: int = 0
    rejected: int = 0
    fold: Fold = field(default_factory=Fold)

    @property
    def full(self) -> bool:
        """Return whether the stretch has reached a limit and must be inserted."""
        return self.records >= MOST_RECORDS or self.fold.events >= MOST_EVENTS

    def add(self, records: list[Any], partition: int, identities: Identities) -> None:
        """Decode the records of one partition, drop retries, and add the rest to the rows.

        It takes many slices at once, because a call costs more than a record.
        """
        times = np.array([record.timestamp for record in records], np.int64)
        decoded = decode([record.value or b"" for record in records], times)
        self.rejected += len(decoded.rejected)
        self.records += len(records)
        if not decoded.identities:
            return
        at: Any = times[decoded.positions]
        numbers: Any = SLICES.bucket_of(at, partition)
        edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        fresh = [identities.fresh(decoded.identities[start:end], int(numbers[start])) for start, end in pairwise(edges)]
        keep = np.concatenate(fresh)
        self.fold.add(decoded.columns if keep.all() else decoded.columns.select(keep))


class _BucketDay:
    """The work of a worker's bucket. It takes the records with the day of the bucket's first record."""

    def __init__(self, taken: list[tuple[int, list[Any]]], at_ms: int) -> None:
        self._taken = taken
        self._day = at_ms // DAY_MS

    def add(self, records: list[Any], number: int) -> None:
        self._taken.append((self._day, records))

    def braked(self) -> bool:
        return False

    def held(self) -> int:
        return 0

    async def store(self, bucket: Bucket, retry: Retry) -> None:
        """Store nothing: the stretches have the records."""


class BucketDays:
    """The days (UTC) of one partition's records, by which the workers count `days_late`.

    A worker counts it for a whole bucket, from the bucket's first record. So records after midnight, in a bucket that
    began before it, are rows of the day before. Here they must be, too: otherwise they would count twice if the rows of
    the day before are kept from the old tables or are on S3.
    """

    def __init__(self, place: TopicPartition) -> None:
        self._place = place
        self._taken: list[tuple[int, list[Any]]] = []
        self._cutter: Follower | None = None

    async def split(self, fetched: Fetched, cut: Cut) -> list[tuple[int, list[Any]]]:
        """Return the records in order, by the days of their buckets' first records."""
        if not fetched.records:
            return []
        times, reach_ms = [record.timestamp for record in fetched.records], 2 * cut.window_ms
        day = (min(times) - reach_ms) // DAY_MS
        if day == (max(times) + reach_ms) // DAY_MS:
            # A bucket takes records of two windows at most, so no bucket of these reaches midnight.
            self._cutter = None
            return [(day, fetched.records)]
        mark = Mark(fetched.begin, cut)
        self._cutter = self._cutter or Follower(self._place, mark, partial(_BucketDay, self._taken))
        await self._cutter.take(fetched, mark, one=False)
        taken = [
            (day, [record for _, records in group for record in records])
            for day, group in groupby(self._taken, key=itemgetter(0))
        ]
        self._taken.clear()
        return taken


class Bulk:
    """The reader of the log into tables that no other process writes. It remembers the seen identities.

    No worker repeats its inserts. So it need not store the buckets of the workers one by one, nor separate partitions.
    """

    def __init__(self, clickhouse: ClickHouse, on_read: Callable[[], None]) -> None:
        self.clickhouse = clickhouse
        self.identities: dict[TopicPartition, Identities] = {}
        self.rejected = 0
        self._on_read = on_read
        self._run, self._stretches = uuid4().hex, 0
        self._days: dict[TopicPartition, BucketDays] = {}
        self._open: dict[int, Stretch] = {}
        self._stores: set[asyncio.Task[None]] = set()

    async def read(self, log: Log, until: Mapping[TopicPartition, int], marks: Mapping[TopicPartition, Mark]) -> None:
        """Read up to the offsets `until`, and return when all records are inserted.

        `marks` have the workers' cuts.
        """
        most = most_of_partition(len(log.begins))
        for place in log.begins:
            self.identities.setdefault(place, Identities(most))
            self._days.setdefault(place, BucketDays(place))
        while log.left(until):
            for place, fetched in (await log.fetch(until)).items():
                for day, records in await self._days[place].split(fetched, marks[place].cut):
                    await self._take(place, day, records)
            self._on_read()
        while self._open:
            await self._store(min(self._open))
        await self._room(0)

    async def _take(self, place: TopicPartition, day: int, records: list[Any]) -> None:
        if day not in self._open:
            self._stretches += 1
            # The token differs from workers' tokens, which begin with the topic, and from those of other rebuilds.
            self._open[day] = Stretch(day, f"rebuild:{self._run}:{self._stretches}")
        stretch = self._open[day]
        # in a thread, so that the consumer fetches the next records meanwhile
        await asyncio.to_thread(stretch.add, records, place.partition, self.identities[place])
        if stretch.full:
            await self._store(day)
        elif len(self._open) > MOST_DAYS:
            await self._store(min(self._open))

    async def _store(self, day: int) -> None:
        stretch = self._open.pop(day)
        self.rejected += stretch.rejected
        await self._room(STORES - 1)
        self._stores.add(asyncio.create_task(self._insert(stretch)))

    async def _room(self, most: int) -> None:
        """Wait until at most `most` inserts are under way."""
        while len(self._stores) > most:
            done, self._stores = await asyncio.wait(self._stores, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()

    async def _insert(self, stretch: Stretch) -> None:
        parts = stretch.fold.parts(PART_ROWS)
        while (part := await asyncio.to_thread(next, parts, None)) is not None:
            rows, token = with_days_late(part.rows, stretch.day * DAY_MS), f"{stretch.token}:{part.number}"
            await patiently("clickhouse", partial(self.clickhouse.insert, part.table, rows, token))
