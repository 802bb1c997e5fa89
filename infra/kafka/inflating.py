"""Bounds for the inflated size of Kafka's batches.

zstd packs 1 GiB of zeros into 33 KB. aiokafka inflates a whole batch at once, and it parses all batches of a fetch
before it returns a record. So one record set could take all memory of a worker, again after each restart.
"""

import sys
import threading
from collections.abc import Callable
from typing import Any

import pyarrow as pa
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

# Java's producer holds 32 MiB of records at most (`buffer.memory`), others less.
MOST_BATCH_BYTES = 64 * 2**20
MOST_BATCH_RECORDS = 1_000_000
# A fetch ends after the batch that passes this size, and the next fetch begins behind it.
MOST_FETCH_BYTES = 16 * 2**20
PIECE = 2**20
SNAPPY_RATIO = 22  # three bytes are 64 at most


class OversizedError(Exception):
    """A batch is too large to be read."""


class _Inflated(threading.local):
    total = 0  # bytes that this thread has inflated


_inflated = _Inflated()


def bound_codecs() -> None:
    """Replace aiokafka's decoders in this process by bounded decoders, which raise OversizedError."""
    for kind in (DefaultRecordBatch, LegacyRecordBatch):
        parser: Any = sys.modules[kind.__module__]
        for codec in ("gzip", "lz4", "zstd"):
            setattr(parser, f"{codec}_decode", _bounded(codec))
        if parser.snappy_decode.__module__ != __name__:
            parser.snappy_decode = _bounded_snappy(parser.snappy_decode)


class BoundedBatches:
    """The batches of a fetch (aiokafka's MemoryRecords), until they have inflated to MOST_FETCH_BYTES."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self._from = _inflated.total

    def has_next(self) -> bool:
        """Return whether there is another batch, and room for it."""
        return _inflated.total - self._from < MOST_FETCH_BYTES and bool(self._batches.has_next())

    def next_batch(self) -> Any:
        """Return the next batch. Raise OversizedError if its header announces more than MOST_BATCH_RECORDS."""
        batch = self._batches.next_batch()
        if getattr(batch, "last_offset_delta", 0) >= MOST_BATCH_RECORDS:
            raise OversizedError(f"the batch has more than {MOST_BATCH_RECORDS} records")
        return batch


def _bounded(codec: str) -> Callable[[bytes], bytes]:
    def decode(payload: bytes) -> bytes:
        pieces, size = [], 0
        with pa.CompressedInputStream(pa.BufferReader(payload), codec) as stream:
            while piece := stream.read(PIECE):
                pieces.append(piece)
                size += len(piece)
                if size > MOST_BATCH_BYTES:
                    raise _oversized(len(payload), codec)
        _inflated.total += size
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    return decode


def _bounded_snappy(decoder: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def decode(payload: bytes) -> bytes:
        if len(payload) * SNAPPY_RATIO > MOST_BATCH_BYTES:
            raise _oversized(len(payload), "snappy")
        inflated = decoder(payload)
        _inflated.total += len(inflated)
        return inflated

    return decode


def _oversized(size: int, codec: str) -> OversizedError:
    return OversizedError(f"the batch of {size} bytes ({codec}) inflates to more than {MOST_BATCH_BYTES} bytes")
