"""A quick path for beacons, without aiohttp's task, request and response objects.

Those objects cost more than all other work. The path takes only the usual beacon: a complete POST in one piece on a
keep-alive connection. The ordinary path takes all other requests. A test checks that both give the same responses.
"""

import logging
import time
from collections.abc import Callable
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from aiohttp import HttpVersion11, hdrs

from infra.tenants import Tenants
from schemas.heatmap import TOPIC
from streams.edge.beacons.judge import Refusal, judge
from streams.edge.beacons.ordinary_path import PATH, error_of, refused
from streams.edge.beacons.sender import Sender, Sent
from streams.edge.http.admission import Admission, Room
from streams.edge.http.bodies import GZIP_MAGIC, check_size, inflate
from streams.edge.http.errors import ALWAYS_HTTPS, SERVER_NAME, STRICT_TRANSPORT, HttpError, cors_headers
from streams.runtime import metrics
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)

Answer = Callable[[bytes], None]


class QuickPath:
    """A handler that checks, sends and answers one beacon, with calls that never wait."""

    def __init__(self, settings: Settings, tenants: Tenants, admission: Admission, sender: Sender) -> None:
        self._limit = settings.edge_max_beacon_bytes
        self._tenants = tenants
        self._admission = admission
        self._sender = sender
        self._always = {STRICT_TRANSPORT: ALWAYS_HTTPS} if settings.page_base_url.startswith("https:") else {}
        self._second = 0
        self._date = b""

    def takes(self, message: Any, payload: Any) -> bool:
        """Return whether this path answers the request; the arguments are those of aiohttp's parser."""
        return bool(
            message.path == PATH
            and message.method == "POST"
            and message.version == HttpVersion11  # 1.0 needs `Connection: keep-alive` in the answer
            and not message.should_close
            and not self._admission.draining
            and not message.upgrade
            and payload.is_eof()
            and hdrs.CONTENT_ENCODING not in message.headers
            and hdrs.TRANSFER_ENCODING not in message.headers
            and self._sender.knows(TOPIC)
        )

    def handle(self, message: Any, payload: Any, client: bytes, answer: Answer) -> None:
        """Call `answer` with the response's bytes, now or when the broker has answered."""
        started = time.perf_counter()
        origin = message.headers.get(hdrs.ORIGIN)
        room = self._admission.room()

        def finish(error: HttpError | None) -> None:
            room.release()
            self._admission.end()
            self._answer(answer, error, origin, started)

        def done(sent: Sent) -> None:
            finish(error_of(sent))

        try:
            account = self._admission.admit(message.headers, client, origin)
            self._admission.begin()
        except HttpError as error:
            self._answer(answer, error, origin, started)
            return
        try:
            body = self._whole(payload.read_nowait(), room)
            account.pay_bytes(len(body))
            decision = judge(body, self._limit, self._tenants, origin)
            if isinstance(decision, Refusal):
                raise refused(decision)
            self._sender.send_one(TOPIC, decision, done)
        except HttpError as error:
            finish(error)
        except Exception:
            log.exception("POST %s failed", PATH)
            finish(HttpError(500, "Internal Server Error"))

    def _whole(self, body: bytes, room: Room) -> bytes:
        check_size(len(body), self._limit, room)
        if body[:2] != GZIP_MAGIC:
            return body
        body = inflate(body, self._limit)
        room.grow(len(body))
        return body

    def _answer(self, answer: Answer, error: HttpError | None, origin: str | None, started: float) -> None:
        status = 204 if error is None else error.status
        answer(self._response(status, error, origin))
        count, seconds = metrics.request_metrics("public", PATH, status)
        count.inc()
        seconds.observe(time.perf_counter() - started)

    def _response(self, status: int, error: HttpError | None, origin: str | None) -> bytes:
        lines = [HEAD % (status, PHRASES[status], self._now())]
        headers = cors_headers(self._tenants, origin, status) | self._always
        if error is not None:
            headers |= error.headers
        for name, value in headers.items():
            lines.append(f"{name}: {value}\r\n".encode())
        if error is None:
            lines.append(b"\r\n")
            return b"".join(lines)
        body = error.body
        lines.append(b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        return b"".join(lines)

    def _now(self) -> bytes:
        now = int(time.time())
        if now != self._second:
            self._second, self._date = now, formatdate(now, usegmt=True).encode()
        return self._date


HEAD = b"HTTP/1.1 %%d %%b\r\nDate: %%b\r\nServer: %b\r\nVary: Origin\r\n" % SERVER_NAME.encode()
PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
