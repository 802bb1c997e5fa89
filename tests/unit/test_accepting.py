"""The edge's loop that accepts connections.

Many connections per turn of the loop, and a retry when file descriptors run out.
"""

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest
import uvloop
from patience import PATIENCE_S

from streams.edge.http import accepting
from streams.edge.http.accepting import AT_ONCE, Acceptor

CONNECTIONS = 200


class CountingProtocol(asyncio.Protocol):
    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        type(self).made += 1
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    CountingProtocol.made = 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def connect(listener: socket.socket, count: int) -> list[socket.socket]:
    """Open `count` connections that wait in the kernel's backlog."""
    return [socket.create_connection(listener.getsockname(), timeout=PATIENCE_S) for _ in range(count)]


def test_many_connections_are_accepted_in_few_loop_turns(listener: socket.socket) -> None:
    uvloop.run(accept_many(listener))


async def accept_many(listener: socket.socket) -> None:
    acceptor = Acceptor(listener, CountingProtocol)
    clients = connect(listener, CONNECTIONS)
    turns = 0
    while CountingProtocol.made < CONNECTIONS:
        await asyncio.sleep(0)
        turns += 1
        assert turns < 40, f"{CountingProtocol.made} of {CONNECTIONS}, {AT_ONCE} at a time"
    reader, writer = await asyncio.open_connection(sock=clients[0])
    writer.write(b"served")
    assert await asyncio.wait_for(reader.read(6), PATIENCE_S) == b"SERVED"
    writer.close()
    await acceptor.close()
    for client in clients[1:]:
        client.close()


def test_connections_accepted_before_close_are_still_served(listener: socket.socket) -> None:
    uvloop.run(close_while_accepting(listener))


async def close_while_accepting(listener: socket.socket) -> None:
    acceptor = Acceptor(listener, CountingProtocol)
    clients = connect(listener, 3)
    while not acceptor.arriving:
        await asyncio.sleep(0)
    await acceptor.close()
    assert CountingProtocol.made == 3, "a draining edge would exit without serving them"
    for client in clients:
        client.close()


class ExhaustedListener:
    """A listening socket. Its first accept() fails, as if the process had too many open files."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.refused = 0

    def accept(self) -> Any:
        if not self.refused:
            self.refused += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return self._listener.accept()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)


async def test_accepting_resumes_after_file_descriptors_run_out(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "AGAIN_S", 0.05)
    full: Any = ExhaustedListener(listener)
    acceptor = Acceptor(full, CountingProtocol)
    clients = connect(listener, 3)
    async with asyncio.timeout(PATIENCE_S):
        while CountingProtocol.made < 3:
            await asyncio.sleep(0.01)
    assert full.refused == 1
    await acceptor.close()
    for client in clients:
        client.close()
