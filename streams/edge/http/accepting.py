"""Accepting connections by the dozen.

libuv (1.52, in uvloop 0.23) accepts one connection in each turn of the event loop. Turns are long when there is much to
do, and newcomers then wait for as many of them as there are newcomers: with a core in full use, seconds.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable

from aiohttp import web

log = logging.getLogger(__name__)

BACKLOG = 4_096
AT_ONCE = 64  # who is connected already must not wait for newcomers either
AGAIN_S = 0.2


def listening(host: str, port: int) -> socket.socket:
    """A socket on which several processes may listen; OSError when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=True)


class Acceptor:
    """Takes connections from a listening socket, which is its own from now on."""

    def __init__(self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol]) -> None:
        """`protocol` makes the protocol of a new connection; `arriving` are accepted, and have none yet."""
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
                # no file descriptors, most likely: the socket stays ready, and asking at once would be all we do
                log.error("no connection can be accepted for %.1f s: %s", AGAIN_S, error)
                self._loop.remove_reader(self._listener)
                self._pause = self._loop.call_later(AGAIN_S, self._loop.add_reader, self._listener, self._accept)
                return
            arriving = self._loop.create_task(self._arrive(connection))
            self.arriving.add(arriving)
            arriving.add_done_callback(self.arriving.discard)

    async def _arrive(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        with contextlib.suppress(OSError):  # it has gone already
            await self._loop.connect_accepted_socket(self._protocol, connection)

    async def close(self) -> None:
        """Accept no more. Returns when those that were accepted have their protocol, and are counted; they stay."""
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
        """The address."""
        return "http://{}:{}".format(*self._listener.getsockname())

    async def start(self) -> None:
        """Accept from now on."""
        await super().start()
        server = self._runner.server
        if server is None:
            raise RuntimeError("the runner is not set up")
        self._acceptor = Acceptor(self._listener, server)

    async def stop(self) -> None:
        """Accept no more; connections that are open go on."""
        await super().stop()
        if self._acceptor is not None:
            await self._acceptor.close()
            self._acceptor = None
