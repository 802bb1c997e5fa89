"""Raw HTTP over sockets, for requests that no client sends.

Parts with pauses between, and any answer.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from patience import PATIENCE_S

Part = bytes | float
"""Bytes to send, or seconds to wait."""


@dataclass(frozen=True)
class Reply:
    """An answer.

    Status 0: the connection was closed without an answer. `closed`: it was closed afterwards.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool = False


class RawConnection:
    """A raw connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> "RawConnection":
        """Connect to the server of that URL."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port, limit=2**20))

    async def send(self, *parts: Part) -> None:
        """Send the parts; stop without an error if the server has closed the connection."""
        for part in parts:
            if isinstance(part, float):
                await asyncio.sleep(part)
                continue
            try:
                self._writer.write(part)
                await self._writer.drain()
            except ConnectionError:
                return

    async def reply(self, within_s: float = PATIENCE_S) -> Reply:
        """Return the next answer."""
        try:
            async with asyncio.timeout(within_s):
                head = await self._reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin-1").split("\r\n")
                headers = {}
                for line in lines[1:-2]:
                    name, _, value = line.partition(":")
                    headers[name.lower()] = value.strip()
                body = await self._reader.readexactly(int(headers.get("content-length", "0")))
                return Reply(int(lines[0].split()[1]), headers, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            return Reply(0, {}, b"", closed=True)

    async def is_closed(self, within_s: float) -> bool:
        """Return whether the server closes the connection in time; ignore what it still sends."""
        try:
            async with asyncio.timeout(within_s):
                while await self._reader.read(65_536):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True  # a reset closes it as well
        return True

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()


async def ask(url: str, *parts: Part, within_s: float = PATIENCE_S) -> Reply:
    """Send the parts on a new connection; return the answer."""
    connection = await RawConnection.open(url)
    try:
        await connection.send(*parts)
        return await connection.reply(within_s)
    finally:
        await connection.close()


def request(body: bytes, headers: Sequence[str] = (), path: str = "/e/heatmap.events", method: str = "POST") -> bytes:
    """Return a request with its Content-Length."""
    lines = [f"{method} {path} HTTP/1.1", "Host: edge", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
