"""Bounds for the inflated size of Kafka's batches.

zstd packs 1 GiB of zeros into 33 KB. aiokafka inflates a whole batch at once, and it parses all batches of a fetch
before it returns a record. So one record set could take all memory of a worker, again after each restart. Every bound
depends on the batch alone, so that all readers of a log agree.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

# Java's producer holds 32 MiB of records at most (`buffer.memory`), others less.
MOST_BATCH_BYTES = 64 * 2**20
# A record is an object of some 200 bytes, a header of some 70.
MOST_BATCH_RECORDS, MOST_BATCH_HEADERS = 500_000, 1_000_000
# A fetch, of all partitions together, ends after the batch that passes one of these. The next fetch begins behind it.
MOST_FETCH_BYTES, MOST_FETCH_RECORDS = 16 * 2**20, 250_000
PIECE = 2**20
SNAPPY_RATIO = 22  # three bytes are 64 at most
LEAST_HEADER = 2  # bytes: the lengths of its name and value


class OversizedError(Exception):
    """A batch is too large to be read."""


class _Inflated(threading.local):
    total = 0  # bytes that this thread has inflated


_inflated = _Inflated()


def inflated_bytes() -> int:
    """Return the number of bytes that this thread has inflated until now."""
    return _inflated.total


def bound_codecs() -> None:
    """Replace aiokafka's decoders in this process by bounded decoders, which raise OversizedError."""
    for kind, check in ((DefaultRecordBatch, _check_headers), (LegacyRecordBatch, len)):
        parser: Any = sys.modules[kind.__module__]
        if parser.gzip_decode.__module__ != __name__:
            parser.snappy_decode = _bounded(_snappy(parser.snappy_decode), check)
            for codec in ("gzip", "lz4", "zstd"):
                setattr(parser, f"{codec}_decode", _bounded(_streamed(codec), check))


class BoundedBatches:
    """The batches of a fetch (aiokafka's MemoryRecords), until they are as much as a fetch may hold.

    `current` is the batch that was returned last.
    """

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self._from = _inflated.total
        self._records = 0
        self.current: Any = None

    def has_next(self) -> bool:
        """Return whether there is another batch, and room for it."""
        room = self._records < MOST_FETCH_RECORDS and _inflated.total - self._from < MOST_FETCH_BYTES
        return room and bool(self._batches.has_next())

    def next_batch(self) -> Any:
        """Return the next batch. Raise OversizedError if its header announces more than MOST_BATCH_RECORDS."""
        self.current = batch = self._batches.next_batch()
        records = getattr(batch, "last_offset_delta", 0) + 1
        if not 0 <= records <= MOST_BATCH_RECORDS:
            if not batch.validate_crc():  # aiokafka has not checked it yet
                raise CorruptRecordException("Invalid CRC")
            raise OversizedError(f"the batch has more than {MOST_BATCH_RECORDS} records")
        self._records += records
        return batch


def _bounded(decoder: Callable[[bytes], bytes], check: Callable[[bytes], object]) -> Callable[[bytes], bytes]:
    def decode(payload: bytes) -> bytes:
        try:
            inflated = decoder(payload)
        except OversizedError:
            _inflated.total += MOST_BATCH_BYTES
            raise
        _inflated.total += len(inflated)
        check(inflated)
        return inflated

    return decode


def _streamed(codec: str) -> Callable[[bytes], bytes]:
    def decode(payload: bytes) -> bytes:
        pieces, size = [], 0
        with pa.CompressedInputStream(pa.BufferReader(payload), codec) as stream:
            while piece := stream.read(PIECE):
                pieces.append(piece)
                size += len(piece)
                if size > MOST_BATCH_BYTES:
                    raise _oversized(payload, codec)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    return decode


def _snappy(decoder: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def decode(payload: bytes) -> bytes:
        if len(payload) * SNAPPY_RATIO > MOST_BATCH_BYTES:
            raise _oversized(payload, "snappy")
        return decoder(payload)

    return decode


def _oversized(payload: bytes, codec: str) -> OversizedError:
    return OversizedError(f"the batch of {len(payload)} bytes ({codec}) inflates to more than {MOST_BATCH_BYTES} bytes")


def _check_headers(records: bytes) -> None:
    """Raise OversizedError if the records of a batch have more than MOST_BATCH_HEADERS headers in all.

    Records of at most 2 MiB cannot. Format: https://kafka.apache.org/documentation/#record
    """
    if len(records) <= LEAST_HEADER * MOST_BATCH_HEADERS:
        return
    at, headers = 0, 0
    try:
        while at < len(records):
            length, at = _varint(records, at)
            end = at + length
            if length <= 0:
                return  # the parser raises
            at += 1  # attributes
            for _ in ("timestamp", "offset"):
                _, at = _varint(records, at)
            for _ in ("key", "value"):
                size, at = _varint(records, at)
                at += max(0, size)
            count, at = _varint(records, at)
            headers, at = headers + max(0, count), end
            if headers > MOST_BATCH_HEADERS:
                raise OversizedError(f"the batch has more than {MOST_BATCH_HEADERS} headers")
    except IndexError:
        return  # the parser raises


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """Return a zigzag varint and the place behind it. Raise IndexError at the end of the bytes."""
    byte = raw[at]
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = raw[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at + 1
        shift += 7
