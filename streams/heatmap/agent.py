"""The heatmap agent, which turns slices of `heatmap.events` into rows of the heatmap tables."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, Self

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from faust.types import TP
from mode import Service
from redis.asyncio import Redis

from infra.kafka.producer import build_producer
from infra.redis.identities import BucketIdentities, ClosedBucket
from infra.redis.line import SOCKET_S
from processors.heatmap.brake import Brake
from processors.heatmap.cuts import Cut
from processors.heatmap.decode import Fold, Rejected
from processors.heatmap.rows import Part
from processors.heatmap.tiers import with_days_late
from schemas.codec import BEACON
from schemas.errors import LpstreamError, Retryable
from schemas.heatmap import TOPIC
from streams.heatmap.bucket import Bucket, BucketWork, Retry
from streams.heatmap.delivery import Delivery
from streams.heatmap.identities import Identities
from streams.heatmap.identity_links import IdentityLinks, decoded_of
from streams.heatmap.lanes import Lanes
from streams.heatmap.partition_gauges import PartitionGauges
from streams.runtime import metrics
from streams.runtime.settings import Settings
from streams.runtime.stores import open_line, open_writer, open_writers
from streams.transports.dead_letters import MOST_ERROR, dead_letter_headers, fitted
from streams.transports.slices import PassThrough, Slice

log = logging.getLogger(__name__)

TICK_INTERVAL_S = 0.25
# shorter than the time that the manifests and `lpstream up` give a worker to stop
FINISH_S = 10.0
IDENTITY_BYTES = 60
LETTER_BYTES = 500  # objects and headers
REGISTRY_PAUSE_S = 1.0


def folding_thread() -> ThreadPoolExecutor:
    """Return an executor with a single thread, which builds all parts.

    Each further thread would keep its own heap: with six threads, a hostile log took 700 MB more.
    """
    return ThreadPoolExecutor(1, thread_name_prefix="fold")


class Stores:
    """The stores of the heatmap worker."""

    def __init__(self, settings: Settings, *, database: str = "lpstream") -> None:
        self.settings = settings
        self.folding = folding_thread()
        self.clickhouse = open_writer(settings, database)
        self.redis: Redis = open_line(settings, socket_s=SOCKET_S).redis
        self.writers = open_writers(settings)
        self.links = IdentityLinks(
            BucketIdentities(self.redis), settings.kafka_bootstrap_servers, learn=self.learn_patiently
        )
        self.producer: AIOKafkaProducer = build_producer(settings.kafka_bootstrap_servers, settings.broker)

    async def close(self) -> None:
        """Close all clients and the thread."""
        self.folding.shutdown(wait=False, cancel_futures=True)
        await self.links.close()
        await self.producer.stop()
        await self.redis.aclose()
        await self.clickhouse.close()
        await self.writers.aclose()

    async def learn_patiently(self, records: list[Any]) -> None:
        """Let the codec read the records. They wait while the registry does not answer."""
        while True:
            try:
                return await self.writers.learn(BEACON, [record.value for record in records])
            except Retryable as error:
                log.warning("%s; waiting", error)
                await asyncio.sleep(REGISTRY_PAUSE_S)

    async def next_part(self, parts: Iterator[Part]) -> Part | None:
        """Return the next part, or None after the last."""
        return await asyncio.get_running_loop().run_in_executor(self.folding, next, parts, None)

    async def send(self, topic: str, partition: int | None, value: bytes | None, **rest: Any) -> None:
        """Append one record and wait for the broker. Raise Retryable if the broker refuses it."""
        try:
            await self.producer.send_and_wait(topic, value, partition=partition, **rest)
        except KafkaError as error:
            raise Retryable(f"Kafka: {type(error).__name__}") from error


class Letter(NamedTuple):
    """A dead letter that waits until its bucket is stored.

    It keeps no more of its record than Kafka gets.
    """

    key: bytes | None
    value: bytes | None
    size: list[tuple[str, bytes]]
    error: str
    offset: int
    timestamp_ms: int

    @classmethod
    def of(cls, record: Any, bad: Rejected) -> Self:
        """Return the letter of a rejected record."""
        error = f"{bad.field}: {bad.detail}" if bad.field else bad.detail
        return cls(*fitted(record.key, record.value), error[:MOST_ERROR], record.offset, record.timestamp)

    @property
    def bytes(self) -> int:
        """The approximate bytes of the letter."""
        return LETTER_BYTES + len(self.key or b"") + len(self.value or b"") + len(self.error)


class HeatmapBucket:
    """The work of a bucket of beacons: its rows, its rejected records and its identities.

    `brake` has the rejected records of the partition's earlier buckets, too. It begins with the worker's first bucket,
    so it never pauses a bucket that an earlier worker has stored in part, unless the bucket alone does.
    """

    def __init__(self, stores: Stores, identities: Identities, at_ms: int, brake: Brake | None = None) -> None:
        self._stores = stores
        self._identities = identities
        self._at_ms = at_ms
        self._fold = Fold()
        self._letters: list[Letter] = []
        self._letter_bytes = 0
        self._seen: list[tuple[int, list[bytes]]] = []
        self._records = 0
        self._brakes = [Brake()]
        if brake is not None:
            brake.begin_bucket(stores.settings.dlq_max_run)
            self._brakes.append(brake)

    def add(self, records: list[Any], number: int) -> None:
        """Decode the records, drop retries, and add the rest to the rows."""
        decoded = decoded_of(records)
        early = self._identities.early
        keep = self._identities.fresh(decoded.identities, number)
        metrics.FORGOTTEN.inc(self._identities.early - early)
        self._seen.append((number, decoded.identities))
        self._fold.add(decoded.columns if keep.all() else decoded.columns.select(keep))
        letters = [Letter.of(records[bad.index], bad) for bad in decoded.rejected]
        size = sum(letter.bytes for letter in letters)
        self._letters += letters
        self._letter_bytes += size
        for brake in self._brakes:
            brake.add(decoded)
        self._note(len(decoded.identities), len(decoded.rejected), int(keep.sum()), decoded.skewed)

    def _note(self, beacons: int, rejected: int, counted: int, skewed: int) -> None:
        self._records += beacons + rejected
        metrics.RECORDS.inc(beacons + rejected)
        metrics.CLOCK_SKEW.inc(skewed)
        metrics.DROPPED.labels("retry").inc(beacons - counted)
        metrics.DROPPED.labels("undecodable").inc(rejected)

    def braked(self) -> bool:
        """Return whether the rejected records of the bucket, or of the partition, are over a limit."""
        settings = self._stores.settings
        return any(brake.over(settings.dlq_max_run, settings.dlq_max_ratio) for brake in self._brakes)

    def held(self) -> int:
        """Return the approximate memory of the bucket in bytes."""
        return self._fold.held + self._letter_bytes + IDENTITY_BYTES * self._records

    async def store(self, bucket: Bucket, retry: Retry) -> None:
        """Insert the rows, send rejected records to the dead-letter topic, pass the identities on."""
        parts = self._fold.parts(bucket.cut.part_rows)
        while (part := await self._stores.next_part(parts)) is not None:
            rows = with_days_late(part.rows, self._at_ms)
            token = bucket.token_of(part.number)
            await retry("clickhouse", partial(self._stores.clickhouse.insert, part.table, rows, token))
        letters = (partial(self._dead_letter, bucket.tp, letter) for letter in self._letters)
        await asyncio.gather(*(retry("dlq", letter) for letter in letters))
        self._stores.links.keep(bucket.tp, ClosedBucket(bucket.begin, bucket.last, bucket.timestamp_ms, self._seen))
        metrics.EVENTS.inc(self._fold.events)

    async def _dead_letter(self, tp: TP, letter: Letter) -> None:
        headers = dead_letter_headers(letter.error, tp.topic, tp.partition, letter.offset, letter.timestamp_ms)
        await self._stores.send(f"{tp.topic}.dlq", None, letter.value, key=letter.key, headers=headers + letter.size)
        metrics.DEAD_LETTERS.labels(tp.topic).inc()


def opener(
    stores: Stores, known: dict[TP, Identities]
) -> Callable[[Slice, int, int], Awaitable[Callable[[int], BucketWork]]]:
    """Return the function that prepares a newly assigned partition.

    It loads the partition's identities and stores them in `known`.
    """

    async def open_work(part: Slice, boundary: int, earliest: int) -> Callable[[int], BucketWork]:
        identities = known[part.tp] = await stores.links.load(part, boundary, earliest)
        return partial(HeatmapBucket, stores, identities, brake=Brake())

    return open_work


class HeatmapService(Service):  # type: ignore[misc]  # mypy does not follow mode
    """The service that opens and closes the stores, feeds the delivery and appends ticks."""

    def __init__(self, app: faust.App, settings: Settings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._app = app
        self._settings = settings
        self._opened = asyncio.Event()
        self._identities: dict[TP, Identities] = {}
        self._gauges = PartitionGauges()
        self._stores: Stores
        self._delivery: Delivery
        self._lanes: Lanes

    async def on_start(self) -> None:
        """Open the clients. ClickHouse and Redis may be unavailable: their calls are retried."""
        self._stores = Stores(self._settings)
        await self._stores.producer.start()
        cut = Cut(self._settings.heatmap_bucket_records)
        self._app.consumer.metadata = cut.metadata
        self._delivery = Delivery(
            self._app.consumer,
            opener(self._stores, self._identities),
            cut=cut,
            skew_s=self._settings.heatmap_skew_s,
            on_fatal=self._end_for,
        )
        consumer = self._app.consumer
        self._lanes = Lanes(self._take, consumer.on_buffer_full, consumer.on_buffer_drop, self._end_for)
        self._opened.set()

    async def _take(self, part: Slice) -> None:
        await self._stores.learn_patiently(part.records)
        await self._delivery.on_slice(part)

    def _end_for(self, error: Exception) -> None:
        """Log the error and end the worker with it."""
        log.error("%s", error, exc_info=None if isinstance(error, LpstreamError) else error)
        self.add_future(self._app.crash(error))

    async def finish(self) -> None:
        """Wait for the buckets that are being stored, before the worker leaves its group."""
        if self._opened.is_set() and (late := await self._delivery.finish(FINISH_S)):
            log.warning(
                "%d buckets are not committed after %g s; the partition's next worker stores them again", late, FINISH_S
            )

    async def on_stop(self) -> None:
        """Close the clients."""
        if self._opened.is_set():
            await self._lanes.close()
            await self._delivery.close()
            await self._stores.close()

    async def consume(self, stream: Any) -> None:
        """Put each slice into its lane.

        The partition's next owner builds again the buckets that are open when the agent ends.
        """
        await self._opened.wait()
        async for event in stream.noack().events():
            event.ack()
            self._lanes.put(event.value)

    @Service.task  # type: ignore[untyped-decorator]
    async def _tick(self) -> None:
        await self._opened.wait()
        while not self.should_stop:
            await self.sleep(TICK_INTERVAL_S)
            for bucket in self._delivery.overdue():
                await self._append_tick(bucket)
            self._delivery.commit_quiet()
            self._update_gauges()

    def _update_gauges(self) -> None:
        """Update the gauges."""
        metrics.OPEN_BUCKET_AGE.set(self._delivery.open_for_s())
        self._gauges.update(self._app.consumer, self._delivery)
        for tp in self._identities.keys() - self._app.consumer.assignment():
            del self._identities[tp]
        metrics.IDENTITIES.set(sum(len(identities.known) for identities in self._identities.values()))

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
    app.before_leaving = service.finish
    app.agent(app.topic(TOPIC, schema=PassThrough()), name="heatmap")(service.consume)
