"""The stores, providers and producer of the generation worker, opened once in the running loop."""

import asyncio
import logging
from datetime import datetime
from uuid import UUID

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from cachetools import LRUCache

from infra.kafka.producer import build_producer
from infra.llm.breaker import State
from infra.llm.candidate import Watchers
from infra.llm.endpoint import Endpoint
from infra.llm.refusals import Refusal
from infra.redis.budget import Alert, Ledger, Payer
from infra.redis.line import RedisLine
from infra.redis.locks import FlightLocks
from infra.redis.page_cache import Lifetimes, PageCache
from infra.redis.results import ResultStore
from infra.s3.objects import Objects
from infra.tenants import Tenants
from processors.pages.lint import prepare
from schemas.errors import LpstreamError, Retryable
from schemas.generation import PROGRESS, Attempt, Progress, Stage, encode_model
from streams.generation.arrivals import Arrivals
from streams.generation.copywriting import Copywriter
from streams.generation.deadline import now_ms
from streams.generation.providers import Routers, open_routers
from streams.runtime import metrics
from streams.runtime.settings import Settings
from streams.runtime.stores import open_line, open_objects, open_writers
from streams.runtime.tracing import carried as trace_headers

log = logging.getLogger(__name__)

MICRO = 1_000_000
FILES = 100_000
BREAKER_LEVEL: dict[State, float] = {"closed": 0.0, "half_open": 0.5, "open": 1.0}
# the payer of copy that no customer waits for; a tenant's id cannot begin with an underscore
REFRESHER = "_cache"


class CopyServices:
    """The stores and providers that copywriting needs. The stores may be unreachable when it is created."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tenants = Tenants.load(settings.tenants_file)
        self.line = open_line(settings)
        self.results = ResultStore(self.line)
        self.ledger = Ledger(self.line, settings.timezone, datetime.now, _on_alert)
        self.objects = open_objects(settings)
        self.routers: Routers = open_routers(settings, self.ledger, WATCHERS)
        _show_closed_breakers(settings)
        self.cache = open_cache(settings, self.line, self.objects)
        self.copywriter = Copywriter(
            self.routers.by_tier,
            self.cache,
            FlightLocks(self.line),
            self.results,
            Payer(REFRESHER, "refresh", self.tenants.warming),
        )
        self._confirming = asyncio.create_task(self.ledger.keep_confirmed())
        self._preparing = asyncio.create_task(asyncio.to_thread(prepare))

    async def close(self) -> None:
        """Wait for copy that is being written, then close everything."""
        await self.copywriter.settle_down()
        await self._preparing
        self._confirming.cancel()
        await asyncio.gather(self._confirming, return_exceptions=True)
        await self.ledger.close()
        await self.line.redis.aclose()
        await self.routers.close()


class GenerationServices(CopyServices):
    """The services of the whole generation flow: copywriting, the Kafka producer and progress."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.producer: AIOKafkaProducer = build_producer(settings.kafka_bootstrap_servers, settings.broker)
        self.writers = open_writers(settings)
        self.arrivals = Arrivals()
        # names of files that this process has stored; a name is the hash of the content
        self.put_before: LRUCache[str, bool] = LRUCache(FILES)
        self._background: set[asyncio.Task[None]] = set()

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, *, headers: list[tuple[str, bytes]] | None = None
    ) -> None:
        """Append a record, with its trace context, and wait for the broker; raise Retryable if Kafka fails."""
        all_headers = [*(headers or ()), *trace_headers()]
        try:
            await self.producer.send_and_wait(topic, value, key=key, headers=all_headers or None)
        except KafkaError as error:
            raise Retryable(f"Kafka: {type(error).__name__}") from error

    def progress(
        self, request_id: UUID, percent: int, stage: Stage, *, section: str | None = None, keep_for: str | None = None
    ) -> "asyncio.Task[None]":
        """Send a request's progress to the topic; also store it in Redis if `keep_for` names its tenant.

        The caller need not await the task, and a failure has no effect on the request.
        """
        progress = Progress(request_id=request_id, percent=percent, stage=stage, section=section, at_ms=now_ms())
        task = asyncio.create_task(self._progress(progress, keep_for))
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task

    async def _progress(self, progress: Progress, keep_for: str | None) -> None:
        sending = [self.send(PROGRESS, str(progress.request_id).encode(), encode_model(progress))]
        if keep_for is not None:
            sending.append(self.results.put_progress(keep_for, progress))
        for outcome in await asyncio.gather(*sending, return_exceptions=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, LpstreamError):
                log.error("progress of request %s could not be sent: %r", progress.request_id, outcome)

    async def close(self) -> None:
        """Send pending progress, then close everything."""
        await asyncio.gather(*self._background)
        await self.producer.stop()
        await self.writers.aclose()
        await super().close()


def open_cache(settings: Settings, line: RedisLine, objects: Objects) -> PageCache:
    """Return the cache of copy."""
    lifetimes = Lifetimes(settings.copy_fresh_s, settings.copy_stale_s, settings.copy_l1_s, settings.copy_l1_bytes)
    return PageCache(line, objects, lifetimes, on_slow=lambda layer: metrics.COPY_SLOW.labels(layer).inc())


def _on_alert(alert: Alert) -> None:
    metrics.BUDGET_ALERTS.labels(alert.scope, str(alert.percent)).inc()
    yen = alert.cap / MICRO
    log.warning("tenant %s used %d %% of its cap per %s, %.0f yen", alert.tenant_id, alert.percent, alert.scope, yen)


def _on_attempt(attempt: Attempt) -> None:
    metrics.MODEL_CALLS.labels(attempt.provider, attempt.outcome).inc()
    metrics.COST.inc(attempt.cost_micro_jpy)
    if attempt.first_token_ms is not None:
        metrics.FIRST_TOKEN_SECONDS.labels(attempt.provider).observe(attempt.first_token_ms / 1000)


def _show_closed_breakers(settings: Settings) -> None:
    """Set the gauge of every breaker to closed: alerts must also see a model that never fails."""
    for provider in settings.llm_providers:
        for model in (provider.fast, provider.high):
            metrics.BREAKER.labels(provider.name, model.id).set(BREAKER_LEVEL["closed"])


def _on_breaker(endpoint: Endpoint, state: State) -> None:
    metrics.BREAKER.labels(endpoint.provider, endpoint.model).set(BREAKER_LEVEL[state])
    log.warning("circuit breaker of %s %s is now %s", endpoint.provider, endpoint.model, state)


def _on_hedge(endpoint: Endpoint) -> None:
    metrics.HEDGES.labels(endpoint.provider).inc()


def _on_refusal(endpoint: Endpoint, refusal: Refusal) -> None:
    name = f"{endpoint.provider} {endpoint.model}"
    log.warning("%s refuses a request (%d, about the %s): %s", name, refusal.status, refusal.about, refusal.words)


def _on_learned(endpoint: Endpoint, change: str) -> None:
    name = f"{endpoint.provider} {endpoint.model}"
    log.warning("%s needs %s: used from now on; write it into LPSTREAM_LLM_PROVIDERS", name, change)


WATCHERS = Watchers(_on_attempt, _on_breaker, _on_hedge, _on_refusal, _on_learned)
