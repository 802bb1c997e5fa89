"""Batches in chosen codecs, and batches that no consumer can read.

A broker checks what it is sent, so that a bad batch can only be made in its log. It is made in the segment file of the
running broker, byte for byte in place: broker and test read and write one page cache, and the broker does not check
what it has stored before it sends it. Nothing is stopped, so that no recovery cuts the log.
"""

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

Harm = Literal["flipped bit", "codec 7"]
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
OVERHEAD, CRC, ATTRIBUTES, DELTA = 12, 17, 21, 23


async def put(kafka: str, topic: str, partition: int, values: Sequence[bytes], codec: str | None = None) -> int:
    """Append one batch; the offset of its first record."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, compression_type=codec)
    await producer.start()
    try:
        batch = producer.create_batch()
        for value in values:
            assert batch.append(key=None, value=value, timestamp=None) is not None
        done = await (await producer.send_batch(batch, topic, partition=partition))
        return int(done.offset)
    finally:
        await producer.stop()


def batches(log: Path) -> list[tuple[int, int, bytes]]:
    """(place in the file, base offset, bytes) of each batch of a segment."""
    raw, at, found = log.read_bytes(), 0, []
    while at + OVERHEAD <= len(raw):
        base, length = struct.unpack_from(">qi", raw, at)
        if length <= 0:
            break
        found.append((at, base, raw[at : at + OVERHEAD + length]))
        at += OVERHEAD + length
    return found


def batch_in(logs: Path, topic: str, partition: int, offset: int) -> tuple[Path, int, bytes]:
    """The segment, the place in it and the bytes of the batch that holds an offset."""
    for log in sorted((logs / f"{topic}-{partition}").glob("*.log")):
        for at, base, raw in batches(log):
            if base <= offset <= base + struct.unpack_from(">i", raw, DELTA)[0]:
                return log, at, raw
    raise AssertionError(f"{topic}[{partition}] has no batch with offset {offset}")


def codec_of(logs: Path, topic: str, partition: int, offset: int) -> int:
    """The codec of a batch, by its header."""
    return batch_in(logs, topic, partition, offset)[2][ATTRIBUTES + 1] & 7


def spoil(logs: Path, topic: str, partition: int, offset: int, harm: Harm) -> None:
    """Make the batch that holds an offset unreadable. `logs` is the broker's folder."""
    log, at, raw = batch_in(logs, topic, partition, offset)
    made = bytearray(raw)
    if harm == "flipped bit":
        made[-3] ^= 1
    else:  # a whole batch, but of a codec of tomorrow
        made[ATTRIBUTES + 1] |= 7
        made[CRC:ATTRIBUTES] = calc_crc32c(bytes(made[ATTRIBUTES:])).to_bytes(4, "big")
    with log.open("r+b") as file:
        file.seek(at)
        file.write(made)


def logs_of(stack: Any) -> Path:
    """The folder of an embedded Apache Kafka's logs."""
    return Path(stack.data) / "kafka-data" / "logs"
