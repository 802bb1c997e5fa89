"""The Reader on aiokafka's fetcher with prepared batches.

Results, stops at bad batches, and resuming.
"""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.fetcher import FetchError, FetchResult, PartitionRecords
from aiokafka.errors import GroupAuthorizationFailedError, RecordTooLargeError, TopicAuthorizationFailedError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c

from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Fetched, Reader, stretch
from infra.kafka.skips import bounds
from schemas.errors import Retryable

TP, OTHER = TopicPartition("t", 0), TopicPartition("t", 1)
ATTRIBUTES, CRC = 21, 17
COMMIT = (b"\x00\x00\x00\x01", b"\x00\x00\x00\x00\x00\x00")


def batch(base: int, count: int = 1, *, codec: int = 0, flip: bool = False, control: bool = False) -> bytes:
    """Return a batch in the broker's format; `codec` is set in its header, `flip` breaks its checksum."""
    builder = DefaultRecordBatchBuilder(2, 0, int(control), 1 if control else -1, 0, -1, 2**20)
    for delta in range(count):
        key, value = COMMIT if control else (None, b"v%d" % (base + delta))
        builder.append(delta, timestamp=1_000, key=key, value=value, headers=[])
    made = bytearray(builder.build())
    made[:8] = base.to_bytes(8, "big")
    made[ATTRIBUTES + 1] |= codec | (0x20 if control else 0)
    made[CRC : CRC + 4] = calc_crc32c(bytes(made[ATTRIBUTES:])).to_bytes(4, "big")
    if flip:
        made[-1] ^= 1
    return bytes(made)


class Broker:
    """A fake broker: gives its consumer the batches that a fetch at the current position returns."""

    def __init__(self, consumer: AIOKafkaConsumer, **logs: list[bytes]) -> None:
        self.logs = logs
        self.consumer = consumer
        self.fetcher = consumer._fetcher

    def answer(self, tp: TopicPartition, batches: list[bytes]) -> None:
        assignment = self.consumer._subscription.subscription.assignment
        at = assignment.state_value(tp).position
        raw = b"".join(one for one in batches if MemoryRecords(one).next_batch().next_offset > at)
        if raw and tp not in self.fetcher._records:
            records = PartitionRecords(tp, MemoryRecords(raw), [], at, None, None, True, 1)
            self.fetcher._records[tp] = FetchResult(tp, assignment=assignment, partition_records=records, backoff=0.1)

    def fail(self, tp: TopicPartition, error: Exception) -> None:
        self.fetcher._records[tp] = FetchError(error=error, backoff=0.1)


@pytest.fixture(params=[False, True], ids=["whole", "lean"])
async def reader(request: pytest.FixtureRequest) -> Any:
    consumer = build_consumer("127.0.0.1:1")
    consumer.assign([TP, OTHER])
    from aiokafka.consumer.fetcher import Fetcher

    consumer._fetcher = Fetcher(consumer._client, consumer._subscription, isolation_level="read_committed")
    consumer._fetcher._fetch_task.cancel()
    consumer._coordinator = SimpleNamespace(check_errors=lambda: None)
    for tp in (TP, OTHER):
        consumer.seek(tp, 0)
    yield Reader(consumer, lean=request.param)
    consumer._closed = True


async def read(reader: Reader, log: list[bytes], tp: TopicPartition = TP) -> tuple[int, list[int], int] | None:
    """Fetch once; return begin, offsets of the records, and next."""
    Broker(reader.consumer).answer(tp, log)
    got = (await reader.fetch(0.0)).get(tp)
    return got and (got.begin, [record.offset for record in got.records], got.next)


def position(reader: Reader, tp: TopicPartition = TP) -> int:
    return int(reader.consumer._subscription.subscription.assignment.state_value(tp).position)


async def test_a_fetch_passes_markers_and_gaps(reader: Reader) -> None:
    log = [batch(0), batch(1, control=True), batch(5, 2), batch(7, control=True)]
    assert await read(reader, log) == (0, [0, 5, 6], 8)


async def test_records_carry_what_was_sent(reader: Reader) -> None:
    Broker(reader.consumer).answer(TP, [batch(4, 2)])
    records = (await reader.fetch(0.0))[TP].records
    sent = [(record.offset, record.timestamp, record.key, record.value, list(record.headers)) for record in records]
    assert sent == [(4, 1_000, None, b"v4", []), (5, 1_000, None, b"v5", [])]


async def test_a_fetch_of_markers_alone_has_no_records(reader: Reader) -> None:
    assert await read(reader, [batch(0, control=True)]) == (0, [], 1)


@pytest.mark.parametrize("bad", [{"flip": True}, {"codec": 7}])
async def test_records_before_a_bad_batch_are_returned(reader: Reader, bad: dict[str, Any]) -> None:
    log = [batch(0, 2), batch(2, control=True), batch(3, 4, **bad), batch(7)]
    assert await read(reader, log) == (0, [0, 1], 3), "past the marker, up to the bad batch"
    assert await read(reader, log) is None
    assert reader.unreadable[TP].offset == 3 == position(reader)
    assert "Error" in reader.unreadable[TP].reason or "CRC" in reader.unreadable[TP].reason


async def test_a_bad_batch_does_not_stop_other_partitions(reader: Reader) -> None:
    bad = [batch(0, flip=True)]
    for _ in range(2):
        await read(reader, bad)
    assert set(reader.unreadable) == {TP}
    assert await read(reader, [batch(0, 3)], OTHER) == (0, [0, 1, 2], 3)
    assert reader.consumer.paused() == {TP}


async def test_a_skip_returns_a_fetch_without_records(reader: Reader) -> None:
    log = [batch(0, 4, flip=True), batch(4)]
    for _ in range(2):
        await read(reader, log)
    reader.skip(TP, 4)
    assert not reader.unreadable and not reader.consumer.paused()
    assert await read(reader, log) == (0, [], 4)
    assert await read(reader, log) == (4, [4], 5)


async def test_a_retry_reads_a_repaired_batch(reader: Reader) -> None:
    for _ in range(2):
        await read(reader, [batch(0, 2, flip=True)])
    reader.retry(TP)
    assert await read(reader, [batch(0, 2)]) == (0, [0, 1], 2)
    assert not reader.unreadable


async def test_a_seek_clears_a_stop(reader: Reader) -> None:
    for _ in range(2):
        await read(reader, [batch(5, 2, flip=True)])
    reader.consumer.seek(TP, 3)
    await reader.fetch(0.0)
    assert not reader.unreadable and not reader.consumer.paused(), "a skip would now pass unread records"


async def test_a_batch_larger_than_the_fetch_stops_its_partition(reader: Reader) -> None:
    reader.consumer.seek(TP, 6)  # aiokafka sets the error, and moves the position from 5 to 6
    Broker(reader.consumer).fail(TP, RecordTooLargeError("too large"))
    assert await reader.fetch(0.0) == {}
    assert reader.unreadable[TP].offset == 5 == position(reader)


async def test_an_authorisation_error_is_raised(reader: Reader) -> None:
    Broker(reader.consumer).fail(TP, TopicAuthorizationFailedError("t"))
    with pytest.raises(TopicAuthorizationFailedError):
        await reader.fetch(0.0)


async def test_a_fetch_returns_at_most_the_requested_records(reader: Reader) -> None:
    Broker(reader.consumer).answer(TP, [batch(0, 5)])
    first = (await reader.fetch(0.0, most=2))[TP]
    assert ([one.offset for one in first.records], first.next) == ([0, 1], 2)
    second = (await reader.fetch(0.0, most=9))[TP]
    assert ([one.offset for one in second.records], second.next) == ([2, 3, 4], 5)


async def never(_: Reader) -> None:
    raise AssertionError


async def test_a_stretch_ends_when_only_markers_remain(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    log, fetch = [batch(0, 2), batch(2, control=True)], reader.fetch

    async def fetch_from_log(*args: Any) -> Any:
        Broker(reader.consumer).answer(TP, log)
        return await fetch(*args)

    monkeypatch.setattr(reader, "fetch", fetch_from_log)
    found = [[record.offset for record in part] async for part in stretch(reader, TP, 1, 3, never)]
    assert found == [[1]]


async def test_a_stretch_without_answers_raises(reader: Reader) -> None:
    with pytest.raises(Retryable, match=r"t\[0\] sent no data from offset 4 on"):
        _ = [part async for part in stretch(reader, TP, 4, 9, never, 0.05)]


class Log:
    """A fake reader whose fetches answer with these parts."""

    def __init__(self, *parts: tuple[int, list[int], int]) -> None:
        self.parts, self.unreadable = iter(parts), {}

    def seek(self, _tp: TopicPartition, _offset: int) -> None: ...

    async def fetch(self, *_: Any) -> Any:
        begin, offsets, following = next(self.parts)
        return {TP: Fetched(begin, [SimpleNamespace(offset=offset) for offset in offsets], following)}


async def test_a_stretch_continues_where_retention_has_left_records() -> None:
    log: Any = Log((0, [0, 1], 2), (60, [60, 61], 62))
    found = [[record.offset for record in part] async for part in stretch(log, TP, 0, 62, never)]
    assert found == [[0, 1], [60, 61]]


async def test_a_stretch_of_a_log_that_was_created_again_raises() -> None:
    log: Any = Log((5, [5, 6], 7), (0, [0], 1))
    with pytest.raises(Retryable, match=r"t\[0\] was created again: it begins at offset 0"):
        _ = [part async for part in stretch(log, TP, 5, 9, never)]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (batch(3, 4, flip=True) + batch(7), (3, 7)),
        (batch(3, 4, codec=7), (3, 7)),
        (batch(3, 99) + batch(7), (3, 7)),  # the header's last offset overlaps the next batch, so it is wrong
        (batch(3, 99), (3, 50)),
        (batch(9, 2), (5, 11)),  # compaction removed the offsets between
        (batch(0, 2), (5, 6)),
        (batch(3, 4)[:40], (5, 6)),
        (b"", (5, 6)),
    ],
)
def test_a_bad_batchs_bounds_come_from_its_header(raw: bytes, expected: tuple[int, int]) -> None:
    assert bounds(raw, 5, 50) == expected


async def test_a_consumer_group_error_is_raised(reader: Any) -> None:
    def refused() -> None:
        raise GroupAuthorizationFailedError

    reader.consumer._coordinator = SimpleNamespace(check_errors=refused)
    with pytest.raises(GroupAuthorizationFailedError):
        await reader.fetch(0.0)
