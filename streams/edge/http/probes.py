"""The routes of probes and metrics."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from infra.tenants import Caller
from streams.edge.http.errors import HttpError
from streams.edge.services import Services
from streams.runtime import metrics


async def health(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Answer 200 while the event loop runs."""
    return web.Response(text="ok\n")


async def ready(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Answer 200 while the edge accepts records, else 503."""
    if services.admission.draining or not services.sender.ready:
        raise HttpError(503, "not ready")
    return web.Response(text="ready\n")


async def metrics_page(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Return the metrics in Prometheus text format."""
    return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
