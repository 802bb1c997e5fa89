"""ClickHouse's own compressed frames: `compress=1` for answers, `decompress=1` for bodies.

A frame is a CityHash128 (v1.0.2) of the rest, the method (1 byte), the size with these 9 bytes and the size of the data
(uint32, little endian), and the compressed data. Source: https://clickhouse.com/docs/native-protocol/compression
"""

import struct
from collections.abc import Iterator

import pyarrow as pa
from clickhouse_cityhash.cityhash import CityHash128

from infra.embedded.clickhouse_server.errors import ServerError

HEADER = struct.Struct("<BII")
CHECKSUM_BYTES = 16
PLAIN = 0x02
CODECS = {0x82: "lz4_raw", 0x90: "zstd"}
LZ4 = 0x82
FRAME_BYTES = 1 << 20


def compressed(body: bytes) -> bytes:
    """Return the body in frames of LZ4."""
    return b"".join(_frame(body[at : at + FRAME_BYTES]) for at in range(0, len(body), FRAME_BYTES))


def _frame(data: bytes) -> bytes:
    packed: bytes = pa.Codec(CODECS[LZ4]).compress(data, asbytes=True)
    frame: bytes = HEADER.pack(LZ4, HEADER.size + len(packed), len(data)) + packed
    return _checksum(frame) + frame


def _checksum(frame: bytes) -> bytes:
    """Return the hash with its upper half first, each half in little endian."""
    value: int = CityHash128(frame)
    return (value >> 64).to_bytes(8, "little") + (value & (1 << 64) - 1).to_bytes(8, "little")


def inflated(body: bytes, most: int) -> bytes:
    """Return the data of all frames.

    Raise error 307 if it is larger than `most`, 271 or 40 if a frame is damaged.
    """
    parts, size = [], 0
    for frame, length in _frames(body):
        size += length
        if size > most:
            raise ServerError(307, "TOO_MANY_BYTES", f"The body is larger than {most} bytes.")
        parts.append(_data(frame, length))
    return b"".join(parts)


def _frames(body: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each frame without its checksum, and the size of its data."""
    at = 0
    while at < len(body):
        start = at + CHECKSUM_BYTES
        if len(body) < start + HEADER.size:
            raise _damaged("ends within a header")
        _, size, length = HEADER.unpack_from(body, start)
        if size < HEADER.size or start + size > len(body):
            raise _damaged("ends within a frame")
        frame = body[start : start + size]
        if _checksum(frame) != body[at:start]:
            raise ServerError(40, "CHECKSUM_DOESNT_MATCH", "The checksum of a compressed frame of the body is wrong.")
        yield frame, length
        at = start + size


def _data(frame: bytes, length: int) -> bytes:
    method, packed = frame[0], frame[HEADER.size :]
    if method == PLAIN and len(packed) == length:
        return packed
    if method not in CODECS:
        raise _damaged("has an unknown method; use LZ4, ZSTD or NONE")
    try:
        data: bytes = pa.Codec(CODECS[method]).decompress(packed, length, asbytes=True)
    except (OSError, pa.ArrowException) as error:
        raise _damaged("cannot be decompressed") from error
    return data


def _damaged(reason: str) -> ServerError:
    return ServerError(271, "CANNOT_DECOMPRESS", f"A compressed frame of the body {reason}.")
