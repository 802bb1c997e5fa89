"""Errors of the edge, in the shape of the Kafka REST Proxy: `{"error_code": int, "message": str}`."""

import msgspec
from aiohttp import hdrs, web

from infra.tenants import Tenants

SERVER_NAME = "lpstream"  # aiohttp's default shows its version and Python's


class HttpError(Exception):
    """An error response. `code` is the REST proxy's sub-code, by default the status.

    Responses 429 and 503 carry `retry_after_s` as `Retry-After`.
    """

    def __init__(self, status: int, message: str, code: int | None = None, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or status
        self.retry_after_s = retry_after_s


def error_response(error: HttpError) -> web.Response:
    """Return the error as a response, with Retry-After for 429 and 503, WWW-Authenticate for 401."""
    body = msgspec.json.encode({"error_code": error.code, "message": error.message})
    response = web.Response(status=error.status, body=body, content_type="application/json")
    if error.status in (429, 503):
        response.headers["Retry-After"] = str(error.retry_after_s)
    if error.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


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
