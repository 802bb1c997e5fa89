"""aiohttp's low-level server with the limits of a server that strangers may talk to.

What aiohttp leaves open is closed here: how many connections there are, how long a request's head may take, how long
an answer may go unread. Idle keep-alive connections are closed by aiohttp's own timer.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal, Protocol, cast

from aiohttp import web
from aiohttp.http import RawRequestMessage

from streams.edge.http.admission import Admission
from streams.edge.http.errors import HttpError, error_response
from streams.edge.http.rates import UNKNOWN
from streams.runtime import metrics
from streams.runtime.settings import Settings

Listener = Literal["public", "private"]

KEEPALIVE_S = 75
LINGER_S = 1.0
STALL_S = 30.0
LOOK_S = 1.0
MOST_HEADERS = 64
FULL_BODY = b'{"error_code":503,"message":"Too many open connections"}'
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(FULL_BODY), FULL_BODY)
)


class ShortPath(Protocol):
    """A way to answer a request without aiohttp's task: `streams.edge.beacons.quick_path`."""

    def takes(self, message: Any, payload: Any) -> bool:
        """Return whether it answers this request; the arguments are those of aiohttp's parser."""

    def handle(self, message: Any, payload: Any, client: bytes, answer: Callable[[bytes], None]) -> None:
        """Call `answer` with the bytes of the response, now or later."""


class Connection(web.RequestHandler):
    """One connection. Its client is known by a hash alone."""

    __slots__ = ("_flying", "_gate", "_quick", "_refused", "client")

    def __init__(self, manager: web.Server, gate: "Gate", quick: ShortPath | None, **options: Any) -> None:
        super().__init__(manager, **options)
        self._gate = gate
        self._quick = quick
        self._refused = False
        self._flying = False
        self.client = UNKNOWN

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it, or refuse it."""
        peer = transport.get_extra_info("peername")
        self.client = self._gate.client_of(peer[0]) if isinstance(peer, tuple) else UNKNOWN
        if self._gate.enter(self):
            super().connection_made(transport)
            return
        self._refused = True
        cast(asyncio.Transport, transport).write(FULL)
        transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Count it off."""
        if not self._refused:
            self._gate.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Let aiohttp parse, then hand the requests to the quick door or to aiohttp's task."""
        if self._refused:
            return
        seen = self._request_count
        waiter, self._waiter = self._waiter, None  # aiohttp wakes its task by it, before we can look
        super().data_received(data)
        self._waiter = waiter
        if self._request_count != seen:
            self._gate.heads.pop(self, None)
        elif self._current_request is None and not self._messages and not self._flying:
            self._gate.heads.setdefault(self, self._loop.time())
        self._next()

    def _next(self) -> None:
        """Begin the first request that waits, unless another is being answered: answers are in order of requests."""
        waiter = self._waiter
        if not self._messages or self._flying or waiter is None or waiter.done():
            return
        message, payload = self._messages[0]
        if self._quick is None or not isinstance(message, RawRequestMessage) or not self._quick.takes(message, payload):
            waiter.set_result(None)
            return
        self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        self._flying = self._request_in_progress = True
        self._quick.handle(message, payload, self.client, self._answered)

    def _answered(self, response: bytes) -> None:
        """Write the quick door's answer, and go on."""
        self._flying = self._request_in_progress = False
        if self._handler_waiter is not None:  # the server is stopping, and waits for this answer
            self._handler_waiter.set_result(None)
        if self.transport is None:
            return
        self.transport.write(response)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._close:
            self.transport.close()
        elif self._messages:
            if self._buffer_paused:
                self._resume_reading_if_drained()
            self._next()

    def _process_keepalive(self) -> None:
        """Close when idle; a request at the quick door is not idleness, though aiohttp's task waits."""
        if self._flying:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on reading. aiohttp calls this for every part of a body, and would parse nothing anew each time."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        super().pause_writing()
        self._gate.stalled.setdefault(self, self._loop.time())

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._gate.stalled.pop(self, None)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP gets an error in our shape, and no line in the log: a flood of it must not be one of logs."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun already")
        metrics.REFUSED.labels("malformed").inc()
        response = error_response(HttpError(status, "HTTP 400 Bad Request" if status == 400 else "HTTP error"))
        response.force_close()
        return response

    def abort(self) -> None:
        """Drop it at once."""
        if self.transport is not None:
            self.transport.abort()


class Gate:
    """The connections of one listener: how many, whose, and which are too slow."""

    def __init__(self, listener: Listener, settings: Settings, admission: Admission) -> None:
        self._listener = listener
        self._settings = settings
        self.client_of = admission.client_of
        self.open = 0
        self._by_client: Counter[bytes] = Counter()
        self.heads: dict[Connection, float] = {}
        self.stalled: dict[Connection, float] = {}

    def enter(self, connection: Connection) -> bool:
        """Whether it may stay."""
        per_client = self._settings.edge_client_connections
        if per_client and self._by_client[connection.client] >= per_client:
            metrics.REFUSED.labels("client_connections").inc()
            return False
        if self.open >= self._settings.edge_max_connections:
            metrics.REFUSED.labels("connections").inc()
            return False
        self.open += 1
        self._by_client[connection.client] += 1
        metrics.CONNECTIONS.labels(self._listener).inc()
        return True

    def leave(self, connection: Connection) -> None:
        """It has gone."""
        self.open -= 1
        self._by_client[connection.client] -= 1
        if not self._by_client[connection.client]:
            del self._by_client[connection.client]
        self.heads.pop(connection, None)
        self.stalled.pop(connection, None)
        metrics.CONNECTIONS.labels(self._listener).dec()

    def sweep(self, now: float) -> None:
        """Drop connections whose head is not whole in time, or whose answer is not read."""
        late = [one for one, since in self.heads.items() if now - since > self._settings.edge_head_timeout_s]
        stalled = [one for one, since in self.stalled.items() if now - since > STALL_S]
        for cause, connections in (("slow_head", late), ("slow_reader", stalled)):
            for connection in connections:
                metrics.REFUSED.labels(cause).inc()
                connection.abort()
        for connection in late:
            del self.heads[connection]
        for connection in stalled:
            del self.stalled[connection]


class Server(web.Server):
    """A server whose connections pass a gate."""

    def __init__(self, handler: Any, gate: Gate, quick: ShortPath | None = None) -> None:
        super().__init__(handler)
        self._gate = gate
        self._quick = quick

    def __call__(self) -> web.RequestHandler:
        """The protocol of a new connection."""
        return Connection(
            self,
            self._gate,
            self._quick,
            loop=self._loop,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
            max_headers=MOST_HEADERS,
            auto_decompress=False,  # bodies are inflated within bounds of ours
        )


async def sweep(gates: list[Gate], admissions: list[Admission], in_flight: Callable[[], int]) -> None:
    """Look around every second, until cancelled."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(LOOK_S)
            for gate in gates:
                gate.sweep(loop.time())
            for admission in admissions:
                admission.forget()
            metrics.IN_FLIGHT.set(in_flight())
