"""The feed of generation progress, from `lp.progress` to the clients that follow a request."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

from aiokafka.errors import KafkaError

from infra.kafka.consumer import build_consumer
from infra.kafka.reading import Reader
from infra.kafka.skips import pass_over
from schemas.errors import DecodeError, Retryable
from schemas.generation import PROGRESS, Progress, decode_model
from streams.edge.http.errors import HttpError
from streams.runtime import metrics
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)

MOST_WAITING = 64
ANOTHER_S = 10
AGAIN_S = 1.0


class ProgressFeed:
    """A reader of the topic for all followers, outside any group: every edge reads every partition.

    A stream is long, so it does not count as an open request. A tenant may have `edge_tenant_streams`, all tenants
    together half of the listener's connections. The other half is for requests and probes.
    """

    def __init__(self, settings: Settings) -> None:
        self._bootstrap = settings.kafka_bootstrap_servers
        self._most, self._most_of_all = settings.edge_tenant_streams, settings.edge_max_connections // 2
        self._streams: Counter[str] = Counter()
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
    def follow(self, request_id: UUID, tenant_id: str) -> Iterator[asyncio.Queue[Progress]]:
        """Yield a queue of the progress from now on. A full queue loses new entries.

        Raise HttpError 429 if the tenant has too many streams, 503 if all tenants together have.
        """
        with self._place(tenant_id), self._queue(request_id) as queue:
            yield queue

    @contextlib.contextmanager
    def _place(self, tenant_id: str) -> Iterator[None]:
        if self._streams[tenant_id] >= self._most:
            metrics.REFUSED.labels("tenant_streams").inc()
            raise HttpError(429, "Too many event streams of this tenant", retry_after_s=ANOTHER_S)
        if self._streams.total() >= self._most_of_all:
            metrics.REFUSED.labels("streams").inc()
            raise HttpError(503, "Too many event streams, try again", retry_after_s=ANOTHER_S)
        self._streams[tenant_id] += 1
        try:
            yield
        finally:
            self._streams[tenant_id] -= 1
            self._streams += Counter()  # removes the tenants without streams

    @contextlib.contextmanager
    def _queue(self, request_id: UUID) -> Iterator[asyncio.Queue[Progress]]:
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
            log.warning("%s holds a record that is not a Progress: %s", PROGRESS, error.field)
            return
        for queue in self._followers.get(progress.request_id, ()):
            if not queue.full():
                queue.put_nowait(progress)
