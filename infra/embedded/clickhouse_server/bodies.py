"""The body of a request: its codings, and the parts of a form with tables of data.

Codings and forms are those of ClickHouse's HTTPHandler and ExternalTable. Every step is bounded by the inflated size.
"""

import asyncio
import lzma
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import aiohttp
import pyarrow as pa
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError

from infra.embedded.clickhouse_server import frames
from infra.embedded.clickhouse_server.errors import ServerError

CHUNK = 1 << 20
# codings of pyarrow's streams, which inflate piece by piece
STREAMS = {"gzip": "gzip", "x-gzip": "gzip", "br": "brotli", "zstd": "zstd", "lz4": "lz4", "bz2": "bz2"}
XZ_MEMORY = 1 << 26
MOST_CODINGS = 3
MOST_TABLES = 20
FORM = "multipart/form-data"
# the errors of aiohttp's reader of forms
WRONG_FORM = (
    ValueError, AssertionError, RuntimeError, aiohttp.ClientError, HttpProcessingError, web.HTTPException,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ExternalTable:
    """A table that a client sends with its query.

    `structure` is `name Type, …`, or only types if `unnamed`.
    """

    name: str
    format: str
    structure: str
    unnamed: bool
    data: bytes


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A request whose body has been read. `params` has the URL's parameters and the form's fields."""

    method: str
    headers: Mapping[str, str]
    params: Mapping[str, str]
    body: bytes
    tables: tuple[ExternalTable, ...] = ()


def is_form(request: web.BaseRequest) -> bool:
    """Return whether the body is a form, which carries tables."""
    return request.headers.get("Content-Type", "").lower().startswith(FORM)


async def read(request: web.BaseRequest, most: int) -> Inquiry:
    """Return the request with its body inflated. Raise error 307 if the body is larger than `most`."""
    body = await _wire(request, most)
    for coding in reversed(_codings(request.headers.get("Content-Encoding", ""))):
        # a long body takes long to inflate
        body = await asyncio.to_thread(_inflated, coding, body, most)
    if flag(request.query, "decompress"):
        body = frames.inflated(body, most)
    if not is_form(request):
        return Inquiry(request.method, request.headers, request.query, body)
    fields, files = await _parts(request, body)
    params = {**fields, **request.query}
    tables = tuple(_table(name, data, params) for name, data in files)
    return Inquiry(request.method, request.headers, params, b"", tables)


def flag(params: Mapping[str, str], name: str) -> bool:
    """Return whether a parameter of the interface is on."""
    return params.get(name, "").lower() in ("1", "true")


def _too_long(most: int) -> ServerError:
    return ServerError(307, "TOO_MANY_BYTES", f"The body is larger than {most} bytes.")


async def _wire(request: web.BaseRequest, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            raise _too_long(most)
    return bytes(body)


def _codings(header: str) -> list[str]:
    codings = [coding.strip().lower() for coding in header.split(",")]
    codings = [coding for coding in codings if coding not in ("", "identity", "none")]
    for coding in codings:
        if coding not in STREAMS and coding not in ("deflate", "xz", "lzma"):
            known = "gzip, deflate, br, zstd, lz4, xz or bz2"
            raise ServerError(779, "UNSUPPORTED_MEDIA_TYPE", f"Content-Encoding {coding[:20]!r}: send {known}.")
    if len(codings) > MOST_CODINGS:
        raise ServerError(779, "UNSUPPORTED_MEDIA_TYPE", f"Content-Encoding has more than {MOST_CODINGS} codings.")
    return codings


def _inflated(coding: str, body: bytes, most: int) -> bytes:
    """Return the body without a coding.

    Raise error 307 if it is larger than `most`, 117 if it is damaged.
    """
    parts, size = [], 0
    pieces = _stream(STREAMS[coding], body) if coding in STREAMS else _pieces(coding, body)
    try:
        for piece in pieces:
            size += len(piece)
            if size > most:
                raise _too_long(most)
            parts.append(piece)
    except (OSError, EOFError, pa.ArrowException, zlib.error, lzma.LZMAError) as error:
        raise ServerError(117, "INCORRECT_DATA", f"The body is not {coding}, or it is cut off.") from error
    return b"".join(parts)


def _stream(codec: str, body: bytes) -> Iterator[bytes]:
    if not body:
        return
    with pa.CompressedInputStream(pa.BufferReader(body), codec) as stream:
        while piece := stream.read(CHUNK):
            yield piece


def _pieces(coding: str, body: bytes) -> Iterator[bytes]:
    """Yield the pieces of a deflate or xz body.

    `deflate` is zlib's format; some clients send it without its header.
    """
    if not body:
        return
    if coding == "deflate":
        inflater = zlib.decompressobj(zlib.MAX_WBITS if body[0] & 0xF == 8 else -zlib.MAX_WBITS)
        while piece := inflater.decompress(body, CHUNK):
            yield piece
            body = inflater.unconsumed_tail
        if not inflater.eof:
            raise EOFError
        return
    reader = lzma.LZMADecompressor(memlimit=XZ_MEMORY)
    while not reader.eof:
        piece = reader.decompress(body, CHUNK)
        if not piece and reader.needs_input:
            raise EOFError
        yield piece
        body = b""


async def _parts(request: web.BaseRequest, body: bytes) -> tuple[dict[str, str], list[tuple[str, bytes]]]:
    """Return the fields of a form, and its files with the names of their tables."""
    fields: dict[str, str] = {}
    files: list[tuple[str, bytes]] = []
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), len(body) + 1, loop=loop)  # the whole body is in memory already
    stream.feed_data(body)
    stream.feed_eof()
    try:
        async for part in aiohttp.MultipartReader(request.headers, stream):
            if not isinstance(part, aiohttp.BodyPartReader):
                raise ServerError(36, "BAD_ARGUMENTS", "A part of the form is a form itself.")
            data = bytes(await part.read())
            if part.filename is None:
                fields[part.name or ""] = data.decode()
            else:
                files.append((part.name or "_data", data))
            if len(files) > MOST_TABLES or len(fields) > 100 * MOST_TABLES:
                raise ServerError(36, "BAD_ARGUMENTS", f"The form has more than {MOST_TABLES} tables of external data.")
    except WRONG_FORM as error:
        raise ServerError(36, "BAD_ARGUMENTS", "The body is not a multipart form of UTF-8 fields and files.") from error
    return fields, files


def _table(name: str, data: bytes, params: Mapping[str, str]) -> ExternalTable:
    structure, types = params.get(f"{name}_structure", ""), params.get(f"{name}_types", "")
    if not structure and not types:
        raise ServerError(
            36,
            "BAD_ARGUMENTS",
            f"Neither structure nor types have not been provided for external table {name[:60]}."
            f" Use fields {name[:60]}_structure or {name[:60]}_types to do so.",
        )
    fmt = params.get(f"{name}_format", "TabSeparated")
    return ExternalTable(name, fmt, structure or types, not structure, data)
