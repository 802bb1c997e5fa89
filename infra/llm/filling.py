"""Answers that fill up before they are read.

A provider sends a token at a time. With hundreds of streams open, waking up for each costs more than all that is done
with it: so the socket is left alone between two reads, and the kernel collects.
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
    """A body whose socket is not looked at for a pause after each read. All else is the body's own."""

    def __init__(self, body: StreamReader, protocol: BaseProtocol, pause: Callable[[], float]) -> None:
        self._body = body
        self._protocol = protocol
        self._pause = pause

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """As the body's."""
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
    """A class of responses for aiohttp's sessions; `pause` says how long to let each fill between two reads, s."""

    class FillingResponse(ClientResponse):
        async def start(self, connection: Any) -> ClientResponse:
            started = await super().start(connection)
            if not self.content.is_eof():
                self.content = _Filling(self.content, connection.protocol, pause)  # type: ignore[assignment]
            return started

    return FillingResponse
