"""Dead letters: count them, read them, and send them to their topic again.

The committed offsets of a separate consumer group mark the replayed letters, so that each is replayed once. After a
kill between a replay and its commit, one letter is replayed again: a beacon then counts as a retry, a request finds
its stored result.
"""

import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.producer import build_producer
from infra.kafka.reading import Reader, stretch
from infra.kafka.skips import SUFFIX, Skip, pass_over, send_skip, skip_of
from infra.tiers.ledger import Ledger
from infra.writer_schemas import WriterSchemas
from schemas.codec import BEACON, REQUEST, decode_request, to_beacon
from schemas.errors import DecodeError, Refused, Retryable
from schemas.generation import (
    REQUESTS,
    STEP_RESULTS,
    STEPS,
    GenerationRequest,
    Step,
    StepResult,
    VariantRequest,
    decode_model,
    lp_id_of,
)
from schemas.heatmap import TOPIC as HEATMAP
from schemas.tiers import Erasure
from streams.generation.plans import plan_of
from streams.runtime.settings import Settings
from streams.runtime.stores import open_writer, open_writers
from streams.transports.dead_letters import SIZE

GROUP = "lpstream-dlq-replay"
MOST_CAUSES = 5
# the page of a record
PAGE_OF: dict[str, Callable[[bytes], str]] = {
    HEATMAP: lambda value: to_beacon(value).lp_id,
    REQUESTS: lambda value: _made_by(decode_request(value)),
    STEPS: lambda value: _made_by(plan_of(decode_model(Step, value).input.get("plan")).request),
    STEP_RESULTS: lambda value: _made_by(plan_of(decode_model(StepResult, value).output.get("plan")).request),
}
FRAMED = {HEATMAP: BEACON, REQUESTS: REQUEST}
OnError = Literal["stop", "requeue"]
Outcome = Literal["replayed", "requeued", "erased", "stopped"]


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: its place, its origin, and its error.

    A skip letter has no record: it says that the operator skips a batch, up to before `skip_to`. `size` is the
    number of bytes of a record that was too large: its letter holds only the beginning. `recorded_ms` is the time of
    the record itself, which a requeue does not change.
    """

    partition: int
    offset: int
    timestamp_ms: int
    error: str
    origin: str
    origin_partition: int | None
    key: bytes | None
    value: bytes
    headers: tuple[tuple[str, bytes], ...]
    skip_to: int | None = None
    size: int | None = None
    recorded_ms: int = 0

    @classmethod
    def of(cls, record: Any) -> "Letter":
        """Build a letter from a record of a dead-letter topic. Missing headers count as empty."""
        headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
        place = headers.get("partition", "")
        skip = skip_of(record)
        return cls(
            record.partition,
            record.offset,
            record.timestamp,
            headers.get("error", ""),
            f"{headers.get('topic', '')}[{place}]@{headers.get('offset', '')}",
            int(place) if re.fullmatch("[0-9]{1,9}", place) else None,
            record.key,
            record.value or b"",
            tuple(record.headers),
            skip.next if skip else None,
            int(size) if re.fullmatch("[0-9]{1,12}", size := headers.get(SIZE, "")) else None,
            int(at) if re.fullmatch("[0-9]{1,15}", at := headers.get("timestamp", "")) else record.timestamp,
        )


@dataclass(frozen=True, slots=True)
class Waiting:
    """The waiting letters of a dead-letter topic: their number, first and last time (ms UTC), top causes.

    `skipped` counts the skip letters, which a replay ignores.
    """

    topic: str
    letters: int
    skipped: int
    first_ms: int | None
    last_ms: int | None
    causes: list[tuple[str, int]]


def letters_of(topic: str) -> str:
    """Return the dead-letter topic of a topic, or of its own name. Raise Refused if it has none."""
    source = topic.removesuffix(SUFFIX)
    if source not in PAGE_OF:
        raise Refused(f"{topic} has no dead letters; choose one of {', '.join(PAGE_OF)}")
    return source + SUFFIX


class DeadLetters:
    """The dead letters of one topic."""

    def __init__(self, settings: Settings, topic: str) -> None:
        self.source = letters_of(topic).removesuffix(SUFFIX)
        self.topic = letters_of(topic)
        self._settings = settings

    async def summary(self) -> Waiting:
        """Read all waiting letters and return their summary."""
        letters = [letter async for letter in self.read()]
        causes = Counter(letter.error for letter in letters).most_common(MOST_CAUSES)
        times = [letter.timestamp_ms for letter in letters]
        skipped = sum(letter.skip_to is not None for letter in letters)
        first, last = min(times, default=None), max(times, default=None)
        return Waiting(self.topic, len(letters) - skipped, skipped, first, last, causes)

    async def count(self) -> int:
        """Return an upper bound of the number of waiting letters, by their offsets."""
        async with self._consumer() as consumer:
            spans = await self._spans(consumer)
        return sum(end - start for start, end in spans.values())

    async def read(self) -> AsyncIterator[Letter]:
        """Yield the letters that are not replayed yet, partition by partition, up to the present end."""
        async with self._consumer() as consumer:
            for tp, (start, end) in (await self._spans(consumer)).items():
                async for letter in _stretch(consumer, tp, start, end):
                    yield letter

    async def replay(self, limit: int, on_error: OnError) -> AsyncIterator[tuple[Letter, Outcome, str]]:
        """Send at most `limit` letters to their topic again. Yield each with its outcome and its error.

        A letter that still cannot be decoded stays and ends the replay (`stop`), or goes to the end of its queue
        (`requeue`). A record of an erased page from before the erasure is not sent, but counts as replayed.
        """
        done, erasures = 0, None
        async with (
            self._consumer() as consumer,
            self._producer() as producer,
            aclosing(open_writers(self._settings, limited=False)) as writers,
        ):
            for tp, (start, end) in (await self._spans(consumer)).items():
                async for letter in _stretch(consumer, tp, start, end):
                    if done >= limit:
                        return
                    if letter.skip_to is not None:
                        await consumer.commit({tp: letter.offset + 1})
                        continue
                    if erasures is None:
                        erasures = await self._erasures()
                    outcome, error = await self._outcome(letter, writers, erasures)
                    if outcome == "replayed":
                        await self._send_back(producer, letter)
                    elif outcome == "stopped" and on_error == "stop":
                        yield letter, outcome, error
                        return
                    elif outcome == "stopped":
                        outcome = "requeued"
                        await producer.send_and_wait(
                            self.topic, letter.value, key=letter.key, headers=list(letter.headers)
                        )
                    await consumer.commit({tp: letter.offset + 1})
                    done += 1
                    yield letter, outcome, error

    async def skip(self, partition: int, offset: int) -> Skip:
        """Send a skip letter for the batch at an offset of the source topic. Return the skipped offsets.

        Raise Refused if the batch can be read, or is not in the log.
        """
        servers = self._settings.kafka_bootstrap_servers
        place = TopicPartition(self.source, partition)
        if place not in await partitions_of(servers, self.source):
            raise Refused(f"{self.source} has no partition {partition}")
        return await send_skip(servers, self._settings.broker, place, offset)

    async def _outcome(self, letter: Letter, writers: WriterSchemas, erasures: list[Erasure]) -> tuple[Outcome, str]:
        if letter.size is not None:
            return "stopped", f"the letter holds only the beginning of a record of {letter.size} bytes"
        try:
            if (name := FRAMED.get(self.source)) is not None:
                await writers.learn(name, [letter.value])
            lp_id = PAGE_OF[self.source](letter.value)
        except DecodeError as error:
            return "stopped", str(error)
        recorded_s = letter.recorded_ms / 1_000
        erased = any(erasure.covers(lp_id) and recorded_s < erasure.before.timestamp() for erasure in erasures)
        return ("erased" if erased else "replayed"), ""

    async def _erasures(self) -> list[Erasure]:
        clickhouse = open_writer(self._settings)
        try:
            return await Ledger(clickhouse, "").erasures()
        finally:
            await clickhouse.close()

    async def _send_back(self, producer: AIOKafkaProducer, letter: Letter) -> None:
        # to the partition of its origin, because each partition has its own identities of beacons
        await producer.send_and_wait(self.source, letter.value, key=letter.key, partition=letter.origin_partition)

    async def _spans(self, consumer: AIOKafkaConsumer) -> dict[TopicPartition, tuple[int, int]]:
        """Return the first offset that is not replayed and the present end, by partition."""
        tps = await partitions_of(self._settings.kafka_bootstrap_servers, self.topic)
        consumer.assign(tps)
        begins, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        return {tp: (max(begins[tp], await consumer.committed(tp) or 0), ends[tp]) for tp in tps}

    @asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = build_consumer(self._settings.kafka_bootstrap_servers, group_id=f"{GROUP}-{self.source}")
        try:
            await consumer.start()
            yield consumer
        except KafkaError as error:
            raise Retryable(f"Kafka: {type(error).__name__}: {error}") from error
        finally:
            await consumer.stop()

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = build_producer(self._settings.kafka_bootstrap_servers, self._settings.broker, linger_ms=0)
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()


def _made_by(request: GenerationRequest | VariantRequest) -> str:
    return lp_id_of(request.tenant_id, request.request_id)


async def _stretch(consumer: AIOKafkaConsumer, tp: TopicPartition, start: int, end: int) -> AsyncIterator[Letter]:
    """Yield the letters from `start` to before `end`."""
    async for records in stretch(Reader(consumer), tp, start, end, pass_over):
        for record in records:
            yield Letter.of(record)
