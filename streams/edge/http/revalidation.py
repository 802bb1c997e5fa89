"""Conditional requests: whether the client has the answer already."""

from aiohttp import web


def client_has(request: web.BaseRequest, etag: str) -> bool:
    """Return whether If-None-Match names the tag, by the weak comparison of RFC 9110, 13.1.2.

    nginx makes tags weak (`W/"..."`) when it compresses an answer.
    """
    header = request.headers.get("If-None-Match", "")
    return header.strip() == "*" or etag in (tag.strip().removeprefix("W/") for tag in header.split(","))
