"""Records to Kafka in batches of our own: one on its way for each partition, whatever waits goes with the next.

Three things that aiokafka's own `send` does not do, each needed by a door that strangers may use:

- A call back for each record, no future and no timers of its own: half of the processor time at 2,000 records/s.
- A deadline for every record. A record whose deadline passes while it waits is never sent; one that is on its way may
  still arrive. An idempotent aiokafka producer alone tries for as long as its process lives.
- After a batch that the broker refuses, an idempotent producer has a gap in its sequence, and each later batch of the
  partition fails with OutOfOrderSequenceNumber. So a producer whose batch failed is replaced, and the records of a
  refused batch go once more, each alone: nobody's record fails for its neighbour's.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
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

BATCH_BYTES = 131_072  # far below any broker's limit, so that only a record that is too large alone is refused
LOOK_S = 0.25
AGAIN_S = 0.5
PARTITIONS_S = 60.0  # a topic's partitions may be added to, seldom
STOP_S = 5.0
# failures of the producer, not of what it was given
OURS = (OutOfOrderSequenceNumber, DuplicateSequenceNumber, UnknownProducerId, ProducerClosed)

Headers = list[tuple[str, bytes]]
Outcome = int | Exception
"""Offset of a record, or why it has none: a KafkaError, or TimeoutError past its deadline."""


def is_refused(error: Exception) -> bool:
    """Whether the broker will never take the record, now or later."""
    return isinstance(error, KafkaError) and not error.retriable and not isinstance(error, OURS)


@dataclass(slots=True)
class _Pending:
    """`told` is who is to be told, until it was."""

    key: bytes | None
    value: bytes | None
    headers: Headers | None
    deadline: float
    told: Callable[[Outcome], None] | None

    def settle(self, outcome: Outcome) -> None:
        told, self.told = self.told, None
        if told is None:
            return
        try:
            told(outcome)
        except Exception:
            log.exception("an outcome could not be told")  # and its neighbours' can


@dataclass(slots=True)
class _Lane:
    """One partition: what waits, and what is on its way. The next `alone` records go one by one."""

    topic: str
    partition: int
    waiting: deque[_Pending] = field(default_factory=deque)
    on_its_way: list[_Pending] = field(default_factory=list)
    alone: int = 0
    task: asyncio.Task[None] | None = None

    def take(self, batch: BatchBuilder) -> list[_Pending]:
        """Move into the batch what fits and is still wanted."""
        taken: list[_Pending] = []
        most = 1 if self.alone else len(self.waiting)
        while self.waiting and len(taken) < most:
            one = self.waiting[0]
            if one.told is not None:
                if batch.append(timestamp=None, key=one.key, value=one.value, headers=one.headers) is None:
                    break
                taken.append(one)
            self.waiting.popleft()
        self.alone = max(0, self.alone - 1)
        return taken

    def put_back(self, taken: list[_Pending]) -> None:
        """The next records are these, each alone."""
        self.waiting.extendleft(reversed(taken))
        self.alone = len(taken)

    def expire(self, now: float) -> None:
        """Tell those past their deadline; each row is in order of deadlines."""
        for one in self.on_its_way:
            if one.deadline > now:
                break
            one.settle(TimeoutError())
        while self.waiting and self.waiting[0].deadline <= now:
            self.waiting.popleft().settle(TimeoutError())


class CoalescingProducer:
    """Sends records with a deadline each. `build` makes producers, inside a running loop and not started."""

    def __init__(self, build: Callable[[], AIOKafkaProducer], timeout_s: float) -> None:
        self._build = build
        self._timeout_s = timeout_s
        self._partitions: dict[str, tuple[int, float]] = {}
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._producer: AIOKafkaProducer | None = None
        self._starting = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect; KafkaError when no broker answers."""
        self._producer = await self._started()
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Bring out what waits, within bounds."""
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
        """How many the topic had a short while ago; 0 when that must be asked."""
        known, until = self._partitions.get(topic, (0, 0.0))
        return known if time.monotonic() <= until else 0

    async def partitions(self, topic: str) -> int:
        """How many the topic has, as last seen; KafkaError or TimeoutError when that cannot be learnt."""
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
        told: Callable[[Outcome], None],
        headers: Headers | None = None,
    ) -> None:
        """Line a record up behind those of its partition. `told` is always called, soon after the timeout at last."""
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(topic, partition)
        lane.waiting.append(_Pending(key, value, headers, time.monotonic() + self._timeout_s, told))
        if lane.task is None:
            lane.task = asyncio.get_running_loop().create_task(self._drain(lane))

    async def _drain(self, lane: _Lane) -> None:
        try:
            while lane.waiting:
                await self._deliver(lane)
        finally:
            lane.task = None

    async def _deliver(self, lane: _Lane) -> None:
        """One batch, until the broker has it or will not have it."""
        producer = await self._ready()
        batch = producer.create_batch()
        taken = lane.on_its_way = lane.take(batch)
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
            for at, one in enumerate(taken):
                one.settle(first + at if first >= 0 else -1)
        finally:
            lane.on_its_way = []

    def _failed(self, lane: _Lane, taken: list[_Pending], error: Exception) -> None:
        if is_refused(error) and len(taken) > 1:
            lane.put_back(taken)
            return
        for one in taken:
            one.settle(error)

    def _replace(self, failed: AIOKafkaProducer, error: Exception) -> None:
        if isinstance(error, TopicAuthorizationFailedError) or failed is not self._producer:
            return
        log.warning("the producer is replaced, its batch failed: %s", type(error).__name__)
        self._producer = None
        task = asyncio.create_task(_stop(failed))
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def _ready(self) -> AIOKafkaProducer:
        if self._producer is not None:
            return self._producer
        async with self._starting:
            while self._producer is None:
                try:
                    self._producer = await self._started()
                except KafkaError as error:
                    log.warning("Kafka does not answer, trying again: %s", type(error).__name__)
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
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            for lane in self._lanes.values():
                lane.expire(now)


async def _stop(producer: AIOKafkaProducer) -> None:
    """Stop it; not longer than it may take, for it waits for a broker that is away."""
    with contextlib.suppress(KafkaError, TimeoutError):
        async with asyncio.timeout(STOP_S):
            await producer.stop()
