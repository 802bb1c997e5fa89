"""The worker process: one Faust app, its agents, and an HTTP server for health and metrics."""

import asyncio
import logging
from importlib import import_module
from typing import Any

import faust
import uvloop
from aiohttp import web
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from infra.kafka.admin import partitions_of, wait_for_brokers
from infra.schema_registry import ConfluentRegistry
from schemas.codec import learn_ids
from schemas.errors import LpstreamError, Refused, Retryable
from schemas.generation import REQUESTS, STEP_RESULTS, STEPS
from schemas.heatmap import TOPIC as HEATMAP
from streams.runtime.gc_tuning import tune_collector
from streams.runtime.listening import listening
from streams.runtime.logs import log_to_stderr
from streams.runtime.settings import PREFIX, Settings
from streams.runtime.tracing import start_tracing
from streams.workers.app import AppName, build_app
from streams.workers.membership import failure_of

AGENTS: dict[AppName, str] = {"heatmap": "streams.heatmap.agent", "generation": "streams.generation.agents"}
log = logging.getLogger(__name__)


class Health(Service):  # type: ignore[misc]  # mypy does not follow mode
    """The HTTP server for `/healthz`, `/readyz` and `/metrics`.

    `/healthz` answers 200 while the event loop runs and the consumer is alive, `/readyz` while partitions are assigned.
    """

    def __init__(self, app: faust.App, settings: Settings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._app = app
        self._settings = settings
        self._runner: web.ServerRunner | None = None

    async def on_start(self) -> None:
        """Start to listen."""
        self._runner = web.ServerRunner(web.Server(self._answer, access_log=None))
        await self._runner.setup()
        listener = listening(
            self._settings.edge_host, self._settings.worker_metrics_port, f"{PREFIX}WORKER_METRICS_PORT"
        )
        await web.SockSite(self._runner, listener).start()

    async def on_stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/healthz":
            failure = failure_of(self._app)
            return web.Response(text=f"{failure or 'ok'}\n", status=503 if failure else 200)
        if request.path == "/readyz":
            ready = self._app.consumer.flow_active and bool(self._app.consumer.assignment())
            return web.Response(text="ready\n" if ready else "no partitions yet\n", status=200 if ready else 503)
        if request.path == "/metrics":
            return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
        return web.json_response({"error_code": 404, "message": "HTTP 404 Not Found"}, status=404)


def run_worker(name: AppName, settings: Settings) -> None:
    """Run the worker until a signal ends it. The process exits non-zero if Faust crashes."""
    log_to_stderr(settings, name)
    for noisy in ("httpx2", "openai"):
        logging.getLogger(noisy).setLevel(logging.WARNING)  # otherwise a line for each model call
    _require_cython()
    if name == "generation":
        start_tracing(settings, f"lpstream-{name}")
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # a fifth less CPU time with hundreds of open streams
    asyncio.run(_prepare(name, settings))
    tune_collector()
    app = build_app(settings, name)
    import_module(AGENTS[name]).register(app, settings)  # do not load the other app's libraries
    app.service(Health(app, settings))
    if name == "heatmap":
        from streams.tiers.schedule import TierSchedule

        app.service(TierSchedule(settings))
    faust.Worker(app, loglevel=settings.log_level, override_logging=False).execute_from_commandline()


def _require_cython() -> None:
    """Raise LpstreamError if Faust runs without Cython.

    Its pure-Python stream acknowledges messages of an old generation without processing them.
    """
    from faust import streams as faust_streams

    if faust_streams._CStreamIterator is None:
        raise LpstreamError("faust runs without its Cython extension: unset NO_CYTHON, or install the faust wheel")


async def _prepare(name: AppName, settings: Settings) -> None:
    """Wait for the stores that the start needs. Raise Refused if the worker must not run."""
    await wait_for_brokers(settings.kafka_bootstrap_servers)
    await _wait_for_topics(settings, name)
    await _learn_schemas(settings)
    if name == "heatmap":
        await _refuse_rewound(settings)


async def _refuse_rewound(settings: Settings) -> None:
    from streams.heatmap.rewound import refuse_rewound

    while True:
        try:
            await refuse_rewound(settings)
        except Retryable as error:
            log.warning("%s; waiting", error)
            await asyncio.sleep(1)
        else:
            return


async def _learn_schemas(settings: Settings) -> None:
    """Load the ids of our schemas from the installation's schema registry, if set. Wait for it."""
    if settings.schema_registry_url is None:
        return None
    registry = ConfluentRegistry(settings.schema_registry_url)
    try:
        while True:
            try:
                return learn_ids(await registry.own_ids())
            except Retryable as error:
                log.warning("schema registry at %s: %s; waiting", settings.schema_registry_url, error)
                await asyncio.sleep(1)
    finally:
        await registry.close()


async def _wait_for_topics(settings: Settings, name: AppName) -> None:
    """Wait until the worker's topics exist: Faust would stay idle and not look for them again."""
    topics = [HEATMAP] if name == "heatmap" else [REQUESTS, STEPS, STEP_RESULTS]
    while True:
        try:
            for topic in topics:
                await partitions_of(settings.kafka_bootstrap_servers, topic)
        except (Retryable, Refused) as error:
            log.warning("%s; waiting", error)
            await asyncio.sleep(1)
        else:
            return
