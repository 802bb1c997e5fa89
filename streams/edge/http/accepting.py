"""An acceptor that takes many connections in each turn of the event loop.

libuv (1.52, in uvloop 0.23) accepts one connection per turn. Turns are long under load. The last of many new
connections then waits for as many turns: seconds, when a core is fully used.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

from aiohttp import web

from streams.runtime.listening import BACKLOG

log = logging.getLogger(__name__)

AT_ONCE = 64  # a limit, so that open connections do not wait for new ones
AGAIN_S = 0.2


class Acceptor:
    """The acceptor of a listening socket, which it owns and closes."""

    def __init__(self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Start accepting. `protocol` builds the protocol of each connection.

        `arriving` holds the connections that are accepted but have no protocol yet.
        """
        self._listener = listener
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        self.arriving: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listener.listen(BACKLOG)
        listener.setblocking(False)
        self._loop.add_reader(listener, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _address = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # most likely no file descriptors are left: the socket stays readable, and a retry at once would loop
                log.error("cannot accept connections, trying again in %.1f s: %s", AGAIN_S, error)
                self._loop.remove_reader(self._listener)
                self._pause = self._loop.call_later(AGAIN_S, self._loop.add_reader, self._listener, self._accept)
                return
            task = self._loop.create_task(self._arrive(connection))
            self.arriving.add(task)
            task.add_done_callback(self.arriving.discard)

    async def _arrive(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        with contextlib.suppress(OSError):  # the client has disconnected already
            await self._loop.connect_accepted_socket(self._protocol, connection)

    async def close(self) -> None:
        """Stop accepting. Return when each accepted connection has its protocol; it stays open."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        await asyncio.gather(*self.arriving)


class Site(web.BaseSite):
    """A listening socket of an aiohttp runner."""

    def __init__(self, runner: web.ServerRunner, listener: socket.socket) -> None:
        super().__init__(runner)
        self._listener = listener
        self._acceptor: Acceptor | None = None

    @property
    def name(self) -> str:
        """The URL of the socket's address."""
        return "http://{}:{}".format(*self._listener.getsockname())

    async def start(self) -> None:
        """Start accepting."""
        await super().start()
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner is not set up: call its setup() first")
        self._acceptor = Acceptor(self._listener, server)

    async def stop(self) -> None:
        """Stop accepting; open connections continue."""
        await super().stop()
        if self._acceptor is not None:
            await self._acceptor.close()
            self._acceptor = None
