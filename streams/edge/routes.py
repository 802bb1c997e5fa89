"""Route handlers, which turn a request into a response with the help of the services."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from infra.tenants import Caller
from streams.edge.http.connections import Listener
from streams.edge.http.errors import HttpError
from streams.edge.rest.produce import Target, produce_records, topics_of
from streams.edge.services import Services
from streams.runtime import metrics

SHORT_S, LONG_S = 300, 31_536_000


async def produce(
    request: web.BaseRequest,
    services: Services,
    *,
    caller: Caller | None,
    listener: Listener,
    topic: str,
    partition: str | None = None,
) -> web.Response:
    """Take records by the REST Proxy's v2 API. A forbidden topic gets the same 404 as a missing one."""
    if topic not in topics_of(listener, services.settings):
        raise HttpError(404, "Topic not found.", 40401)
    if partition is not None and not (partition.isascii() and partition.isdigit() and len(partition) < 10):
        raise HttpError(404, "HTTP 404 Not Found")
    where = int(partition) if partition is not None else None
    return await produce_records(
        request, services, Target(topic, where, listener, caller, request.headers.get("Origin"))
    )


async def snippet(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, digest: str | None = None
) -> web.Response:
    """Return the tracking snippet."""
    if digest is not None and digest != services.snippet.digest:
        raise HttpError(404, "HTTP 404 Not Found")
    caching = f"public, max-age={SHORT_S}" if digest is None else f"public, max-age={LONG_S}, immutable"
    headers = {"Cache-Control": caching, "X-Content-Type-Options": "nosniff"}
    return web.Response(body=services.snippet.body, content_type="text/javascript", charset="utf-8", headers=headers)


async def source_map(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Return the snippet's source map, for debuggers."""
    headers = {"Cache-Control": f"public, max-age={SHORT_S}", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=services.snippet.source_map, content_type="application/json", headers=headers)


async def health(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Answer 200 while the event loop runs."""
    return web.Response(text="ok\n")


async def ready(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Answer 200 while records can be taken, else 503."""
    if services.admission.draining or not services.sender.ready:
        raise HttpError(503, "not ready")
    return web.Response(text="ready\n")


async def metrics_page(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Return the metrics in Prometheus text format."""
    return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})
