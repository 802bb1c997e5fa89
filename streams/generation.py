"""The generation worker: its clients, and one safe loop for its three agents (requests, steps, results)."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import faust
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from mode import Service

from infra.kafka.producer import build_producer
from infra.llm import Endpoint, Writer
from infra.objects import Objects
from infra.redis import open_redis
from infra.results import ResultStore
from schemas.errors import DecodeError, LpstreamError, Retryable
from schemas.generation import PROGRESS, REQUESTS, STEP_RESULTS, STEPS, Progress, Stage, encode_model
from streams import metrics
from streams.ordered_acks import OrderedAcks
from streams.settings import LlmModel, LlmProvider, Settings

log = logging.getLogger(__name__)

AT_ONCE = 200
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 5.0
MOST_SURPRISES = 5
MICRO = 1_000_000

Handler = Callable[["Clients", Any], Awaitable[None]]


class Clients:
    """What the agents reach; made inside the running loop."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.redis = open_redis(settings.redis_url)
        self.results = ResultStore(self.redis)
        self.objects = Objects.open(
            settings.s3_endpoint_url,
            settings.s3_region,
            settings.s3_access_key_id.get_secret_value(),
            settings.s3_secret_access_key.get_secret_value(),
            settings.s3_bucket,
        )
        self.writers = {tier: Writer(_endpoints(settings, tier)) for tier in ("fast", "high")}
        self.producer: AIOKafkaProducer = build_producer(settings.kafka_bootstrap_servers, settings.broker)

    async def send(self, topic: str, key: bytes, value: bytes, **rest: Any) -> None:
        """Append a record and wait for the broker."""
        try:
            await self.producer.send_and_wait(topic, value, key=key, **rest)
        except KafkaError as error:
            raise Retryable(f"Kafka: {type(error).__name__}") from error

    async def progress(self, tenant_id: str, request_id: UUID, percent: int, stage: Stage) -> None:
        """Tell how far a request is, on the topic and in Redis."""
        progress = Progress(request_id=request_id, percent=percent, stage=stage, at_ms=now_ms())
        await self.results.put_progress(tenant_id, progress)
        await self.send(PROGRESS, str(request_id).encode(), encode_model(progress))

    async def close(self) -> None:
        """Close all."""
        await self.producer.stop()
        await self.redis.aclose()
        for writer in self.writers.values():
            await writer.close()


def _endpoints(settings: Settings, tier: str) -> list[Endpoint]:
    return [
        _endpoint(settings, provider, provider.high if tier == "high" else provider.fast)
        for provider in settings.llm_providers
    ]


def _endpoint(settings: Settings, provider: LlmProvider, model: LlmModel) -> Endpoint:
    def price(usd: float) -> int:
        return round(usd * settings.jpy_per_usd * MICRO)

    return Endpoint(
        provider.name,
        provider.base_url,
        provider.key(),
        model.id,
        price(model.usd_per_million_input),
        price(model.usd_per_million_output),
    )


def now_ms() -> int:
    """Wall clock, ms UTC."""
    return int(time.time() * 1000)


class GenerationService(Service):  # type: ignore[misc]  # mypy does not follow mode
    """Opens the clients with the app; runs each record's work beside others, acknowledged in order."""

    def __init__(self, settings: Settings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._opened = asyncio.Event()
        self._clients: Clients

    async def on_start(self) -> None:
        """Open the clients; stores that are away are waited for by the work itself."""
        self._clients = Clients(self._settings)
        await self._clients.producer.start()
        self._opened.set()

    async def on_stop(self) -> None:
        """Close the clients."""
        if self._opened.is_set():
            await self._clients.close()

    def agent(self, handle: Handler) -> Callable[[Any], Awaitable[None]]:
        """A Faust agent that gives each record to `handle`. No exception leaves its loop."""

        async def consume(stream: Any) -> None:
            await self._opened.wait()
            acks, slots, running = OrderedAcks(), asyncio.Semaphore(AT_ONCE), set()
            async for event in stream.noack().events():
                await slots.acquire()
                entry = acks.begin(event)
                task = asyncio.create_task(self._until_done(handle, event.message))
                running.add(task)

                def done(ended: asyncio.Task[bool], entry: Any = entry) -> None:
                    running.discard(ended)
                    slots.release()
                    if not ended.cancelled() and ended.result():
                        acks.finish(entry)

                task.add_done_callback(done)

        return consume

    async def _until_done(self, handle: Handler, message: Any) -> bool:
        """Repeat until the record's effects are delivered; what can never be is dead-lettered. False: stopping."""
        pause, surprises = FIRST_PAUSE_S, 0
        while not self.should_stop:
            try:
                await handle(self._clients, message)
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
    async def send(clients: Clients, message: Any) -> None:
        headers = [
            ("error", reason[:1_000].encode()),
            ("topic", message.topic.encode()),
            ("partition", str(message.partition).encode()),
            ("offset", str(message.offset).encode()),
            ("timestamp", str(int((message.timestamp or 0) * 1000)).encode()),
        ]
        await clients.send(f"{message.topic}.dlq", message.key, message.value, headers=headers)
        metrics.DEAD_LETTERS.labels(message.topic).inc()

    return send


def register(app: faust.App, settings: Settings) -> None:
    """Attach the three agents and their service to the app."""
    from streams import requests, results, steps

    service = GenerationService(settings)
    app.service(service)
    for topic, handle in ((REQUESTS, requests.handle), (STEPS, steps.handle), (STEP_RESULTS, results.handle)):
        channel = app.topic(topic, value_type=bytes, value_serializer="raw", key_serializer="raw")
        app.agent(channel, name=topic)(service.agent(handle))
