"""Steps' results that come to this process, told to whoever waits for those of the same request."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID


class Arrivals:
    """Waiters by request."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, asyncio.Event] = {}

    def tell(self, request_id: UUID) -> None:
        """Something has come."""
        if (event := self._waiting.get(request_id)) is not None:
            event.set()

    @contextmanager
    def expect(self, request_id: UUID) -> Iterator[asyncio.Event]:
        """An event that is set when something comes, from now on. Whoever comes second shares it."""
        event = self._waiting.setdefault(request_id, asyncio.Event())
        try:
            yield event
        finally:
            self._waiting.pop(request_id, None)
