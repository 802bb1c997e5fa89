"""HTTP by hand, for what no client would send: parts with pauses between, and whatever comes back."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

Part = bytes | float
"""Bytes to send, or seconds to wait."""


@dataclass(frozen=True)
class Reply:
    """One answer; status 0: the connection was closed without one. `closed`: it was closed afterwards."""

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool = False


class RawConnection:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, url: str) -> "RawConnection":
        """To the server of that URL."""
        parts = urlsplit(url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port, limit=2**20))

    async def send(self, *parts: Part) -> None:
        """Send; what the server no longer takes is dropped."""
        for part in parts:
            if isinstance(part, float):
                await asyncio.sleep(part)
                continue
            try:
                self._writer.write(part)
                await self._writer.drain()
            except ConnectionError:
                return

    async def reply(self, within_s: float = 20) -> Reply:
        """The next answer."""
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
        """Whether the server closes within the time; what it still sends is dropped."""
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
        """End."""
        self._writer.close()


async def ask(url: str, *parts: Part, within_s: float = 20) -> Reply:
    """One answer on a connection of its own."""
    connection = await RawConnection.open(url)
    try:
        await connection.send(*parts)
        return await connection.reply(within_s)
    finally:
        await connection.close()


def request(body: bytes, headers: Sequence[str] = (), path: str = "/e/heatmap.events", method: str = "POST") -> bytes:
    """A request with its length."""
    lines = [f"{method} {path} HTTP/1.1", "Host: edge", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body
