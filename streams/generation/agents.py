"""The generation worker: its three agents (requests, steps, results) and its background tasks."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import faust
from mode import Service

from schemas.codec import REQUEST
from schemas.errors import DecodeError, LpstreamError
from schemas.generation import REQUESTS, STEP_RESULTS, STEPS
from streams.generation import publish, requests, steps
from streams.generation.ordered_acks import OrderedAcks
from streams.generation.restore import keep_restored
from streams.generation.services import GenerationServices
from streams.runtime import metrics, tracing
from streams.runtime.logs import begin_request, request_uuid
from streams.runtime.settings import Settings
from streams.transports.dead_letters import dead_letter_headers, fitted

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
MOST_SURPRISES = 5

Handler = Callable[[GenerationServices, Any], Awaitable[None]]


class GenerationService(Service):  # type: ignore[misc]  # mypy does not follow mode
    """The service that opens the stores and runs records in parallel; it acknowledges them in order."""

    def __init__(self, settings: Settings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._opened = asyncio.Event()
        self._services: GenerationServices
        self._background: list[asyncio.Task[None]] = []
        self._acks: list[OrderedAcks] = []

    async def on_start(self) -> None:
        """Open the services. Stores may be unreachable: the handlers wait for them."""
        self._services = GenerationServices(self._settings)
        await self._services.producer.start()
        self._background = [
            asyncio.create_task(work) for work in (self._services.cache.listen(), keep_restored(self._services))
        ]
        self._opened.set()

    async def on_stop(self) -> None:
        """Close the services."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._opened.is_set():
            await self._services.close()
        await asyncio.to_thread(tracing.stop_tracing)

    def agent(self, handle: Handler) -> Callable[[Any], Awaitable[None]]:
        """Return a Faust agent that passes each record to `handle`. No exception leaves its loop."""

        async def consume(stream: Any) -> None:
            await self._opened.wait()
            acks, slots, running = OrderedAcks(), asyncio.Semaphore(self._settings.lp_at_once), set()
            self._acks.append(acks)
            async for event in stream.noack().events():
                await slots.acquire()
                entry = acks.begin(event)
                at_work = metrics.AT_WORK.labels(event.message.topic)
                at_work.inc()
                task = asyncio.create_task(self._until_done(handle, event.message))
                running.add(task)

                def done(ended: asyncio.Task[bool], entry: Any = entry, at_work: Any = at_work) -> None:
                    running.discard(ended)
                    slots.release()
                    at_work.dec()
                    if not ended.cancelled() and ended.result():
                        acks.finish(entry)

                task.add_done_callback(done)

        return consume

    async def on_revoked(self, _app: Any, revoked: Any, **_: Any) -> None:
        """Forget revoked partitions: their records in progress are not acknowledged here and are redelivered."""
        for acks in self._acks:
            acks.forget(revoked)

    async def _until_done(self, handle: Handler, message: Any) -> bool:
        """Retry until the record's effects are delivered; dead-letter a record that cannot succeed.

        Return False if the worker stops first.
        """
        begin_request(message.key)
        with tracing.record(message, request_uuid()):
            return await self._work(handle, message)

    async def _work(self, handle: Handler, message: Any) -> bool:
        pause, surprises = FIRST_PAUSE_S, 0
        while not self.should_stop:
            try:
                await handle(self._services, message)
            except DecodeError as error:
                handle = _dead_letter(str(error))
            except LpstreamError as error:
                log.warning("%s, again in %.1f s: %s", message.topic, pause, error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
            except Exception as error:
                log.exception("%s offset %d failed", message.topic, message.offset)
                surprises += 1
                if surprises >= MOST_SURPRISES:
                    handle = _dead_letter(type(error).__name__)
                await asyncio.sleep(pause)
            else:
                return True
        return False


def _dead_letter(reason: str) -> Handler:
    async def send(services: GenerationServices, message: Any) -> None:
        timestamp_ms = int((message.timestamp or 0) * 1000)
        headers = dead_letter_headers(reason, message.topic, message.partition, message.offset, timestamp_ms)
        key, value, size = fitted(message.key, message.value)
        await services.send(f"{message.topic}.dlq", key, value, headers=headers + size)
        metrics.DEAD_LETTERS.labels(message.topic).inc()

    return send


async def _request(services: GenerationServices, message: Any) -> None:
    """Handle a request. While the registry does not answer, a request in Avro waits."""
    await services.writers.learn(REQUEST, [message.value])
    await requests.handle(services, message)


def register(app: faust.App, settings: Settings) -> None:
    """Attach the three agents and their service to the app."""
    service = GenerationService(settings)
    app.service(service)
    app.on_partitions_revoked.connect(service.on_revoked, weak=False)
    for topic, handle in ((REQUESTS, _request), (STEPS, steps.handle), (STEP_RESULTS, publish.handle)):
        channel = app.topic(topic, value_type=bytes, value_serializer="raw", key_serializer="raw")
        app.agent(channel, name=topic)(service.agent(handle))
