"""aiohttp's low-level server with limits for untrusted clients.

aiohttp does not limit the number of connections, the time for a request's head, or the time that a response stays
unread. This module does. aiohttp's own timer closes idle keep-alive connections.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol, cast

from aiohttp import hdrs, web
from aiohttp.http import RawRequestMessage

from streams.edge.http.admission import Admission
from streams.edge.http.errors import HttpError, error_response, standing_headers
from streams.edge.http.rates import UNKNOWN
from streams.runtime import metrics
from streams.runtime.settings import Settings

Listener = Literal["public", "private"]

KEEPALIVE_S = 75
LINGER_S = 1.0
STALL_S = 30.0
POLL_S = 1.0
MOST_HEADERS = 64
FULL = HttpError(503, "Too many open connections", retry_after_s=5)
# for answers to an unknown origin, so that the script of a page does not take them for a failure of the network
ANY_ORIGIN = {hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: "*", hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "Retry-After"}


class ShortPath(Protocol):
    """A way to answer a request without aiohttp's task: `streams.edge.beacons.quick_path`."""

    def takes(self, message: Any, payload: Any) -> bool:
        """Return whether this path answers the request; the arguments are those of aiohttp's parser."""

    def handle(self, message: Any, payload: Any, client: bytes, answer: Callable[[bytes], None]) -> None:
        """Call `answer` with the bytes of the response, now or later."""


class Connection(web.RequestHandler):
    """A connection. Its client is identified only by a hash."""

    __slots__ = ("_beginning", "_flying", "_gate", "_quick", "_refused", "client")

    def __init__(self, manager: web.Server, gate: "Gate", quick: ShortPath | None, **options: Any) -> None:
        super().__init__(manager, **options)
        self._gate = gate
        self._quick = quick
        self._refused = False
        self._flying = False
        self._beginning = False
        self.client = UNKNOWN

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, or answer 503 and close it."""
        peer = transport.get_extra_info("peername")
        self.client = self._gate.client_of(peer[0]) if isinstance(peer, tuple) else UNKNOWN
        if self._gate.enter(self):
            super().connection_made(transport)
            return
        self._refused = True
        cast(asyncio.Transport, transport).write(self._gate.full)
        transport.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Remove the connection from the count."""
        if not self._refused:
            self._gate.leave(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Let aiohttp parse, then pass the requests to the quick path or to aiohttp's task."""
        if self._refused:
            return
        parsed_before = self._request_count
        waiter, self._waiter = self._waiter, None  # otherwise aiohttp would wake its task before `_next` decides
        super().data_received(data)
        self._waiter = waiter
        if self._request_count != parsed_before:
            self._gate.heads.pop(self, None)
        elif self._current_request is None and not self._messages and not self._flying:
            self._gate.heads.setdefault(self, self._loop.time())
        self._next()

    def _next(self) -> None:
        """Begin the waiting requests in order, until one is open: responses keep the order of requests.

        The quick path answers most refusals at once. The answers to a thousand requests in one packet must not call
        each other, so each begins in this loop.
        """
        if self._beginning:
            return
        self._beginning = True
        try:
            while self._begin() and self.transport is not None and not self._close:
                pass
        finally:
            self._beginning = False

    def _begin(self) -> bool:
        """Begin the first waiting request, unless another is open. Return whether the quick path took it."""
        waiter = self._waiter
        if not self._messages or self._flying or waiter is None or waiter.done():
            return False
        message, payload = self._messages[0]
        if self._quick is None or not isinstance(message, RawRequestMessage) or not self._quick.takes(message, payload):
            waiter.set_result(None)
            return False
        self._messages.popleft()
        if self._parser is not None:
            self._parser.message_consumed()
        self._flying = self._request_in_progress = True
        self._quick.handle(message, payload, self.client, self._answered)
        return True

    def _answered(self, response: bytes) -> None:
        """Write the quick path's response, then continue with the next request."""
        self._flying = self._request_in_progress = False
        if self._handler_waiter is not None:  # the server is stopping and waits for this response
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
        """Close an idle connection. A request on the quick path is not idle, though aiohttp's task waits."""
        if self._flying:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Resume reading if it is paused.

        aiohttp calls this for every part of a body. Without the check its parser would run each time without data.
        """
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def pause_writing(self) -> None:
        """Record the time since which the client reads too slowly."""
        super().pause_writing()
        self._gate.stalled.setdefault(self, self._loop.time())

    def resume_writing(self) -> None:
        """Forget that time: the client has caught up."""
        super().resume_writing()
        self._gate.stalled.pop(self, None)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Return an error in the edge's JSON shape for malformed HTTP.

        Nothing is logged, so that a flood of malformed requests does not flood the log.
        """
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun already")
        metrics.REFUSED.labels("malformed").inc()
        response = error_response(HttpError(status, "HTTP 400 Bad Request" if status == 400 else "HTTP error"))
        response.headers.update(self._gate.headers)
        response.force_close()
        return response

    def abort(self) -> None:
        """Drop the connection at once."""
        if self.transport is not None:
            self.transport.abort()


def peer_of(request: web.BaseRequest) -> bytes:
    """Return the client at the other end of the request's connection."""
    return cast(Connection, request.protocol).client


class Gate:
    """The connections of one listener: their number, in all and by client, and the slow ones."""

    def __init__(self, listener: Listener, settings: Settings, admission: Admission) -> None:
        self._listener = listener
        self._settings = settings
        public = listener == "public"
        address = settings.page_base_url if public else settings.api_base_url
        self.headers = standing_headers(address, public=public) | (ANY_ORIGIN if public else {})
        self.full = _full(self.headers)
        self.client_of = admission.client_of
        self.open = 0
        self._by_client: Counter[bytes] = Counter()
        self.heads: dict[Connection, float] = {}
        self.stalled: dict[Connection, float] = {}

    def enter(self, connection: Connection) -> bool:
        """Count the connection and return True, or return False if there are too many."""
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
        """Remove the connection from all counts."""
        self.open -= 1
        self._by_client[connection.client] -= 1
        if not self._by_client[connection.client]:
            del self._by_client[connection.client]
        self.heads.pop(connection, None)
        self.stalled.pop(connection, None)
        metrics.CONNECTIONS.labels(self._listener).dec()

    def sweep(self, now: float) -> None:
        """Drop connections whose head is incomplete, or whose response is unread, for too long."""
        head_s = self._settings.edge_head_timeout_s
        late = [connection for connection, since in self.heads.items() if now - since > head_s]
        stalled = [connection for connection, since in self.stalled.items() if now - since > STALL_S]
        for cause, connections in (("slow_head", late), ("slow_reader", stalled)):
            for connection in connections:
                metrics.REFUSED.labels(cause).inc()
                connection.abort()
        for connection in late:
            del self.heads[connection]
        for connection in stalled:
            del self.stalled[connection]


def _full(headers: Mapping[str, str]) -> bytes:
    """Return the response to a connection above the limits."""
    typed = {hdrs.CONNECTION: "close", hdrs.CONTENT_TYPE: "application/json", hdrs.CONTENT_LENGTH: str(len(FULL.body))}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (dict(headers) | FULL.headers | typed).items())
    return f"HTTP/1.1 503 Service Unavailable\r\n{lines}\r\n".encode() + FULL.body


class Server(web.Server):
    """A server whose connections pass a gate."""

    def __init__(self, handler: Any, gate: Gate, quick: ShortPath | None = None) -> None:
        super().__init__(handler)
        self._gate = gate
        self._quick = quick

    def __call__(self) -> web.RequestHandler:
        """Return the protocol of a new connection."""
        return Connection(
            self,
            self._gate,
            self._quick,
            loop=self._loop,
            access_log=None,
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
            max_headers=MOST_HEADERS,
            auto_decompress=False,  # `bodies.inflate` has a size limit
        )


async def sweep(gates: list[Gate], admissions: list[Admission], in_flight: Callable[[], int]) -> None:
    """Drop slow connections, forget idle clients and set the metric, every POLL_S until cancelled."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(POLL_S)
            for gate in gates:
                gate.sweep(loop.time())
            for admission in admissions:
                admission.forget()
            metrics.IN_FLIGHT.set(in_flight())
