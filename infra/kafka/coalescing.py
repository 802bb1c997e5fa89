"""A Kafka producer with its own batches: one batch in flight for each partition.

Waiting records form the next batch, and the batches of all partitions leave in common requests. A public endpoint needs
three things that aiokafka's `send` does not do:

- A callback for each record instead of a future and timers: half of the CPU time at 2,000 records/s.
- A deadline for every record. A record whose deadline passes while it waits is never sent; a record in flight may
  still arrive. An idempotent aiokafka producer retries as long as its process lives.
- After the broker refuses a batch, an idempotent producer has a gap in its sequence, and each later batch of the
  partition fails with OutOfOrderSequenceNumber. So a producer whose batch failed is replaced, and the records of a
  refused batch are sent again one by one: a bad record does not fail the others.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    DuplicateSequenceNumber,
    KafkaError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    TopicAuthorizationFailedError,
    UnknownProducerId,
)
from aiokafka.producer.message_accumulator import BatchBuilder

log = logging.getLogger(__name__)

BATCH_BYTES = 262_144  # far below any broker's limit, so that only a single oversized record is refused
POLL_S = 0.25
AGAIN_S = 0.5
# Batches of all partitions leave together, this long after the first record: a broker needs about half of the processor
# time at 1,000 records/s, because that depends on the number of requests. If no sender waits for the answer, a topic
# may gather longer.
GATHER_S = 0.005
PARTITIONS_S = 60.0  # partitions may be added, but seldom
STOP_S = 5.0
# failures of the producer, not of the records
OURS = (OutOfOrderSequenceNumber, DuplicateSequenceNumber, UnknownProducerId, ProducerClosed)

Headers = list[tuple[str, bytes]]
Outcome = int | Exception
"""The offset of a record, or its error: a KafkaError, or TimeoutError after its deadline."""


def is_refused(error: Exception) -> bool:
    """Return whether the broker will never accept the record, now or later."""
    return isinstance(error, KafkaError) and not error.retriable and not isinstance(error, OURS)


@dataclass(slots=True)
class _Pending:
    """A record that waits or is in flight. `callback` runs once, then is None."""

    key: bytes | None
    value: bytes | None
    headers: Headers | None
    deadline: float
    callback: Callable[[Outcome], None] | None

    def settle(self, outcome: Outcome) -> None:
        callback, self.callback = self.callback, None
        if callback is None:
            return
        try:
            callback(outcome)
        except Exception:
            log.exception("the callback of a record failed")  # the callbacks of other records still run


@dataclass(slots=True)
class _Lane:
    """A partition: waiting records and records in flight. The next `alone` records are sent one by one.

    A lane is `behind` if its last batch had no room for all records. Then its next batch is sent at once.
    """

    topic: str
    partition: int
    gather_s: float
    waiting: deque[_Pending] = field(default_factory=deque)
    in_flight: list[_Pending] = field(default_factory=list)
    alone: int = 0
    behind: bool = False
    task: asyncio.Task[None] | None = None

    def take(self, batch: BatchBuilder) -> list[_Pending]:
        """Move records that fit and have not expired into the batch. Return them."""
        taken: list[_Pending] = []
        most = 1 if self.alone else len(self.waiting)
        while self.waiting and len(taken) < most:
            pending = self.waiting[0]
            if pending.callback is not None:
                if batch.append(timestamp=None, key=pending.key, value=pending.value, headers=pending.headers) is None:
                    break
                taken.append(pending)
            self.waiting.popleft()
        self.alone = max(0, self.alone - 1)
        self.behind = bool(self.waiting)
        return taken

    def put_back(self, taken: list[_Pending]) -> None:
        """Put the records back at the front, to be sent one by one."""
        self.waiting.extendleft(reversed(taken))
        self.alone = len(taken)

    def expire(self, now: float) -> None:
        """Settle records past their deadline. Both rows are in order of deadlines."""
        for pending in self.in_flight:
            if pending.deadline > now:
                break
            pending.settle(TimeoutError())
        while self.waiting and self.waiting[0].deadline <= now:
            self.waiting.popleft().settle(TimeoutError())


class CoalescingProducer:
    """A producer with a deadline for each record. `build` makes producers that are not started.

    `gather_s` names the topics that gather records for another time than GATHER_S, in seconds.
    """

    def __init__(
        self, build: Callable[[], AIOKafkaProducer], timeout_s: float, gather_s: Mapping[str, float] | None = None
    ) -> None:
        self._build = build
        self._timeout_s = timeout_s
        self._gather_s = gather_s or {}
        self._partitions: dict[str, tuple[int, float]] = {}
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._departures: dict[float, asyncio.Event] = {}

    async def start(self) -> None:
        """Connect. Raise KafkaError if no broker answers."""
        self._producer = await self._started()
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Send waiting records for at most STOP_S seconds, then close."""
        running = [lane.task for lane in self._lanes.values() if lane.task is not None]
        if running:
            await asyncio.wait(running, timeout=STOP_S)
        for task in running:
            task.cancel()
        if self._looking is not None:
            self._looking.cancel()
        if self._producer is not None:
            await _stop(self._producer)
        await asyncio.gather(*self._stopping, return_exceptions=True)

    def known_partitions(self, topic: str) -> int:
        """Return the cached number of partitions, 0 if it is unknown or too old."""
        known, until = self._partitions.get(topic, (0, 0.0))
        return known if time.monotonic() <= until else 0

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions. Raise KafkaError or TimeoutError if it cannot be fetched."""
        now = time.monotonic()
        known, until = self._partitions.get(topic, (0, 0.0))
        if not known or (now > until and self._producer is not None):
            async with asyncio.timeout(self._timeout_s):
                producer = await self._ready()
                known = len(await producer.partitions_for(topic))
            self._partitions[topic] = (known, now + PARTITIONS_S)
        return known

    def send(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        callback: Callable[[Outcome], None],
        headers: Headers | None = None,
    ) -> None:
        """Queue a record. `callback` is always called, at the latest soon after the timeout."""
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(topic, partition, self._gather_s.get(topic, GATHER_S))
        lane.waiting.append(_Pending(key, value, headers, time.monotonic() + self._timeout_s, callback))
        if lane.task is None:
            lane.task = asyncio.get_running_loop().create_task(self._drain(lane))

    async def _drain(self, lane: _Lane) -> None:
        try:
            while lane.waiting:
                await self._deliver(lane)
        finally:
            lane.task = None

    async def _deliver(self, lane: _Lane) -> None:
        """Send one batch until the broker accepts or refuses it."""
        if not lane.behind:
            await self._next_departure(lane.gather_s).wait()
        producer = await self._ready()
        batch = producer.create_batch()
        taken = lane.in_flight = lane.take(batch)
        if not taken:
            return
        batch.close()
        try:
            sent = await producer.send_batch(batch, lane.topic, partition=lane.partition)
            first = (await sent).offset
        except KafkaError as error:
            self._replace(producer, error)
            self._failed(lane, taken, error)
        else:
            for at, pending in enumerate(taken):
                pending.settle(first + at if first >= 0 else -1)
        finally:
            lane.in_flight = []

    def _failed(self, lane: _Lane, taken: list[_Pending], error: Exception) -> None:
        if is_refused(error) and len(taken) > 1:
            lane.put_back(taken)
            return
        for pending in taken:
            pending.settle(error)

    def _replace(self, failed: AIOKafkaProducer, error: Exception) -> None:
        if isinstance(error, TopicAuthorizationFailedError) or failed is not self._producer:
            return
        log.warning("a batch failed with %s; the producer is replaced", type(error).__name__)
        self._producer = None
        task = asyncio.create_task(_stop(failed))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    def _next_departure(self, gather_s: float) -> asyncio.Event:
        """Return the event of the next common departure of the batches that gather for this time."""
        departure = self._departures.get(gather_s)
        if departure is None:
            departure = self._departures[gather_s] = asyncio.Event()
            asyncio.get_running_loop().call_later(gather_s, self._depart, gather_s)
        return departure

    def _depart(self, gather_s: float) -> None:
        self._departures.pop(gather_s).set()

    async def _ready(self) -> AIOKafkaProducer:
        if self._producer is not None:
            return self._producer
        async with self._starting:
            while self._producer is None:
                try:
                    self._producer = await self._started()
                except KafkaError as error:
                    log.warning("Kafka does not answer (%s); the connection is retried", type(error).__name__)
                    await asyncio.sleep(AGAIN_S)
        return self._producer

    async def _started(self) -> AIOKafkaProducer:
        producer = self._build()
        try:
            await producer.start()
        except BaseException:
            await _stop(producer)
            raise
        return producer

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            now = time.monotonic()
            for lane in self._lanes.values():
                lane.expire(now)


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop the producer within STOP_S seconds. Without the limit it waits for a broker that is away."""
    with contextlib.suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(STOP_S):
            await producer.stop()
