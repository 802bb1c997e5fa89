"""Progress of generation requests, from `lp.progress` to whoever follows one of them."""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from uuid import UUID

from aiokafka.errors import KafkaError

from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Reader
from infra.kafka.skips import pass_over
from schemas.errors import DecodeError, Retryable
from schemas.generation import PROGRESS, Progress, decode_model

log = logging.getLogger(__name__)

MOST_WAITING = 64
AGAIN_S = 1.0


class ProgressFeed:
    """One reader of the topic for all followers. It is outside any group: every edge reads every partition."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._followers: dict[UUID, set[asyncio.Queue[Progress]]] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Read in the background until `stop`."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @contextlib.contextmanager
    def follow(self, request_id: UUID) -> Iterator[asyncio.Queue[Progress]]:
        """A queue of what comes from now on; one that is not emptied loses its newest entries."""
        queue: asyncio.Queue[Progress] = asyncio.Queue(MOST_WAITING)
        self._followers.setdefault(request_id, set()).add(queue)
        try:
            yield queue
        finally:
            followers = self._followers[request_id]
            followers.discard(queue)
            if not followers:
                del self._followers[request_id]

    async def _run(self) -> None:
        while True:
            consumer = build_consumer(self._bootstrap, PROGRESS, auto_offset_reset="latest")
            try:
                await consumer.start()
                await self._read(Reader(consumer))
            except (KafkaError, Retryable) as error:
                log.warning("%s: %s, trying again", PROGRESS, type(error).__name__)
                await asyncio.sleep(AGAIN_S)
            finally:
                await consumer.stop()

    async def _read(self, reader: Reader) -> None:
        while True:
            for part in (await reader.fetch(AGAIN_S)).values():
                for record in part.records:
                    self._hand_out(record.value or b"")
            if reader.unreadable:
                await pass_over(reader)

    def _hand_out(self, value: bytes) -> None:
        try:
            progress = decode_model(Progress, value)
        except DecodeError as error:
            log.warning("%s holds what is no progress: %s", PROGRESS, error.field)
            return
        for queue in self._followers.get(progress.request_id, ()):
            if not queue.full():
                queue.put_nowait(progress)
