"""After a rebuild's exchange: the buckets that workers stored around it, inserted again as the workers do."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from aiokafka import TopicPartition
from faust.types import TP

from infra.clickhouse.client import ClickHouse
from infra.kafka.reading import Fetched
from infra.redis.identities import ClosedBucket
from streams.heatmap.agent import HeatmapBucket, Stores, folding_thread
from streams.heatmap.bucket import Bucket, BucketWork
from streams.heatmap.identities import Identities
from streams.heatmap.identity_links import IdentityLinks
from streams.operate.marks import Mark, Marks
from streams.operate.replay import Log, patiently
from streams.runtime.settings import Settings
from streams.transports.slices import cut

LOOK_S = 0.3


class NoLinks(IdentityLinks):
    """Identities that are kept nowhere: those of the workers must not be overwritten."""

    def __init__(self) -> None:
        pass

    def keep(self, tp: TP, bucket: ClosedBucket) -> None:
        """Nothing."""


class LiveTables(Stores):
    """The live tables and no other store: the workers keep identities and dead letters."""

    def __init__(self, settings: Settings, clickhouse: ClickHouse) -> None:
        self.settings = settings
        self.folding = folding_thread()
        self.clickhouse = clickhouse
        self.links = NoLinks()

    async def send(self, topic: str, partition: int | None, value: bytes, **rest: Any) -> None:
        """Nothing."""


class Follower:
    """One partition's buckets from a mark on, under the cuts and tokens of the workers.

    Whether a worker has put a bucket into the old tables, into the new ones, or half into each, this inserts it again.
    The new tables drop what they have. It inserts no bucket before its worker has committed it: a worker that inserts
    a bucket much later than the rebuild would count it twice.
    """

    def __init__(self, place: TopicPartition, mark: Mark, new_work: Callable[[int], BucketWork]) -> None:
        self.place = place
        self.whole = False
        self.stuck = False
        self._mark = mark
        self._new_work = new_work
        self._bucket: Bucket | None = None

    def is_before(self, mark: Mark) -> bool:
        """Return whether the workers have counted more than what is stored here."""
        return self._mark.offset < mark.offset

    async def take(self, fetched: Fetched, mark: Mark, *, one: bool) -> None:
        """Take records. Buckets behind the first are cut by `mark`; with `one`, keep the first that is whole."""
        for part in cut(self.place, 0, 0, fetched):
            records = part.records
            while records and not self.stuck and not self.whole:
                if self._bucket is None:
                    records = records[self._mark.cut.passed(records) :]
                    if not records:
                        break
                    self._bucket = self._opened(records[0])
                if taken := self._bucket.take(part, records):
                    records = records[taken:]
                    self.stuck = self._bucket.work.braked()
                elif one:
                    self.whole = True
                else:
                    await self.close(Mark(self._bucket.last + 1, mark.cut))

    def _opened(self, head: Any) -> Bucket:
        offset, tp, worker_cut = self._mark.offset, self.place, self._mark.cut
        index = worker_cut.bucket_of(head.timestamp, tp.partition)
        return Bucket(tp, worker_cut, index, offset, head.offset, head.timestamp, self._new_work(head.timestamp), 0.0)

    async def close(self, mark: Mark) -> None:
        """Store the open bucket, if there is one; the next one begins at `mark`."""
        bucket, self._bucket, self._mark = self._bucket, None, mark
        if bucket is not None:
            await bucket.work.store(bucket, patiently)


class Follow:
    """Inserts the buckets from the marks before the exchange up to the first that can only be in the new tables."""

    def __init__(
        self,
        settings: Settings,
        clickhouse: ClickHouse,
        log: Log,
        identities: Mapping[TopicPartition, Identities],
        before: Marks,
    ) -> None:
        stores = LiveTables(settings, clickhouse)
        self._log = log
        self._followers = {
            place: Follower(place, mark, partial(HeatmapBucket, stores, identities[place]))
            for place, mark in before.by_place.items()
        }

    async def run(
        self,
        marks: Marks,
        ends: Mapping[TopicPartition, int],
        read_marks: Callable[[], Awaitable[Marks]],
        say: Callable[[str], None],
    ) -> None:
        """Return when every bucket that may be in the old tables is in the new ones.

        `marks` and `ends` are those right after the exchange. A worker stores one bucket of a partition at a time, from
        its committed offset on, and only when a record behind the bucket is in the log. So what is before the marks may
        be in the old tables, and the bucket behind a mark if it was whole. Such a bucket is waited for: its worker
        commits it, or has gone. Then it is the next worker's, who stores it anew.
        """
        await self._up_to(marks, self._followers)
        while self._log.left(until := {place: ends[place] for place, one in self._followers.items() if not one.whole}):
            await self._read(until, marks, one=True)
        waiting = {place: one for place, one in self._followers.items() if one.whole and not one.stuck}
        while waiting and marks.members:
            await asyncio.sleep(LOOK_S)
            marks = await patiently("kafka", read_marks)
            stored = {place: one for place, one in waiting.items() if one.is_before(marks.by_place[place])}
            await self._up_to(marks, stored)
            waiting = {place: one for place, one in waiting.items() if place not in stored}
            if stored:
                say(f"{len(waiting)} buckets are still to be stored by the workers that had begun them")

    async def _up_to(self, marks: Marks, followers: Mapping[TopicPartition, Follower]) -> None:
        """Read up to the marks, where a bucket ends."""
        until = {place: marks.by_place[place].offset for place in followers}
        while self._log.left(until):
            await self._read(until, marks, one=False)
        for place, one in followers.items():
            await one.close(marks.by_place[place])

    async def _read(self, until: Mapping[TopicPartition, int], marks: Marks, *, one: bool) -> None:
        fetched = await self._log.fetch(until)
        await asyncio.gather(
            *(self._followers[place].take(part, marks.by_place[place], one=one) for place, part in fetched.items())
        )
