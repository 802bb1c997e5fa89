"""Batches that inflate without end, read by the Reader on aiokafka's fetcher."""

import struct
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from test_reading import ATTRIBUTES, CRC, OTHER, TP, Broker, position, read, reader

from infra.kafka.inflating import MOST_BATCH_BYTES, MOST_BATCH_HEADERS, MOST_BATCH_RECORDS, MOST_FETCH_BYTES
from infra.kafka.reading import Reader

__all__ = ["reader"]  # the fixture
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
DELTA = 23


def packed(base: int, values: list[bytes], codec: str) -> bytes:
    """Return a compressed batch in the broker's format."""
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], 0, -1, 0, -1, 2**30)
    for delta, value in enumerate(values):
        builder.append(delta, timestamp=1_000, key=None, value=value, headers=[])
    return _at(base, bytes(builder.build()))


@pytest.mark.parametrize("codec", CODECS)
async def test_batches_within_the_bound_are_read_whole(reader: Reader, codec: str) -> None:
    values = [b"a" * 3_000_000, b"", b"b" * 1_200_000]
    Broker(reader.consumer).answer(TP, [packed(0, values, codec)])
    assert [record.value for record in (await reader.fetch(0.0))[TP].records] == values


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
async def test_a_batch_over_the_bound_is_passed(reader: Reader, codec: str) -> None:
    large = packed(1, [bytes(MOST_BATCH_BYTES)], codec)
    assert len(large) < 2**20
    await _passes_the_second(reader, large, f"({codec}) inflates to more than {MOST_BATCH_BYTES} bytes")


async def test_a_batch_of_too_many_records_is_passed(reader: Reader) -> None:
    many = bytearray(packed(1, [b"", b""], "zstd"))
    many[DELTA : DELTA + 4] = struct.pack(">i", MOST_BATCH_RECORDS)
    await _passes_the_second(reader, _signed(many), f"more than {MOST_BATCH_RECORDS} records", MOST_BATCH_RECORDS + 2)


@pytest.mark.parametrize("records", [1, 1_000])
async def test_a_batch_of_too_many_headers_is_passed(reader: Reader, records: int) -> None:
    headers = [("", None)] * (MOST_BATCH_HEADERS // records + 1)
    builder = DefaultRecordBatchBuilder(2, CODECS["zstd"], 0, -1, 0, -1, 2**30)
    for delta in range(records):
        builder.append(delta, timestamp=1_000, key=b"k" * 100, value=None, headers=headers)
    many = _at(1, bytes(builder.build()))
    assert len(many) < 2**20
    await _passes_the_second(reader, many, f"more than {MOST_BATCH_HEADERS} headers", 1 + records)


async def test_many_long_records_with_headers_are_read(reader: Reader) -> None:
    builder = DefaultRecordBatchBuilder(2, CODECS["zstd"], 0, -1, 0, -1, 2**30)
    for delta in range(2_000):
        builder.append(delta, timestamp=-1, key=None, value=b"v" * 2_000, headers=[("trace", b"1" * 70)] * 3)
    Broker(reader.consumer).answer(TP, [bytes(builder.build())])
    assert len((await reader.fetch(0.0))[TP].records) == 2_000


@pytest.mark.parametrize("codec", CODECS)
async def test_records_before_a_header_that_is_no_text_are_read(reader: Reader, codec: str) -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, 0, -1, 2**20)
    for delta in range(4):
        builder.append(delta, timestamp=1_000, key=None, value=b"", headers=[("name" if delta == 2 else "", b"")])
    latin = bytearray(builder.build().replace(b"name", "né".encode("latin-1") + b"__"))
    assert await read(reader, [_signed(latin), packed(4, [b"after"], codec)]) == (0, [0, 1, 4], 5)
    (noted,) = reader.hopeless
    assert (noted[0], noted[1].first, noted[1].next) == (TP, 2, 4) and "UnicodeDecodeError" in noted[1].reason


async def _passes_the_second(reader: Reader, second: bytes, reason: str, behind: int = 2) -> None:
    log = [packed(0, [b"before"], "zstd"), second, packed(behind, [b"after"], "zstd")]
    read_all: list[int] = []
    while len(read_all) < 2:
        part: Any = await read(reader, log)
        read_all += part[1]
    assert read_all == [0, behind]
    ((place, passed),) = reader.hopeless
    assert (place, passed.first, passed.next) == (TP, 1, behind) and passed.reason.endswith(reason)
    assert not reader.unreadable


def _signed(batch: bytearray) -> bytes:
    batch[CRC : CRC + 4] = calc_crc32c(bytes(batch[ATTRIBUTES:])).to_bytes(4, "big")
    return bytes(batch)


def _at(base: int, batch: bytes) -> bytes:
    return base.to_bytes(8, "big") + batch[8:]


@pytest.mark.parametrize("bit", range(31))  # the fake broker reads the sign itself
async def test_a_batch_with_a_damaged_header_stops_its_partition(reader: Reader, bit: int) -> None:
    damaged = bytearray(packed(2, [b"", b"", b""], "zstd"))
    damaged[DELTA + 3 - bit // 8] ^= 1 << bit % 8
    log = [packed(0, [b"", b""], "zstd"), bytes(damaged), packed(5, [b"after"], "zstd")]
    assert await read(reader, log) == (0, [0, 1], 2)
    assert await read(reader, log[1:]) is None
    assert reader.unreadable[TP].offset == 2 and not reader.hopeless


async def test_neighbouring_hopeless_batches_are_noted_together(reader: Reader) -> None:
    large = [packed(base, [bytes(MOST_BATCH_BYTES)], "zstd") for base in (0, 1, 2, 4)]
    while position(reader) < 5:
        await read(reader, large)
    assert [(passed.first, passed.next) for _, passed in reader.hopeless] == [(0, 5)]


async def test_a_fetch_of_many_partitions_has_one_bound(reader: Reader) -> None:
    half = bytes(MOST_FETCH_BYTES // 2)
    for tp in (TP, OTHER):
        Broker(reader.consumer).answer(tp, [packed(base, [half], "zstd") for base in range(3)])
    fetched = [await reader.fetch(0.0) for _ in range(2)]
    assert [{tp: len(part.records) for tp, part in one.items()} for one in fetched] == [{TP: 2}, {OTHER: 2}]


async def test_a_fetch_ends_after_the_batch_that_fills_it(reader: Reader) -> None:
    third = bytes(MOST_FETCH_BYTES // 3)
    log = [packed(base, [third], "zstd") for base in range(8)]
    parts = [await read(reader, log) for _ in range(3)]
    assert parts == [(0, [0, 1, 2], 3), (3, [3, 4, 5], 6), (6, [6, 7], 8)]


@pytest.mark.parametrize(("magic", "codec"), [(0, "gzip"), (0, "snappy"), (1, "gzip"), (1, "snappy"), (1, "lz4")])
async def test_message_sets_of_old_producers_are_bounded_too(reader: Reader, magic: int, codec: str) -> None:
    builder = LegacyRecordBatchBuilder(magic, CODECS[codec], 2**30)
    builder.append(0, timestamp=1_000, key=None, value=bytes(2 * MOST_BATCH_BYTES))
    assert await read(reader, [bytes(builder.build())]) == (0, [], 1)
    assert reader.hopeless and not reader.unreadable
