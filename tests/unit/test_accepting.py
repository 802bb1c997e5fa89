"""Newcomers do not wait a turn of the loop each; and come in again when there was no room for them."""

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any, cast

import pytest
import uvloop

from streams.edge.http import accepting
from streams.edge.http.accepting import AT_ONCE, Acceptor

NEWCOMERS = 200


class Counted(asyncio.Protocol):
    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        type(self).made += 1
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data.upper())


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    Counted.made = 0
    with socket.create_server(("127.0.0.1", 0)) as one:
        yield one


def knock(listener: socket.socket, count: int) -> list[socket.socket]:
    """So many connections that the kernel has taken and nobody has accepted."""
    return [socket.create_connection(listener.getsockname(), timeout=5) for _ in range(count)]


def test_a_crowd_is_let_in_in_a_few_turns(listener: socket.socket) -> None:
    uvloop.run(a_crowd_comes(listener))


async def a_crowd_comes(listener: socket.socket) -> None:
    acceptor = Acceptor(listener, Counted)
    crowd = knock(listener, NEWCOMERS)
    turns = 0
    while Counted.made < NEWCOMERS:
        await asyncio.sleep(0)
        turns += 1
        assert turns < 40, f"{Counted.made} of {NEWCOMERS}, {AT_ONCE} at a time"
    reader, writer = await asyncio.open_connection(sock=crowd[0])
    writer.write(b"served")
    assert await asyncio.wait_for(reader.read(6), 5) == b"SERVED"
    writer.close()
    await acceptor.close()
    for one in crowd[1:]:
        one.close()


def test_who_was_accepted_before_the_end_is_counted_after_it(listener: socket.socket) -> None:
    uvloop.run(the_last_one_comes(listener))


async def the_last_one_comes(listener: socket.socket) -> None:
    acceptor = Acceptor(listener, Counted)
    crowd = knock(listener, 3)
    while not acceptor.arriving:
        await asyncio.sleep(0)
    await acceptor.close()
    assert Counted.made == 3, "an edge that drains would end without them"
    for one in crowd:
        one.close()


class Full:
    """A listening socket of a process that has no file descriptor left, for once."""

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


async def test_without_a_file_descriptor_it_tries_again(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "AGAIN_S", 0.05)
    full: Any = Full(listener)
    acceptor = Acceptor(full, Counted)
    crowd = knock(listener, 3)
    async with asyncio.timeout(5):
        while Counted.made < 3:
            await asyncio.sleep(0.01)
    assert full.refused == 1
    await acceptor.close()
    for one in crowd:
        one.close()
