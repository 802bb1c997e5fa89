"""Skip letters: batches that cannot be read and that an operator has decided to pass.

`lpstream dlq skip TOPIC PARTITION OFFSET` leaves the letter in the topic's dead-letter topic, in the partition of the
same number. Its header `skip_to` is the offset at which readers go on. Every reader of ours looks for it there.
"""

import logging
import time
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord, TopicPartition

from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Reader, Unreadable, stretch
from schemas.errors import Refused, Retryable

log = logging.getLogger(__name__)

SUFFIX, SKIP_TO = ".dlq", "skip_to"
KEPT_MS = 30 * 86_400 * 1000
PROBE_BYTES, PROBE_MS = 2**20, 1_000


@dataclass(frozen=True, slots=True)
class Skip:
    """Offsets from `first` to before `next` are passed by decision of the operator."""

    first: int
    next: int


def skip_of(record: ConsumerRecord) -> Skip | None:
    """The decision in a dead letter; None in one that holds a record."""
    headers = {name: value or b"" for name, value in record.headers}
    first, next_ = headers.get("offset", b""), headers.get(SKIP_TO, b"")
    return Skip(int(first), int(next_)) if first.isdigit() and next_.isdigit() else None


def skip_command(tp: TopicPartition, offset: int) -> str:
    """What an operator types to pass the batch at an offset."""
    return f"lpstream dlq skip {tp.topic} {tp.partition} {offset}"


def refusal(tp: TopicPartition, stopped: Unreadable) -> str:
    """What is wrong and what to do, for the log or an error."""
    return (
        f"{tp.topic}[{tp.partition}] offset {stopped.offset} cannot be read: {stopped.reason}; the partition stops "
        f"here. To pass this batch, and lose what is in it: {skip_command(tp, stopped.offset)}"
    )


class SkipLetters:
    """The skip letters of partitions: each dead-letter partition is read once, then only what is new in it."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._known: dict[TopicPartition, list[Skip]] = {}
        self._read_to: dict[TopicPartition, int] = {}

    async def past(self, tp: TopicPartition, offset: int) -> int | None:
        """The offset at which to go on behind `offset`; None when nobody has decided so. Retryable on failure."""
        letters = TopicPartition(tp.topic + SUFFIX, tp.partition)
        await self._read(letters)
        return max((one.next for one in self._known[letters] if one.first <= offset < one.next), default=None)

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
            if start is None or start > end:  # the first time, or the topic has been made anew
                start = await start_at(consumer, letters, int(time.time() * 1000) - KEPT_MS)
            async for records in stretch(Reader(consumer), letters, start, end, pass_over):
                known += [skip for record in records if (skip := skip_of(record)) is not None]
            self._read_to[letters] = end
        except KafkaError as error:
            raise Retryable(f"Kafka: {type(error).__name__}: {error}") from error
        finally:
            await consumer.stop()


async def skip_past(reader: Reader, bootstrap: str) -> None:
    """Have each stopped partition go on behind its skip letter. Refused for one that has none."""
    letters = SkipLetters(bootstrap)
    for tp, stopped in list(reader.unreadable.items()):
        try:
            to = await letters.past(tp, stopped.offset)
        except Refused:  # its topic has no dead letters
            to = None
        if to is None:
            raise Refused(refusal(tp, stopped))
        reader.skip(tp, to)


async def pass_over(reader: Reader) -> None:
    """Have each stopped partition go on behind its bad batch, where no decision is needed; the log names it."""
    for tp, stopped in list(reader.unreadable.items()):
        _, next_ = await batch_at(reader.consumer, tp, stopped.offset)
        log.error(
            "%s[%d] offsets %d to %d cannot be read and are left out: %s",
            tp.topic, tp.partition, stopped.offset, next_ - 1, stopped.reason,
        )  # fmt: skip
        reader.skip(tp, next_)


async def probe(bootstrap: str, tp: TopicPartition, offset: int) -> tuple[Skip, str]:
    """The offsets around `offset` that cannot be read, and why. Refused when it can be read, or is not in the log."""
    consumer = build_consumer(bootstrap)
    try:
        await consumer.start()
        consumer.assign([tp])
        begin, end = (await consumer.beginning_offsets([tp]))[tp], (await consumer.end_offsets([tp]))[tp]
        if not begin <= offset < end:
            raise Refused(f"{tp.topic}[{tp.partition}] has offsets {begin} to {end - 1}, and not {offset}")
        first, next_ = await batch_at(consumer, tp, offset)
        found: list[Unreadable] = []

        async def note(reader: Reader) -> None:
            found.append(reader.unreadable[tp])
            reader.skip(tp, next_)

        async for _ in stretch(Reader(consumer), tp, max(begin, first), next_, note):
            pass
    except KafkaError as error:
        raise Retryable(f"Kafka: {type(error).__name__}: {error}") from error
    finally:
        await consumer.stop()
    if not found or found[0].offset > offset:
        raise Refused(
            f"{tp.topic}[{tp.partition}] offset {offset} can be read, or holds no record: there is nothing to skip"
        )
    return Skip(found[0].offset, next_), found[0].reason


async def batch_at(consumer: AIOKafkaConsumer, tp: TopicPartition, offset: int) -> tuple[int, int]:
    """The first offset of the batch that holds `offset`, and the first one behind it, by the batch's header.

    Where the header is wrong, too: `offset` and the one behind it.
    """
    node = consumer._client.cluster.leader_for_partition(tp)
    if node is None or node < 0:
        raise Retryable(f"Kafka: {tp.topic}[{tp.partition}] has no leader now")
    place = (tp.topic, [(tp.partition, offset, PROBE_BYTES)])
    answer = await consumer._client.send(node, FetchRequest(PROBE_MS, 1, PROBE_BYTES, 0, [place]))
    _, error, end, *_, raw = answer.topics[0][1][0]
    if error:
        raise Retryable(f"Kafka: {tp.topic}[{tp.partition}] offset {offset}: the broker answers with error {error}")
    return bounds(raw or b"", offset, end)


def bounds(raw: bytes, offset: int, end: int) -> tuple[int, int]:
    """The offsets of the first batch in fetched bytes, as `batch_at` has them; `end` is the log's end."""
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
    """The partition's first offset with a time of at least `since_ms`; its first of all when there is none."""
    earliest = int((await consumer.beginning_offsets([tp]))[tp])
    found = (await consumer.offsets_for_times({tp: max(0, since_ms)})).get(tp)
    return max(earliest, int(found.offset)) if found else earliest
