"""The optimizer's process: it waits for the lease, works, and starts anew after every failure."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator
from uuid import uuid4

from aiohttp import web
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from infra.clickhouse.client import ClickHouse
from infra.kafka.admin import partitions_of, wait_for_brokers
from infra.kafka.producer import build_producer
from infra.redis.experiments import ExperimentStore
from infra.redis.lease import Lease, lease
from infra.redis.line import SOCKET_S, RedisLine
from infra.redis.response_cache import ResponseCache
from infra.redis.results import ResultStore
from infra.tenants import Tenants
from schemas.errors import LpstreamError, Refused, Retryable
from schemas.experiments import EXPERIMENTS
from streams.experiments.autopilots import Stores
from streams.experiments.optimizer import Optimizer
from streams.experiments.topic import read_topic
from streams.pictures.drawing import Threads
from streams.pictures.findings import Findings
from streams.runtime.listening import listening
from streams.runtime.logs import log_to_stderr
from streams.runtime.settings import PREFIX, Settings
from streams.runtime.stores import open_analyst, open_line, open_objects
from streams.runtime.systemd import tell_ready

log = logging.getLogger(__name__)

TRANSACTIONS, LEASE, LEASE_S = "lpstream-optimizer", "lpstream:optimizer", 10.0
AGAIN_S, STOP_S = 1.0, 5.0


def run_optimizer(settings: Settings) -> None:
    """Run the optimizer until a signal ends it."""
    log_to_stderr(settings, "optimizer")
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    work = asyncio.create_task(_work(settings))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def _work(settings: Settings) -> None:
    tenants = Tenants.load(settings.tenants_file)
    async with _health(settings) as health, _stores(settings) as (line, clickhouse, sources):
        await _wait_for_topic(settings)
        health.ready = True
        tell_ready()
        while True:
            try:
                async with lease(line.redis, LEASE, uuid4().hex, LEASE_S) as held:
                    if held is not None:
                        await _epoch(settings, tenants, line, clickhouse, sources, held)
            except (LpstreamError, KafkaError, TimeoutError) as error:
                log.warning("the optimizer begins anew: %s: %s", type(error).__name__, error)
            await asyncio.sleep(AGAIN_S)


async def _epoch(
    settings: Settings, tenants: Tenants, line: RedisLine, clickhouse: ClickHouse, sources: Stores, held: Lease
) -> None:
    """Fence the optimizers before, read the topic, and work until an error.

    The epoch is higher than any on the topic or in Redis.
    """
    store = ExperimentStore(line)
    async with _producer(settings) as producer, read_topic(settings.kafka_bootstrap_servers) as topic:
        epoch = 1 + max(topic.known.highest_epoch, await store.highest_epoch())
        log.info("optimizer of epoch %d: %d pages have had experiments", epoch, len(topic.known.states))
        await Optimizer(settings, tenants, store, clickhouse, held, topic, producer, sources, epoch).run()


@contextlib.asynccontextmanager
async def _producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    servers = settings.kafka_bootstrap_servers
    producer = build_producer(servers, settings.broker, transactional_id=TRANSACTIONS)
    try:
        await producer.start()
        yield producer
    finally:
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(STOP_S):
                await producer.stop()


@contextlib.asynccontextmanager
async def _stores(settings: Settings) -> AsyncIterator[tuple[RedisLine, ClickHouse, Stores]]:
    line, clickhouse, objects = open_line(settings, socket_s=SOCKET_S), open_analyst(settings), open_objects(settings)
    reports = Findings(clickhouse, ResponseCache(line, "lp:heatmap:"), objects, Threads())
    try:
        yield line, clickhouse, Stores(objects, reports, ResultStore(line))
    finally:
        await line.redis.aclose()
        await clickhouse.close()


async def _wait_for_topic(settings: Settings) -> None:
    await wait_for_brokers(settings.kafka_bootstrap_servers)
    while True:
        try:
            await partitions_of(settings.kafka_bootstrap_servers, EXPERIMENTS)
        except (Retryable, Refused) as error:
            log.warning("%s; waiting", error)
            await asyncio.sleep(AGAIN_S)
        else:
            return


class Health:
    """The answers to probes and to Prometheus. An optimizer that waits for the lease is ready, too."""

    ready = False

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """Answer `/healthz`, `/readyz` and `/metrics`."""
        if request.path == "/healthz":
            return web.Response(text="ok\n")
        if request.path == "/readyz":
            return web.Response(text="ready\n" if self.ready else "waiting\n", status=200 if self.ready else 503)
        if request.path == "/metrics":
            return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
        return web.json_response({"error_code": 404, "message": "HTTP 404 Not Found"}, status=404)


@contextlib.asynccontextmanager
async def _health(settings: Settings) -> AsyncIterator[Health]:
    health = Health()
    runner = web.ServerRunner(web.Server(health.answer, access_log=None))
    await runner.setup()
    listener = listening(settings.edge_host, settings.worker_metrics_port, f"{PREFIX}WORKER_METRICS_PORT")
    await web.SockSite(runner, listener).start()
    try:
        yield health
    finally:
        await runner.cleanup()
