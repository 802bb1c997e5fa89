"""Heatmap tables made anew from the log, beside the running workers, then exchanged with the old ones.

Cuts are a function of the log, so the rebuild makes the same buckets under the same tokens as the workers do. That is
what lets it run while traffic goes on: after the exchange both insert into the same tables, and whatever both insert
is counted once. Steps:

1. empty tables in a database of their own, filled from the log's first record to its end;
2. days whose records the log no longer has all of are taken over from the old tables, days on S3 are left there;
3. the tables change places;
4. the rebuild follows the log until it has passed everything that may have gone into an old table last.

A rebuild that is cut off before 3 has changed nothing. After that, run it again.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from faust.types import TP

from infra.identities import ClosedBucket
from infra.kafka import admin
from infra.lease import Lease
from infra.tiers.hot import HotTables
from infra.tiers.ledger import Ledger
from processors.fold import TABLES
from schemas.errors import Refused, Retryable
from schemas.heatmap import TOPIC
from schemas.tiers import HotPartition, Step
from streams.delivery import Delivery
from streams.heatmap import GROUP, Stores, opener, writer
from streams.settings import Settings
from streams.tiers.run import no_moves
from streams.transport import MARK, cut

DATABASE = "lpstream_rebuild"
FUTURE_MS = 5 * 60 * 1000
FETCH_MS = 500
LOOK_S = 1.0
TIER_WAIT_S = 600.0

Say = Callable[[str], None]
OnProgress = Callable[[int, int], None]


class NoLinks:
    """Identities that are kept nowhere and found nowhere: the live workers' own must not be overwritten."""

    async def put(self, topic: str, partition: int, bucket: ClosedBucket) -> None:
        """Nothing."""

    async def chain(self, *_: Any) -> None:
        """Nothing: the log is read back."""


class ReplayStores(Stores):
    """The stores of a rebuild: tables beside the real ones, no identities, no dead letters (they are there already)."""

    def __init__(self, settings: Settings) -> None:
        # nothing brakes a rebuild: what could not be decoded was set aside the first time
        calm = settings.model_copy(update={"dlq_max_run": 2**31, "dlq_max_ratio": 1.0})
        super().__init__(calm, database=DATABASE)
        self.identities = NoLinks()

    async def aim(self, database: str) -> None:
        """Insert into the tables of that database from now on."""
        await self.clickhouse.close()
        self.clickhouse = writer(self.settings, database)

    async def send(self, topic: str, partition: int | None, value: bytes, **rest: Any) -> None:
        """Nothing."""


class LogReader:
    """The whole log outside any group; a consumer for the delivery, which knows where each partition stands."""

    def __init__(self, consumer: AIOKafkaConsumer, begins: dict[TP, int]) -> None:
        self._consumer = consumer
        self._begins = begins
        self.boundaries: dict[TP, int] = dict(begins)
        self.first_ms: dict[TP, int] = {}
        self.fetches = 0

    async def fetch(self, delivery: Delivery) -> None:
        """One fetch, brought to the delivery."""
        self.fetches += 1
        for place, records in (await self._consumer.getmany(timeout_ms=FETCH_MS)).items():
            tp = TP(place.topic, place.partition)
            self.first_ms.setdefault(tp, records[0].timestamp)
            for part in cut(tp, 0, self.fetches, records):
                await delivery.on_slice(part)

    def current(self, epoch: int) -> bool:
        """Always: nobody takes partitions away."""
        return True

    def complete(self, tp: TP, next_offset: int, epoch: int) -> bool:
        """Note a boundary."""
        self.boundaries[tp] = next_offset
        return True

    async def commit_boundary(self, tp: TP) -> bool:
        """Nothing to commit."""
        return True

    async def committed(self, tp: TP) -> int | None:
        """The last boundary."""
        return self.boundaries[tp]

    async def earliest(self, tp: TP) -> int:
        """The partition's first offset."""
        return self._begins[tp]

    def rewind(self, tp: TP, offset: int) -> int:
        """Read again from there."""
        self._consumer.seek(TopicPartition(tp.topic, tp.partition), offset)
        return self.fetches

    def brake(self, tps: Iterable[TP]) -> None:
        """Never called: the limits are out of reach."""


class Rebuild:
    """One run. `on_progress` gets records read and records to read."""

    def __init__(self, settings: Settings, say: Say, on_progress: OnProgress) -> None:
        self._settings = settings
        self._servers = settings.kafka_bootstrap_servers
        self._say = say
        self._on_progress = on_progress
        self._clickhouse = writer(settings, "default")

    async def run(self) -> dict[str, Any]:
        """All steps; what was done, as figures. Refused when the log does not reach back one whole day."""
        async with no_moves(self._settings, TIER_WAIT_S) as held:
            return await self._run(held)

    async def _run(self, held: Lease) -> dict[str, Any]:
        started = time.monotonic()
        await self._empty_tables()
        stores = ReplayStores(self._settings)
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, enable_auto_commit=False)
        try:
            await consumer.start()
            figures = await self._rebuild(stores, consumer, held)
        except KafkaError as error:
            raise Retryable(f"Kafka: {type(error).__name__}: {error}") from error
        finally:
            await consumer.stop()
            await stores.clickhouse.close()
            await stores.redis.aclose()
        await self._clickhouse.command(f"DROP DATABASE {DATABASE} SYNC")
        await self._clickhouse.close()
        return {**figures, "seconds": round(time.monotonic() - started, 1)}

    async def _rebuild(self, stores: ReplayStores, consumer: AIOKafkaConsumer, held: Lease) -> dict[str, Any]:
        places = await admin.partitions_of(self._servers, TOPIC)
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        begins = _by_tp(await consumer.beginning_offsets(places))
        reader = LogReader(consumer, begins)
        settings = self._settings
        delivery = Delivery(
            reader, opener(stores, {}), bucket_records=settings.heatmap_bucket_records, skew_s=settings.heatmap_skew_s
        )
        await self._read(reader, delivery, begins, _by_tp(await consumer.end_offsets(places)))
        kept = await self._keep_older_days(reader, begins)
        await held.check()
        await self._exchange()
        await stores.aim("lpstream")
        self._say("tables exchanged; following the log until nothing is missing")
        await self._follow(reader, delivery, _by_tp(await consumer.end_offsets(places)))
        await delivery.close()
        if not await admin.members(self._servers, GROUP):
            await self._set_group(reader.boundaries)
        return {"records": sum(reader.boundaries[tp] - begins[tp] for tp in begins), "days_kept": kept}

    async def _empty_tables(self) -> None:
        await self._clickhouse.command(f"DROP DATABASE IF EXISTS {DATABASE} SYNC")
        await self._clickhouse.command(f"CREATE DATABASE {DATABASE} COMMENT 'Tables of a rebuild that runs'")
        for table in TABLES:
            await self._clickhouse.command(f"CREATE TABLE {DATABASE}.{table} AS lpstream.{table}")

    async def _read(self, reader: LogReader, delivery: Delivery, begins: dict[TP, int], ends: dict[TP, int]) -> None:
        total = sum(ends[tp] - begins[tp] for tp in ends)
        while (left := sum(ends[tp] - _position(reader, delivery, tp, ends[tp]) for tp in ends)) > 0:
            self._on_progress(total - left, total)
            await reader.fetch(delivery)
        await delivery.settle()
        self._on_progress(total, total)

    async def _keep_older_days(self, reader: LogReader, begins: dict[TP, int]) -> int:
        """Have the old tables' partitions, or none, where the log does not tell all or the rows have moved to S3; how
        many days were taken over.
        """
        covered = _first_whole_day(reader, begins)
        if covered > date.min and covered >= datetime.now(UTC).date():
            # a day that still gets events cannot be copied without losing some
            raise Refused(f"the log of {TOPIC} covers no whole day that is over: there is nothing to rebuild from")
        hot = HotTables(self._clickhouse)
        old, new = await hot.partitions(), await hot.partitions(DATABASE)
        moved = {
            (one.source, name)
            for one in await Ledger(self._clickhouse, "rebuild").objects()
            if one.step is not Step.GONE
            for name in one.partitions
        }
        kept = [one for one in old if _is_kept(one, covered, moved)]
        for one in kept:
            await self._clickhouse.command(
                f"ALTER TABLE {DATABASE}.{one.source} REPLACE PARTITION ID '{one.name}' FROM lpstream.{one.source}"
            )
        there = {(one.source, one.name) for one in kept}
        for one in new:
            if _is_kept(one, covered, moved) and (one.source, one.name) not in there:
                await self._clickhouse.command(f"ALTER TABLE {DATABASE}.{one.source} DROP PARTITION ID '{one.name}'")
        return len({one.day for one in kept})

    async def _exchange(self) -> None:
        for table in TABLES:
            await self._clickhouse.command(f"EXCHANGE TABLES lpstream.{table} AND {DATABASE}.{table}")

    async def _follow(self, reader: LogReader, delivery: Delivery, ends: dict[TP, int]) -> None:
        """Go on until all that a worker may have put into the old tables is in the new ones too."""
        while not await self._passed(reader, delivery, ends):
            until = time.monotonic() + LOOK_S
            while time.monotonic() < until:
                await reader.fetch(delivery)

    async def _passed(self, reader: LogReader, delivery: Delivery, ends: dict[TP, int]) -> bool:
        if await admin.members(self._servers, GROUP):
            # a worker lives: it closes each bucket with rows by a tick, and we close the same one
            return all(_closed(reader, delivery, tp, end) for tp, end in ends.items())
        offsets = _by_tp({tp: one.offset for tp, one in (await admin.committed(self._servers, GROUP)).items()})
        return all(reader.boundaries[tp] >= min(offset, ends[tp]) for tp, offset in offsets.items() if tp in ends)

    async def _set_group(self, boundaries: dict[TP, int]) -> None:
        """Have the workers, none of which runs, begin where the rebuild ended."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._servers, group_id=GROUP, enable_auto_commit=False)
        try:
            await consumer.start()
            places = {TopicPartition(tp.topic, tp.partition): (offset, MARK) for tp, offset in boundaries.items()}
            consumer.assign(list(places))
            await consumer.commit(places)
        finally:
            await consumer.stop()


def _first_whole_day(reader: LogReader, begins: dict[TP, int]) -> date:
    """The first day (UTC) whose records the log has all of; the earliest date there is when nothing was cut off."""
    cut_off = [reader.first_ms[tp] for tp, begin in begins.items() if begin > 0 and tp in reader.first_ms]
    if not cut_off:
        return date.min
    return datetime.fromtimestamp((max(cut_off) + FUTURE_MS) / 1000, UTC).date() + timedelta(days=1)


def _is_kept(one: HotPartition, covered: date, moved: set[tuple[str, str]]) -> bool:
    """Whether a partition's rows are not the log's to tell: records of that day are cut off, or the rows are on S3."""
    return one.day + timedelta(days=one.days_late) < covered or (one.source, one.name) in moved


def _by_tp(offsets: Mapping[TopicPartition, int]) -> dict[TP, int]:
    return {TP(place.topic, place.partition): offset for place, offset in offsets.items()}


def _position(reader: LogReader, delivery: Delivery, tp: TP, end: int) -> int:
    """The next offset to be read, at most `end`."""
    state = delivery.partitions.get(tp)
    return min(end, state.expected if state else reader.boundaries[tp])


def _closed(reader: LogReader, delivery: Delivery, tp: TP, end: int) -> bool:
    """Whether all rows of records before `end` are inserted."""
    if reader.boundaries[tp] >= end:
        return True
    state = delivery.partitions.get(tp)
    if state is None or _position(reader, delivery, tp, end) < end:
        return False
    stored = state.flush is None or state.flush.done()
    return stored and not (state.bucket is not None and state.bucket.work.rows())
