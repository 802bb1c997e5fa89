"""Notices of arrived step results, for tasks of this process that wait for the same request."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID


class Arrivals:
    """The waiting tasks' events, by request."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, asyncio.Event] = {}

    def tell(self, request_id: UUID) -> None:
        """Wake the tasks that wait for this request: a step result has arrived."""
        if (event := self._waiting.get(request_id)) is not None:
            event.set()

    @contextmanager
    def expect(self, request_id: UUID) -> Iterator[asyncio.Event]:
        """Yield an event that is set when a result of the request arrives; a second waiter shares it."""
        event = self._waiting.setdefault(request_id, asyncio.Event())
        try:
            yield event
        finally:
            self._waiting.pop(request_id, None)
