"""Responses that pause between reads, so that each read returns more data.

A provider sends one token at a time. With hundreds of open streams, a wake-up for each token costs more than all the
work with it. So the socket is not read for a pause after each read, and the kernel buffers the data.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import ClientResponse, StreamReader
from aiohttp.base_protocol import BaseProtocol

# shorter pauses cost more than they save
LEAST_PAUSE_S = 0.005
LAST = b"data: [DONE]\n\n"


class _Filling:
    """A body whose socket is not read for a pause after each read. Other attributes are the body's."""

    def __init__(self, body: StreamReader, protocol: BaseProtocol, pause: Callable[[], float]) -> None:
        self._body = body
        self._protocol = protocol
        self._pause = pause

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield chunks of at most `size` bytes, and pause the socket after each."""
        while data := await self._body.read(size):
            yield data
            pause = self._pause()
            if pause <= LEAST_PAUSE_S or self._body.is_eof() or data.endswith(LAST):
                continue
            self._protocol.pause_reading()
            try:
                await asyncio.sleep(pause)
            finally:
                self._protocol.resume_reading()


def filling_response(pause: Callable[[], float]) -> type[ClientResponse]:
    """Return a response class for aiohttp's sessions. `pause` returns the seconds between two reads."""

    class FillingResponse(ClientResponse):
        async def start(self, connection: Any) -> ClientResponse:
            response = await super().start(connection)
            if not self.content.is_eof():
                self.content = _Filling(self.content, connection.protocol, pause)  # type: ignore[assignment]
            return response

    return FillingResponse
