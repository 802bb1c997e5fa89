"""Errors of the edge, in the shape of the Kafka REST Proxy: `{"error_code": int, "message": str}`."""

import msgspec
from aiohttp import hdrs, web

from infra.tenants import Tenants

SERVER_NAME = "lpstream"  # aiohttp would tell its version and Python's


class HttpError(Exception):
    """An answer that is an error; `code` is the proxy's sub-code, the status by default.

    `retry_after_s` is told with 429 and 503.
    """

    def __init__(self, status: int, message: str, code: int | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or status
        self.retry_after_s = retry_after_s


def error_response(error: HttpError) -> web.Response:
    """The error as a response; 429 and 503 say when to come again, 401 what is wanted."""
    body = msgspec.json.encode({"error_code": error.code, "message": error.message})
    response = web.Response(status=error.status, body=body, content_type="application/json")
    if error.status in (429, 503):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def cors_headers(tenants: Tenants, origin: str | None, status: int) -> dict[str, str]:
    """What lets a page's script read the answer: pages of a listed origin read all, others that they are refused.

    A script that cannot read its 403 takes it for a network that is down, and tries again for ever.
    """
    if origin is None:
        return {}
    if tenants.knows(origin):
        return {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin, hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "Retry-After"}
    return {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*"} if status == 403 else {}
