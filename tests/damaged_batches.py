"""Batches with a chosen codec, and damaged batches that no consumer can read.

A broker checks incoming batches, so a batch can only be damaged in its log. It is changed in the segment file of the
running broker, byte by byte in place: broker and test share the page cache, and the broker does not check
stored batches before it sends them. The broker keeps running, so that no recovery truncates the log.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

Damage = Literal["flipped bit", "codec 7"]
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
BATCH_BYTES = 1 << 20  # the most that the broker accepts
OVERHEAD, CRC, ATTRIBUTES, DELTA = 12, 17, 21, 23


async def put(kafka: str, topic: str, partition: int, values: Sequence[bytes], codec: str | None = None) -> int:
    """Append one batch; return the offset of its first record."""
    async with AIOKafkaProducer(
        bootstrap_servers=kafka, compression_type=codec, max_batch_size=BATCH_BYTES
    ) as producer:
        batch = producer.create_batch()
        for value in values:
            assert batch.append(key=None, value=value, timestamp=None) is not None
        done = await (await producer.send_batch(batch, topic, partition=partition))
        return int(done.offset)


def batches(log: Path) -> list[tuple[int, int, bytes]]:
    """Return (position in the file, base offset, bytes) of each batch of a segment."""
    raw, at, found = log.read_bytes(), 0, []
    while at + OVERHEAD <= len(raw):
        base, length = struct.unpack_from(">qi", raw, at)
        if length <= 0:
            break
        found.append((at, base, raw[at : at + OVERHEAD + length]))
        at += OVERHEAD + length
    return found


def batch_in(logs: Path, topic: str, partition: int, offset: int) -> tuple[Path, int, bytes]:
    """Return the segment, the position and the bytes of the batch that contains an offset."""
    for log in sorted((logs / f"{topic}-{partition}").glob("*.log")):
        for at, base, raw in batches(log):
            if base <= offset <= base + struct.unpack_from(">i", raw, DELTA)[0]:
                return log, at, raw
    raise AssertionError(f"{topic}[{partition}] has no batch with offset {offset}")


def codec_of(logs: Path, topic: str, partition: int, offset: int) -> int:
    """Return the codec in the header of the batch that contains an offset."""
    return batch_in(logs, topic, partition, offset)[2][ATTRIBUTES + 1] & 7


def damage(logs: Path, topic: str, partition: int, offset: int, kind: Damage) -> None:
    """Make the batch that contains an offset unreadable. `logs` is the broker's folder."""
    log, at, raw = batch_in(logs, topic, partition, offset)
    damaged = bytearray(raw)
    if kind == "flipped bit":
        damaged[-3] ^= 1
    else:  # a valid batch with an unknown codec
        damaged[ATTRIBUTES + 1] |= 7
        damaged[CRC:ATTRIBUTES] = calc_crc32c(bytes(damaged[ATTRIBUTES:])).to_bytes(4, "big")
    with log.open("r+b") as file:
        file.seek(at)
        file.write(damaged)


def logs_of(stack: Any) -> Path:
    """Return the folder of an embedded Apache Kafka's logs."""
    return Path(stack.data) / "kafka-data" / "logs"
