"""The heatmap agent: slices of `heatmap.events` become rows of the five tables."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC
from functools import partial
from typing import Any, Protocol

import faust
import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.types import TP
from mode import Service
from redis.asyncio import Redis

from infra.clickhouse.client import ClickHouse
from infra.identities import BucketIdentities, ClosedBucket
from infra.kafka.admin import committed
from infra.kafka.log import has_records_before, read_back
from infra.kafka.producer import build_producer
from infra.redis import open_redis
from processors.heatmap import Fold, Rejected, decode
from processors.tiers import with_days_late
from schemas.errors import Refused, Retryable
from schemas.heatmap import TOPIC
from streams import metrics
from streams.delivery import Bucket, BucketWork, Delivery, Retry
from streams.identities import RETRY_WINDOW_MS, Identities
from streams.settings import Settings
from streams.transport import MARK, PassThrough, Slice

log = logging.getLogger(__name__)

TICK_INTERVAL_S = 0.25
GROUP = "lpstream-heatmap"
BEFORE_MS = 10 * 60 * 1000


def writer(settings: Settings, database: str) -> ClickHouse:
    """ClickHouse as the user that writes."""
    password = settings.clickhouse_password.get_secret_value()
    return ClickHouse.open(settings.clickhouse_url, settings.clickhouse_user, password, database)


class IdentityLinks(Protocol):
    """Where identities of closed buckets are kept: infra.identities.BucketIdentities."""

    async def put(self, topic: str, partition: int, bucket: ClosedBucket) -> None:
        """Keep a bucket's."""

    async def chain(
        self, topic: str, partition: int, boundary: int, oldest_ms: int, first_offset: int
    ) -> list[ClosedBucket] | None:
        """Those before a boundary."""


class Stores:
    """The stores of the heatmap worker."""

    def __init__(self, settings: Settings, *, database: str = "lpstream") -> None:
        self.settings = settings
        self.clickhouse = writer(settings, database)
        self.redis: Redis = open_redis(settings.redis_url)
        self.identities: IdentityLinks = BucketIdentities(self.redis)
        self.producer: AIOKafkaProducer = build_producer(settings.kafka_bootstrap_servers, settings.broker)

    async def close(self) -> None:
        """Close what is open."""
        await self.producer.stop()
        await self.redis.aclose()
        await self.clickhouse.close()

    async def send(self, topic: str, partition: int | None, value: bytes, **rest: Any) -> None:
        """Append one record and wait for the broker; Retryable when it does not take it."""
        try:
            await self.producer.send_and_wait(topic, value, partition=partition, **rest)
        except KafkaError as error:
            raise Retryable(f"Kafka: {type(error).__name__}") from error


class HeatmapBucket:
    """A bucket of beacons: its rows, its rejects, its identities."""

    def __init__(self, stores: Stores, identities: Identities, at_ms: int) -> None:
        self._stores = stores
        self._identities = identities
        self._at_ms = at_ms
        self._fold = Fold()
        self._rejected: list[tuple[Any, Rejected]] = []
        self._counted: list[bytes] = []
        self._records = 0
        self._rejected_run = 0

    def add(self, records: list[Any]) -> None:
        """Decode, drop retries, fold."""
        values = [record.value or b"" for record in records]
        decoded = decode(values, np.fromiter((record.timestamp for record in records), np.int64, len(records)))
        keep = self._identities.fresh(decoded.identities, self._at_ms)
        if keep.all():
            self._fold.add(decoded.columns)
            self._counted.extend(decoded.identities)
        else:
            self._fold.add(decoded.columns.select(keep))
            self._counted.extend(identity for identity, kept in zip(decoded.identities, keep, strict=True) if kept)
        self._rejected.extend((records[bad.index], bad) for bad in decoded.rejected)
        self._note(len(decoded.identities), len(decoded.rejected), int(keep.sum()), decoded.skewed)

    def _note(self, beacons: int, rejected: int, counted: int, skewed: int) -> None:
        self._records += beacons + rejected
        self._rejected_run = self._rejected_run + rejected if rejected and not beacons else rejected
        metrics.RECORDS.inc(beacons + rejected)
        metrics.CLOCK_SKEW.inc(skewed)
        metrics.DROPPED.labels("retry").inc(beacons - counted)
        metrics.DROPPED.labels("undecodable").inc(rejected)

    def rows(self) -> bool:
        """Whether anything of the bucket is waited for."""
        return self._fold.beacons > 0 or bool(self._rejected)

    def braked(self) -> bool:
        """Whether the share or the run of undecodable records is over the limits."""
        settings = self._stores.settings
        if self._rejected_run >= settings.dlq_max_run:
            return True
        return self._records >= settings.dlq_max_run and (len(self._rejected) > settings.dlq_max_ratio * self._records)

    async def store(self, bucket: Bucket, retry: Retry) -> None:
        """Insert each table, dead-letter the rejects, write the identities."""
        tables = await retry("fold", lambda: asyncio.to_thread(self._tables))
        for table, rows in tables.items():
            await retry("clickhouse", partial(self._stores.clickhouse.insert, table, rows, bucket.token))
        await asyncio.gather(*(retry("dlq", partial(self._dead_letter, record, bad)) for record, bad in self._rejected))
        closed = ClosedBucket(bucket.first, bucket.last, bucket.timestamp_ms, self._counted)
        try:
            await self._stores.identities.put(bucket.tp.topic, bucket.tp.partition, closed)
        except Retryable as error:
            # Redis is a view here: a missing link is read back from the log
            metrics.RETRIES.labels("redis").inc()
            log.warning("identities of %s not kept: %s", bucket.token, error)
        self._identities.close_bucket(bucket.timestamp_ms, self._counted)
        metrics.EVENTS.inc(self._fold.events)

    def _tables(self) -> dict[str, Any]:
        return {table: with_days_late(rows, self._at_ms) for table, rows in self._fold.tables().items()}

    async def _dead_letter(self, record: Any, bad: Rejected) -> None:
        error = f"{bad.field}: {bad.detail}" if bad.field else bad.detail
        headers = [
            ("error", error[:1_000].encode()),
            ("topic", record.topic.encode()),
            ("partition", str(record.partition).encode()),
            ("offset", str(record.offset).encode()),
            ("timestamp", str(record.timestamp).encode()),
        ]
        await self._stores.send(f"{record.topic}.dlq", None, record.value, key=record.key, headers=headers)
        metrics.DEAD_LETTERS.labels(record.topic).inc()


def opener(
    stores: Stores, known: dict[TP, Identities]
) -> Callable[[Slice, int, int], Awaitable[Callable[[int], BucketWork]]]:
    """What prepares a newly assigned partition: its identities, from Redis or else from the log; noted in `known`."""

    async def open_work(part: Slice, boundary: int, earliest: int) -> Callable[[int], BucketWork]:
        identities = known[part.tp] = await _load(stores, part, boundary, earliest)
        return partial(HeatmapBucket, stores, identities)

    return open_work


async def _load(stores: Stores, part: Slice, boundary: int, earliest: int) -> Identities:
    topic, partition = part.tp.topic, part.tp.partition
    oldest = part.records[0].timestamp - RETRY_WINDOW_MS
    identities = Identities()
    try:
        chain = await stores.identities.chain(topic, partition, boundary, oldest, earliest)
    except Retryable as error:
        log.warning("%s: %s; reading identities back from the log", part.tp, error)
        chain = None
    if chain is not None:
        identities.load([(bucket.timestamp_ms, bucket.identities) for bucket in chain])
        return identities
    servers = stores.settings.kafka_bootstrap_servers
    async for records in read_back(servers, topic, partition, oldest, boundary):
        times = np.fromiter((record.timestamp for record in records), np.int64, len(records))
        found = decode([record.value or b"" for record in records], times).identities
        identities.load([(int(records[0].timestamp), found)])
    return identities


class HeatmapService(Service):  # type: ignore[misc]  # mypy does not follow mode
    """Opens the stores with the app, feeds the delivery, appends ticks, closes the stores."""

    def __init__(self, app: faust.App, settings: Settings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._app = app
        self._settings = settings
        self._opened = asyncio.Event()
        self._identities: dict[TP, Identities] = {}
        self._stores: Stores
        self._delivery: Delivery

    async def on_start(self) -> None:
        """Open the clients; ClickHouse and Redis may be away, their calls are tried again."""
        self._stores = Stores(self._settings)
        await self._stores.producer.start()
        self._delivery = Delivery(
            self._app.consumer,
            opener(self._stores, self._identities),
            bucket_records=self._settings.heatmap_bucket_records,
            skew_s=self._settings.heatmap_skew_s,
        )
        self._opened.set()

    async def on_stop(self) -> None:
        """Close the clients."""
        if self._opened.is_set():
            await self._delivery.close()
            await self._stores.close()

    async def consume(self, stream: Any) -> None:
        """The agent: slices one after another; what is open when it ends is made again by the next owner."""
        await self._opened.wait()
        async for event in stream.noack().events():
            event.ack()
            await self._delivery.on_slice(event.value)

    @Service.task  # type: ignore[untyped-decorator]
    async def _tick(self) -> None:
        await self._opened.wait()
        while not self.should_stop:
            await self.sleep(TICK_INTERVAL_S)
            for bucket in self._delivery.overdue():
                await self._append_tick(bucket)
            self._tell()

    def _tell(self) -> None:
        """Bring the gauges up to date."""
        ages = list(self._delivery.ages().values())
        metrics.OPEN_BUCKET_AGE.set(max((age for age, _ in ages), default=0.0))
        metrics.COMMIT_AGE.set(max((age for _, age in ages), default=0.0))
        consumer = self._app.consumer
        mine = {tp: state for tp, state in self._delivery.partitions.items() if tp in consumer.assignment()}
        metrics.LAG.set(sum(max(0, (consumer.highwater(tp) or 0) - state.expected) for tp, state in mine.items()))
        metrics.IDENTITIES.set(sum(len(self._identities[tp].known) for tp in mine))

    async def _append_tick(self, bucket: Bucket) -> None:
        try:
            await self._stores.send(bucket.tp.topic, bucket.tp.partition, b"")
            metrics.TICKS.inc()
        except Retryable as error:
            log.warning("tick for %s not sent: %s", bucket.tp, error)


def register(app: faust.App, settings: Settings) -> None:
    """Attach the heatmap agent and its service to the app."""
    service = HeatmapService(app, settings)
    app.service(service)
    app.agent(app.topic(TOPIC, schema=PassThrough()), name="heatmap")(service.consume)


async def refuse_rewound(settings: Settings) -> None:
    """Refused when the group's offsets were moved by anyone but the workers while the tables are full.

    What lies between the old place and the new one would be counted twice, or never. Only commits of ours carry our
    mark. Retryable when a store is away.
    """
    if settings.broker == "tansu":  # the log is made anew with the broker, and tells no metadata
        return
    offsets = await committed(settings.kafka_bootstrap_servers, GROUP)
    moved = [tp for tp, one in offsets.items() if tp.topic == TOPIC and one.metadata != MARK]
    if moved:
        raise Refused(
            f"the offsets of group {GROUP} were moved by hand ({len(moved)} partitions of {TOPIC}), which would count "
            "beacons twice or never: run `lpstream rebuild`, which makes the tables anew from the log"
        )
    if not offsets and (newest_ms := await _newest_window(settings)) is not None:
        older = await has_records_before(settings.kafka_bootstrap_servers, TOPIC, newest_ms - BEFORE_MS)
        if older:
            raise Refused(
                f"group {GROUP} has no offsets while the tables hold windows that the log of {TOPIC} covers: beacons "
                "would be counted twice; run `lpstream rebuild`, which makes the tables anew from the log"
            )


async def _newest_window(settings: Settings) -> int | None:
    """Start of the newest window, ms; None in empty tables."""
    clickhouse = writer(settings, "lpstream")
    try:
        row = (await clickhouse.rows("SELECT count() AS n, max(window_start) AS newest FROM heatmap_windows"))[0]
    finally:
        await clickhouse.close()
    return int(row["newest"].replace(tzinfo=UTC).timestamp() * 1000) if row["n"] else None
