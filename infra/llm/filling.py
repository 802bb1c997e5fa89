"""Responses that pause between reads, so that each read returns more data.

A provider sends one token at a time. With hundreds of open streams, a wake-up for each token costs more than all the
work with it. So the socket is not read for a pause after each read, and the kernel buffers the data.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any

from aiohttp import ClientResponse, StreamReader
from aiohttp.base_protocol import BaseProtocol

# shorter pauses cost more than they save
LEAST_PAUSE_S, TICK_S = 0.005, 0.02
LAST = b"data: [DONE]\n\n"
# the most bytes that are read of an answer, and of an error
MOST_BYTES, MOST_ERROR = 4 * 2**20, 64 * 2**10


class _Filling:
    """A body whose socket is not read for a pause after each read, and not behind `most` bytes.

    Other attributes are the body's.
    """

    def __init__(self, body: StreamReader, protocol: BaseProtocol, pause: Callable[[], float], most: int) -> None:
        self._body = body
        self._most = most
        self._protocol = protocol
        self._pause = pause

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        """Yield chunks of at most `size` bytes, and pause the socket after each."""
        while self._most > 0 and (data := await self._body.read(size)):
            self._most -= len(data)
            yield data
            pause = self._pause()
            if pause <= LEAST_PAUSE_S or self._body.is_eof() or data.endswith(LAST):
                continue
            self._protocol.pause_reading()
            try:
                await asyncio.sleep(_until_tick(pause))
            finally:
                self._protocol.resume_reading()


def _until_tick(pause: float) -> float:
    """Return the seconds until the first tick after the pause.

    Streams whose pauses end at the same tick cost one wake-up of the event loop.
    """
    now = asyncio.get_running_loop().time()
    return math.ceil((now + pause) / TICK_S) * TICK_S - now


def filling_response(pause: Callable[[], float]) -> type[ClientResponse]:
    """Return a response class for aiohttp's sessions. `pause` returns the seconds between two reads."""

    class FillingResponse(ClientResponse):
        async def start(self, connection: Any) -> ClientResponse:
            response = await super().start(connection)
            if not self.content.is_eof():
                most = MOST_BYTES if response.status < HTTPStatus.BAD_REQUEST else MOST_ERROR
                self.content = _Filling(self.content, connection.protocol, pause, most)  # type: ignore[assignment]
            return response

    return FillingResponse
