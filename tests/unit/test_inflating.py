"""Batches that inflate without end, read by the Reader on aiokafka's fetcher."""

import struct
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from test_reading import ATTRIBUTES, CRC, TP, Broker, read, reader

from infra.kafka.inflating import MOST_BATCH_BYTES, MOST_BATCH_RECORDS, MOST_FETCH_BYTES
from infra.kafka.reading import Reader

__all__ = ["reader"]  # the fixture
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
DELTA = 23


def packed(base: int, values: list[bytes], codec: str) -> bytes:
    """Return a compressed batch in the broker's format."""
    builder = DefaultRecordBatchBuilder(2, CODECS[codec], 0, -1, 0, -1, 2**30)
    for delta, value in enumerate(values):
        builder.append(delta, timestamp=1_000, key=None, value=value, headers=[])
    return base.to_bytes(8, "big") + bytes(builder.build())[8:]


@pytest.mark.parametrize("codec", CODECS)
async def test_batches_within_the_bound_are_read_whole(reader: Reader, codec: str) -> None:
    values = [b"a" * 3_000_000, b"", b"b" * 1_200_000]
    Broker(reader.consumer).answer(TP, [packed(0, values, codec)])
    assert [record.value for record in (await reader.fetch(0.0))[TP].records] == values


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
async def test_a_batch_over_the_bound_stops_its_partition(reader: Reader, codec: str) -> None:
    log = [packed(0, [b"before"], codec), packed(1, [bytes(MOST_BATCH_BYTES)], codec), packed(2, [b"after"], codec)]
    assert len(log[1]) < 2**20
    await _stops_at_the_second(reader, log, f"({codec}) inflates to more than {MOST_BATCH_BYTES} bytes")


async def test_a_batch_of_too_many_records_stops_its_partition(reader: Reader) -> None:
    many = bytearray(packed(1, [b"", b""], "zstd"))
    many[DELTA : DELTA + 4] = struct.pack(">i", MOST_BATCH_RECORDS)
    many[CRC : CRC + 4] = calc_crc32c(bytes(many[ATTRIBUTES:])).to_bytes(4, "big")
    await _stops_at_the_second(
        reader, [packed(0, [b"before"], "zstd"), bytes(many)], f"more than {MOST_BATCH_RECORDS} records"
    )


async def _stops_at_the_second(reader: Reader, log: list[bytes], reason: str) -> None:
    parts: list[Any] = [await read(reader, log) for _ in range(4)]
    assert [part for part in parts if part] == [(0, [0], 1)]
    stopped = reader.unreadable[TP]
    assert stopped.offset == 1 and stopped.oversized and stopped.reason.endswith(reason)


async def test_a_fetch_ends_after_the_batch_that_fills_it(reader: Reader) -> None:
    third = bytes(MOST_FETCH_BYTES // 3)
    log = [packed(base, [third], "zstd") for base in range(8)]
    parts = [await read(reader, log) for _ in range(3)]
    assert parts == [(0, [0, 1, 2], 3), (3, [3, 4, 5], 6), (6, [6, 7], 8)]


@pytest.mark.parametrize(("magic", "codec"), [(0, "gzip"), (0, "snappy"), (1, "gzip"), (1, "snappy"), (1, "lz4")])
async def test_message_sets_of_old_producers_are_bounded_too(reader: Reader, magic: int, codec: str) -> None:
    builder = LegacyRecordBatchBuilder(magic, CODECS[codec], 2**30)
    builder.append(0, timestamp=1_000, key=None, value=bytes(2 * MOST_BATCH_BYTES))
    log = [bytes(builder.build())]
    for _ in range(2):
        assert await read(reader, log) is None
    assert reader.unreadable[TP].oversized
