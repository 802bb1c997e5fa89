"""Request bodies, limited in size, inflated size and time. Room is reserved before reading."""

import asyncio
import zlib

from aiohttp import hdrs, web

from streams.edge.http.admission import Admission, Room
from streams.edge.http.connections import peer_of
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
    """Return the body, inflated if it is gzip.

    Gzip is recognised by its first bytes, because browsers cannot declare it without a preflight. `account` pays for
    the inflated bytes. Raise HttpError 413 over `limit` (None: `edge_max_body_bytes`), on the wire or inflated; 429
    above the account's rate; 408 if the body is late; 400 if it is incomplete; 415 for another encoding; 501 for a
    transfer coding other than chunked (RFC 9112, section 6.1); 503 without room.
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
        raise HttpError(400, "Content-Encoding: says gzip, but the body is not gzip")
    if account is not None:
        account.pay_bytes(len(body))
    return body


def visitor_of(request: web.BaseRequest, admission: Admission) -> Account:
    """Return the account of a visitor of the public listener."""
    return admission.visitor(request.headers, peer_of(request))


async def _whole(request: web.BaseRequest, settings: Settings, room: Room, limit: int) -> bytes:
    content = request.content
    if content.is_eof():  # a small body arrives together with the head
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
        raise HttpError(408, "The body did not arrive in time") from error
    except (web.RequestPayloadError, ConnectionError) as error:
        raise HttpError(400, "The connection closed before the body was complete") from error
    return b"".join(parts)


def check_size(total: int, limit: int, room: Room) -> None:
    """Reserve room for `total` bytes. Raise HttpError 413 over the limit, 503 without room."""
    if total > limit:
        raise HttpError(413, f"The body is larger than {limit} bytes")
    room.grow(total)


def inflate(body: bytes, limit: int) -> bytes:
    """Return the inflated body of one gzip member, at most `limit` bytes. Raise HttpError 400 or 413."""
    inflater = zlib.decompressobj(wbits=GZIP_WINDOW)
    try:
        inflated = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise HttpError(400, "The body is not valid gzip") from error
    if len(inflated) > limit:
        raise HttpError(413, f"The body is larger than {limit} bytes when inflated")
    if not inflater.eof or inflater.unused_data:
        raise HttpError(400, "The gzip body is incomplete, or has data after its end")
    return inflated
