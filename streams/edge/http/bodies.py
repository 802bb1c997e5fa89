"""Bodies of requests: bounded on the wire, in time and when inflated, and counted before they are read."""

import asyncio
import zlib
from typing import Any, cast

from aiohttp import hdrs, web

from streams.edge.http.admission import Admission, Room
from streams.edge.http.errors import HttpError
from streams.edge.http.rates import Account
from streams.runtime.settings import Settings

GZIP_MAGIC = b"\x1f\x8b"
GZIP_WINDOW = 31  # zlib: with a gzip header


async def read_body(
    request: web.BaseRequest,
    settings: Settings,
    room: Room,
    *,
    limit: int | None = None,
    account: Account | None = None,
) -> bytes:
    """The body, inflated when it is gzip (by its first bytes: browsers cannot say so without a preflight).

    `account` pays for its bytes. HttpError 413 over the limit (None: that of any body), on the wire or inflated; 429
    when the account has had too many; 408 when it does not come in time; 400 when it is cut off;
    415 for another encoding; 501 for a transfer coding other than chunked (RFC 9112, section 6.1); 503 without room.
    """
    if request.headers.get(hdrs.TRANSFER_ENCODING, "chunked").strip().lower() != "chunked":
        raise HttpError(501, "Transfer-Encoding: give chunked or none")
    limit = settings.edge_max_body_bytes if limit is None else limit
    check_size(request.content_length or 0, limit, room)
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise HttpError(415, "Content-Encoding: give gzip or none")
    body = await _whole(request, settings, room, limit)
    if body[:2] == GZIP_MAGIC:
        body = inflate(body, limit)
        room.grow(len(body))
    elif encoding not in ("", "identity"):
        raise HttpError(400, "The body does not fit its Content-Encoding")
    if account is not None:
        account.pay_bytes(len(body))
    return body


def visitor_of(request: web.BaseRequest, admission: Admission) -> Account:
    """The account of a visitor of the public listener."""
    connection = cast(Any, request.protocol)  # a `Connection`, whose module imports this one
    return admission.visitor(request.headers, connection.client)


async def _whole(request: web.BaseRequest, settings: Settings, room: Room, limit: int) -> bytes:
    content = request.content
    if content.is_eof():  # a small body comes with its head
        body = content.read_nowait()
        check_size(len(body), limit, room)
        return body
    if request.headers.get(hdrs.EXPECT, "").strip().lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    parts: list[bytes] = []
    total = 0
    try:
        async with asyncio.timeout(settings.edge_body_timeout_s):
            while part := await content.readany():
                total += len(part)
                check_size(total, limit, room)
                parts.append(part)
    except TimeoutError as error:
        raise HttpError(408, "The body did not come in time") from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise HttpError(400, "The body is cut off") from error
    return b"".join(parts)


def check_size(total: int, limit: int, room: Room) -> None:
    """Reserve room for so many bytes; HttpError 413 over the limit, 503 without room."""
    if total > limit:
        raise HttpError(413, f"The body is larger than {limit} bytes")
    room.grow(total)


def inflate(body: bytes, limit: int) -> bytes:
    """A gzip body of one member, at most `limit` bytes; HttpError 400 or 413."""
    inflater = zlib.decompressobj(wbits=GZIP_WINDOW)
    try:
        inflated = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise HttpError(400, "The body is no gzip") from error
    if len(inflated) > limit:
        raise HttpError(413, f"The body is larger than {limit} bytes when inflated")
    if not inflater.eof or inflater.unused_data:
        raise HttpError(400, "The body's gzip is cut off, or goes on after its end")
    return inflated
