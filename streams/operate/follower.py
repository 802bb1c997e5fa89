"""The last step of a rebuild: it inserts again the buckets that workers stored around the exchange."""

import asyncio
import time
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

POLL_S, REMIND_S = 0.3, 60.0


class NoLinks(IdentityLinks):
    """Identity links that store nothing, so that the identities of the workers are not overwritten."""

    def __init__(self) -> None:
        pass

    def keep(self, tp: TP, bucket: ClosedBucket) -> None:
        """Store nothing."""


class LiveTables(Stores):
    """The live tables without other stores: only the workers store identities and dead letters."""

    def __init__(self, settings: Settings, clickhouse: ClickHouse) -> None:
        self.settings = settings
        self.folding = folding_thread()
        self.clickhouse = clickhouse
        self.links = NoLinks()

    async def send(self, topic: str, partition: int | None, value: bytes | None, **rest: Any) -> None:
        """Send nothing."""


class Follower:
    """The buckets of one partition from a mark on, with the cuts and tokens of the workers.

    A worker may have inserted a bucket into the old tables, into the new ones, or half into each. The follower inserts
    it again in each case, and the new tables drop the inserts that they have. It inserts no bucket before its worker
    has committed it: a worker that inserts a bucket much later than the rebuild would count it twice.
    """

    def __init__(self, place: TopicPartition, mark: Mark, new_work: Callable[[int], BucketWork]) -> None:
        self.place = place
        self.whole = False
        self.stuck = False
        self._mark = mark
        self._new_work = new_work
        self._bucket: Bucket | None = None

    def is_before(self, mark: Mark) -> bool:
        """Return whether the workers have counted more than the follower has stored."""
        return self._mark.offset < mark.offset

    async def take(self, fetched: Fetched, mark: Mark, *, one: bool) -> None:
        """Add records to buckets. Buckets after the first are cut by `mark`.

        With `one`, stop at the first whole bucket and do not store it.
        """
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
        """Store the open bucket, if any. The next bucket begins at `mark`."""
        bucket, self._bucket, self._mark = self._bucket, None, mark
        if bucket is not None:
            await bucket.work.store(bucket, patiently)


class Follow:
    """The run over all partitions, from the marks before the exchange on.

    It ends at the first bucket that can only be in the new tables.
    """

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
        """Insert into the new tables each bucket that a worker may have stored in the old tables.

        `marks` and `ends` are from right after the exchange. A worker stores one bucket of a partition at a time, from
        its committed offset on, and only when a record behind the bucket is in the log. So the old tables may have the
        buckets before the marks, and the bucket behind a mark if it was whole. This waits for such a bucket until its
        worker has committed it or has gone. In the second case the next worker stores it again.
        """
        await self._up_to(marks, self._followers)
        while self._log.left(
            until := {place: ends[place] for place, follower in self._followers.items() if not follower.whole}
        ):
            await self._read(until, marks, one=True)
        waiting = {
            place: follower for place, follower in self._followers.items() if follower.whole and not follower.stuck
        }
        remind_at = time.monotonic() + REMIND_S
        while waiting and marks.members:
            if time.monotonic() >= remind_at:
                remind_at += REMIND_S
                places = ", ".join(str(place.partition) for place in waiting)
                say(f"partitions {places}: their workers store nothing; restart a worker that has paused a partition")
            await asyncio.sleep(POLL_S)
            marks = await patiently("kafka", read_marks)
            stored = {
                place: follower for place, follower in waiting.items() if follower.is_before(marks.by_place[place])
            }
            await self._up_to(marks, stored)
            waiting = {place: follower for place, follower in waiting.items() if place not in stored}
            if stored:
                remind_at = time.monotonic() + REMIND_S
                say(f"{len(waiting)} buckets are not yet stored by the workers")

    async def _up_to(self, marks: Marks, followers: Mapping[TopicPartition, Follower]) -> None:
        """Read up to the marks, at which buckets end."""
        until = {place: marks.by_place[place].offset for place in followers}
        while self._log.left(until):
            await self._read(until, marks, one=False)
        for place, follower in followers.items():
            await follower.close(marks.by_place[place])

    async def _read(self, until: Mapping[TopicPartition, int], marks: Marks, *, one: bool) -> None:
        fetched = await self._log.fetch(until)
        await asyncio.gather(
            *(self._followers[place].take(part, marks.by_place[place], one=one) for place, part in fetched.items())
        )
