"""Skip letters: decisions to skip unreadable batches.

`lpstream dlq skip TOPIC PARTITION OFFSET` writes the letter to the topic's dead-letter topic, in the partition with the
same number. Its header `skip_to` is the offset at which readers continue. All our readers look for it there. Hopeless
batches, which readers pass by themselves, have the same letters: they say which records were lost.
"""

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.producer import build_producer
from infra.kafka.reading import Passed, Reader, Unreadable, stretch
from schemas.errors import Refused, Retryable

log = logging.getLogger(__name__)

SUFFIX, SKIP_TO = ".dlq", "skip_to"
KEPT_MS = 30 * 86_400 * 1000
PROBE_BYTES, PROBE_MS = 2**20, 1_000


@dataclass(frozen=True, slots=True)
class Skip:
    """A range of offsets that readers skip: from `first` up to, but not including, `next`."""

    first: int
    next: int


def skip_of(record: ConsumerRecord) -> Skip | None:
    """Return the range that a skip letter names, or None if the dead letter holds a record."""
    headers = {name: value or b"" for name, value in record.headers}
    first, next_ = headers.get("offset", b""), headers.get(SKIP_TO, b"")
    return Skip(int(first), int(next_)) if first.isdigit() and next_.isdigit() else None


def skip_command(tp: TopicPartition, offset: int) -> str:
    """Return the command that skips the batch at an offset."""
    return f"lpstream dlq skip {tp.topic} {tp.partition} {offset}"


def refusal(tp: TopicPartition, stopped: Unreadable) -> str:
    """Return the message for the log or an error: the cause and the command that skips the batch."""
    return (
        f"{tp.topic}[{tp.partition}] offset {stopped.offset} cannot be read: {stopped.reason}; the partition stops "
        f"here. To skip this batch and lose its records, run: {skip_command(tp, stopped.offset)}"
    )


class SkipLetters:
    """The skip letters by partition. A dead-letter partition is read once, then only its new records."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._known: dict[TopicPartition, list[Skip]] = {}
        self._read_to: dict[TopicPartition, int] = {}

    async def past(self, tp: TopicPartition, offset: int) -> int | None:
        """Return the offset to continue at after `offset`, None without a skip letter.

        Raise Retryable on failure.
        """
        letters = TopicPartition(tp.topic + SUFFIX, tp.partition)
        await self._read(letters)
        return max((skip.next for skip in self._known[letters] if skip.first <= offset < skip.next), default=None)

    async def _read(self, letters: TopicPartition) -> None:
        known = self._known.setdefault(letters, [])
        if letters not in await partitions_of(self._bootstrap, letters.topic):
            return
        consumer = build_consumer(self._bootstrap)
        try:
            await consumer.start()
            consumer.assign([letters])
            end = (await consumer.end_offsets([letters]))[letters]
            start = self._read_to.get(letters)
            if start is None or start > end:  # the first read, or the topic was recreated
                start = await start_at(consumer, letters, int(time.time() * 1000) - KEPT_MS)
            # retention may have passed the last read
            start = max(start, (await consumer.beginning_offsets([letters]))[letters])
            async for records in stretch(Reader(consumer), letters, start, end, pass_over):
                known += [skip for record in records if (skip := skip_of(record)) is not None]
            self._read_to[letters] = end
        except KafkaError as error:
            raise Retryable(f"Kafka: {type(error).__name__}: {error}") from error
        finally:
            await consumer.stop()


async def past_batch(letters: SkipLetters, reader: Reader, tp: TopicPartition, offset: int) -> int | None:
    """Return the offset after the unreadable batch at `offset`, or None if no skip letter names it.

    A letter never skips more than this batch: it may be of a topic that was deleted and created again.
    """
    to = await letters.past(tp, offset)
    if to is None:
        return None
    _, next_ = await batch_at(reader.consumer, tp, offset)
    return min(to, next_)


async def skip_past(reader: Reader, bootstrap: str) -> None:
    """Continue each stopped partition as its skip letter says. Raise Refused if it has none."""
    letters = SkipLetters(bootstrap)
    for tp, stopped in list(reader.unreadable.items()):
        try:
            to = await past_batch(letters, reader, tp, stopped.offset)
        except Refused:  # the topic has no dead-letter topic
            to = None
        if to is None:
            raise Refused(refusal(tp, stopped))
        reader.skip(tp, to)


async def pass_over(reader: Reader) -> None:
    """Continue each stopped partition after its bad batch and log the skipped offsets.

    For reads that need no operator's decision.
    """
    for tp, stopped in list(reader.unreadable.items()):
        _, next_ = await batch_at(reader.consumer, tp, stopped.offset)
        log.error(
            "%s[%d] offsets %d to %d cannot be read and are skipped: %s",
            tp.topic, tp.partition, stopped.offset, next_ - 1, stopped.reason,
        )  # fmt: skip
        reader.skip(tp, next_)


async def probe(bootstrap: str, tp: TopicPartition, offset: int) -> tuple[Skip, str]:
    """Return the unreadable offsets around `offset`, and the cause.

    Raise Refused if `offset` can be read or is not in the log.
    """
    consumer = build_consumer(bootstrap)
    try:
        await consumer.start()
        consumer.assign([tp])
        begin, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
        if not begin <= offset < end:
            raise Refused(f"{tp.topic}[{tp.partition}] has offsets {begin} to {end - 1}; {offset} is not one of them")
        first, next_ = await batch_at(consumer, tp, offset)
        unreadable: list[Unreadable] = []

        async def note(reader: Reader) -> None:
            unreadable.append(reader.unreadable[tp])
            reader.skip(tp, next_)

        async for _ in stretch(Reader(consumer), tp, max(begin, first), next_, note):
            pass
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}: {error}") from error
    finally:
        await consumer.stop()
    if not unreadable or unreadable[0].offset > offset:
        raise Refused(
            f"{tp.topic}[{tp.partition}] offset {offset} can be read or holds no record; there is nothing to skip"
        )
    return Skip(unreadable[0].offset, next_), unreadable[0].reason


async def send_skip(bootstrap: str, broker: str, tp: TopicPartition, offset: int) -> Skip:
    """Send the operator's skip letter for the batch at an offset, and return the skipped offsets.

    Raise Refused if the batch can be read, or is not in the log.
    """
    skip, reason = await probe(bootstrap, tp, offset)
    async with build_producer(bootstrap, broker) as producer:
        await _send_letter(producer, tp, skip, f"skipped by the operator: {_lost(skip, reason)}")
    return skip


async def send_passed(
    bootstrap: str, broker: str, batches: Iterable[tuple[TopicPartition, Passed]]
) -> list[tuple[TopicPartition, Passed]]:
    """Send a letter for each run of hopeless batches that a worker has passed.

    Return the runs whose letters could not be sent.
    """
    failed = []
    async with build_producer(bootstrap, broker) as producer:
        for tp, passed in batches:
            skip = Skip(passed.first, passed.next)
            try:
                await _send_letter(producer, tp, skip, f"passed by the worker: {_lost(skip, passed.reason)}")
            except (KafkaError, AssertionError) as error:  # aiokafka asserts that the partition exists
                log.warning("%s[%d]: could not send a dead letter: %r", *tp, error)
                failed.append((tp, passed))
    return failed


def _lost(skip: Skip, reason: str) -> str:
    return f"offsets {skip.first} to {skip.next - 1} could not be read: {reason}"


async def _send_letter(producer: AIOKafkaProducer, tp: TopicPartition, skip: Skip, error: str) -> None:
    headers = {
        "error": error, "topic": tp.topic, "partition": tp.partition, "offset": skip.first,
        "timestamp": round(time.time() * 1000), SKIP_TO: skip.next,
    }  # fmt: skip
    encoded = [(name, str(value).encode()) for name, value in headers.items()]
    await producer.send_and_wait(tp.topic + SUFFIX, b"", partition=tp.partition, headers=encoded)


async def batch_at(consumer: AIOKafkaConsumer, tp: TopicPartition, offset: int) -> tuple[int, int]:
    """Return the first offset of the batch that holds `offset`, and the first offset after the batch.

    Both come from the batch's header. If the header is wrong too, return `offset` and `offset + 1`.
    """
    node = consumer._client.cluster.leader_for_partition(tp)
    if node is None or node < 0:
        raise Retryable(f"Kafka: {tp.topic}[{tp.partition}] has no leader at the moment")
    place = (tp.topic, [(tp.partition, offset, PROBE_BYTES)])
    answer = await consumer._client.send(node, FetchRequest(PROBE_MS, 1, PROBE_BYTES, 0, [place]))
    _, error, end, *_, raw = answer.topics[0][1][0]
    if error:
        raise Retryable(f"Kafka: {tp.topic}[{tp.partition}] offset {offset}: the broker answered with error {error}")
    return bounds(raw or b"", offset, end)


def bounds(raw: bytes, offset: int, end: int) -> tuple[int, int]:
    """Return the bounds of the first batch in fetched bytes, like `batch_at`. `end` is the log's end."""
    here = offset, offset + 1
    try:
        records = MemoryRecords(raw)
        if not records.has_next():
            return here
        batch = records.next_batch()
        next_ = min(batch.next_offset, end)
        if records.has_next():
            next_ = min(next_, records.next_batch().base_offset)
    except KafkaError:
        return here
    return (min(batch.base_offset, offset), next_) if offset < next_ else here


async def start_at(consumer: AIOKafkaConsumer, tp: TopicPartition, since_ms: int) -> int:
    """Return the first offset with time >= `since_ms`; the partition's first offset if there is none."""
    earliest = int((await consumer.beginning_offsets([tp]))[tp])
    first = (await consumer.offsets_for_times({tp: max(0, since_ms)})).get(tp)
    return max(earliest, int(first.offset)) if first else earliest
