"""The driver for our own stack: visitors and applications in one asyncio process.

Each visitor has a connection of its own. It carries out the steps of `Driving.visits` in callbacks, without a task: at
thousands of connections, tasks and futures take as much processor time as the requests.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

from schemas.errors import LpstreamError
from streams.proof.verify.answers import Answer
from streams.proof.verify.applications import Applications
from streams.proof.verify.driving import POLL_S, WITHIN_S, Driving, part_of_this_process
from streams.proof.verify.fleet import Part
from streams.proof.verify.visits import Request, Step


class Connection(asyncio.Protocol):
    """A keep-alive connection for one request at a time. It sends the first request when it opens.

    `done` is called once for each request, with the answer, or with None if the answer is not whole.
    """

    def __init__(self, request: bytes, done: Callable[[Answer | None], None]) -> None:
        self._request = request
        self._done = done
        self._answer: Answer | None = Answer()
        self._transport: asyncio.Transport | None = None

    @property
    def usable(self) -> bool:
        """Whether the connection can carry another request."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> None:
        """Send another request."""
        self._answer = Answer()
        cast(asyncio.Transport, self._transport).write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.Transport, transport)
        if self._answer is None:  # the time was over before
            self.close()
        else:
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Parse the response. Close the connection after its last response or an invalid response."""
        answer = self._answer
        try:
            if answer is None or answer.feed(data):
                self._end(answer, close=answer is None or not answer.keep_alive)
        except ValueError:
            self._end(None, close=True)

    def connection_lost(self, exc: Exception | None) -> None:
        """Finish the open request. A response without a length is complete now; any other is not."""
        answer = self._answer
        self._end(answer if answer is not None and answer.ends_with_connection and exc is None else None, close=True)

    def close(self) -> None:
        """Close the connection. `done` is not called for the open request."""
        self._answer = None
        if self._transport is not None:
            self._transport.abort()

    def _end(self, answer: Answer | None, *, close: bool) -> None:
        is_open, self._answer = self._answer is not None, None
        if close:
            self.close()
        if is_open:
            self._done(answer)


class Visitor:
    """One connection, on which visitors follow each other. It reconnects if the server has closed it."""

    def __init__(self, driving: Driving, steps: Generator[Step, int | None, None]) -> None:
        edge = urlsplit(driving.part.edge)
        tls = edge.scheme == "https"
        self._driving, self._steps = driving, steps
        self._loop = asyncio.get_running_loop()
        self._connect = partial(
            self._loop.create_connection, host=edge.hostname, port=edge.port or (443 if tls else 80), ssl=tls or None
        )
        self._head = f" HTTP/1.1\r\nHost: {edge.netloc}\r\n".encode()
        self._connection: Connection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._kind, self._began = "", 0.0
        self._timer: asyncio.TimerHandle | None = None

    def go_on(self, status: int | None = None) -> None:
        """Do the next step of the visitor. `status` is that of the last response, or None after a wait."""
        try:
            step = self._steps.send(status)
        except StopIteration:
            return
        if isinstance(step, Request):
            self._ask(step)
        else:
            self._loop.call_later(step, self.go_on)

    def _ask(self, request: Request) -> None:
        self._kind, self._began = request.kind, time.perf_counter()
        self._timer = self._loop.call_later(WITHIN_S, self._time_out)
        sent = self._bytes_of(request)
        if self._connection is not None and self._connection.usable:
            self._connection.send(sent)
        else:
            self._opening = self._loop.create_task(self._open(sent))
            self._opening.add_done_callback(_raise)

    def _bytes_of(self, request: Request) -> bytes:
        path, body = request.path.encode(), request.body
        if not body:
            return b"GET %b%bAccept-Encoding: gzip\r\n\r\n" % (path, self._head)
        head = b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body)
        return b"POST %b%b%b%b" % (path, self._head, head, body)

    async def _open(self, request: bytes) -> None:
        connection = self._connection = Connection(request, self._answered)
        try:
            await self._connect(lambda: connection)
        except OSError as error:
            self._answered(None, timed_out=isinstance(error, TimeoutError))

    def _time_out(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._connection is not None:
            self._connection.close()
        self._answered(None, timed_out=True)

    def _answered(self, answer: Answer | None, *, timed_out: bool = False) -> None:
        ms = (time.perf_counter() - self._began) * 1000
        cast(asyncio.TimerHandle, self._timer).cancel()
        status, size = (0, 0) if answer is None else (answer.status, answer.size)
        self._driving.note(self._kind, ms, size, status, timed_out=timed_out)
        self.go_on(status)


def _raise(task: asyncio.Task[None]) -> None:
    """Raise the error of the task. The loop's exception handler receives it."""
    if not task.cancelled():
        task.result()


async def run(part: Part) -> None:
    """Run visitors and applications until the parent process ends the driver."""
    loop, errors, visitors = asyncio.get_running_loop(), list[BaseException](), list[Visitor]()

    def note_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception") or LpstreamError(context["message"])
        if not isinstance(error, OSError):  # connection_lost handles those
            errors.append(error)

    def arrive(number: int) -> None:
        driving.here = max(driving.here, number + 1)
        visitors[number].go_on()

    def begin() -> None:
        for number in range(part.connections):
            loop.call_later(part.ramp_s * number / part.connections, arrive, number)

    loop.set_exception_handler(note_error)
    driving = Driving(part, begin)
    visitors += [Visitor(driving, driving.visits()) for _ in range(part.connections)]
    driving.here = 0 if part.ramp_s else part.connections  # without a ramp, all wait for `go`
    applications = loop.create_task(Applications(driving).run())
    gc.freeze()  # the present objects live to the end
    for _ in driving.phases():
        await asyncio.sleep(POLL_S)
        if applications.done():
            applications.result()
        if errors:  # a visitor that stops would make the load smaller
            raise errors[0]
    applications.cancel()


def main() -> None:
    """Run this driver's part of the load. The first argument is the file with the part."""
    uvloop.run(run(part_of_this_process()))


if __name__ == "__main__":
    main()
