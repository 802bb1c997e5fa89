"""Errors of the edge, in the shape of the Kafka REST Proxy: `{"error_code": int, "message": str}`."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import msgspec
from aiohttp import hdrs, web

from infra.tenants import Tenants
from schemas.errors import LpstreamError

SERVER_NAME = "lpstream"  # aiohttp's default shows its version and Python's
STRICT_TRANSPORT, ALWAYS_HTTPS = "Strict-Transport-Security", "max-age=31536000"


class HttpError(Exception):
    """An error response. `code` is the REST proxy's sub-code, by default the status.

    Responses 429 and 503 carry `retry_after_s` as `Retry-After`, 405 carries `allow` as `Allow`.
    """

    def __init__(
        self, status: int, message: str, code: int | None = None, *, retry_after_s: int = 1, allow: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or status
        self.retry_after_s = retry_after_s
        self.allow = allow

    @property
    def body(self) -> bytes:
        """The JSON of the response."""
        return msgspec.json.encode({"error_code": self.code, "message": self.message})

    @property
    def headers(self) -> dict[str, str]:
        """The headers of the response: Retry-After for 429 and 503, Allow for 405."""
        if self.allow:
            return {hdrs.ALLOW: self.allow}
        return {hdrs.RETRY_AFTER: str(self.retry_after_s)} if self.status in (429, 503) else {}


@contextmanager
def needing(name: str) -> Iterator[None]:
    """Raise HttpError 503 if the store or peer of that name does not answer within the block."""
    try:
        yield
    except LpstreamError as error:
        raise HttpError(503, f"{name} does not answer, try again") from error


def error_response(error: HttpError) -> web.Response:
    """Return the error as a response, with Retry-After for 429 and 503, WWW-Authenticate for 401."""
    headers = error.headers | ({hdrs.WWW_AUTHENTICATE: "Bearer"} if error.status == 401 else {})
    return web.Response(status=error.status, body=error.body, content_type="application/json", headers=headers)


def standing_headers(address: str, *, public: bool) -> dict[str, str]:
    """Return the headers that all responses of a listener have. `address` is its URL for clients."""
    headers = {hdrs.SERVER: SERVER_NAME} | ({hdrs.VARY: "Origin"} if public else {})
    return headers | ({STRICT_TRANSPORT: ALWAYS_HTTPS} if urlsplit(address).scheme == "https" else {})


def cors_headers(tenants: Tenants, origin: str | None, status: int) -> dict[str, str]:
    """Return the CORS headers that let a page's script read the response.

    Listed origins may read every response, other origins only a 403. A script that cannot read its 403 takes it for a
    network failure, and tries again for ever.
    """
    if origin is None:
        return {}
    if tenants.knows(origin):
        return {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin, hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "Retry-After"}
    return {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*"} if status == 403 else {}
