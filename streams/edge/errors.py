"""Errors of the edge, in the shape of the Kafka REST Proxy: `{"error_code": int, "message": str}`."""

import msgspec
from aiohttp import web

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
