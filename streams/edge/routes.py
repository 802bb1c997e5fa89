"""Handlers of the routes: from a request to a response, by the services."""

import logging
from datetime import UTC, datetime, timedelta
from typing import get_args

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from infra.tenants import Caller
from schemas.errors import LpstreamError
from schemas.heatmap import DEVICES
from streams import metrics
from streams.edge.beacons import beacon_door
from streams.edge.connections import Listener
from streams.edge.errors import HttpError
from streams.edge.produce import Target, rest_door, topics_of
from streams.edge.services import Services
from streams.heatmaps import MapKind

log = logging.getLogger(__name__)

SHORT_S, LONG_S = 300, 31_536_000


async def beacon(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """One beacon."""
    return await beacon_door(request, services)


async def produce(
    request: web.BaseRequest,
    services: Services,
    *,
    caller: Caller | None,
    listener: Listener,
    topic: str,
    partition: str | None = None,
) -> web.Response:
    """Records by the REST Proxy's v2 API. A topic that may not be used answers as one that is not there."""
    if topic not in topics_of(listener, services.settings):
        raise HttpError(404, "Topic not found.", 40401)
    if partition is not None and not (partition.isascii() and partition.isdigit() and len(partition) < 10):
        raise HttpError(404, "HTTP 404 Not Found")
    where = int(partition) if partition is not None else None
    return await rest_door(request, services, Target(topic, where, listener, caller, request.headers.get("Origin")))


async def snippet(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, digest: str | None = None
) -> web.Response:
    """The tracking snippet."""
    if digest is not None and digest != services.snippet.digest:
        raise HttpError(404, "HTTP 404 Not Found")
    caching = f"public, max-age={SHORT_S}" if digest is None else f"public, max-age={LONG_S}, immutable"
    headers = {"Cache-Control": caching, "X-Content-Type-Options": "nosniff"}
    return web.Response(body=services.snippet.body, content_type="text/javascript", charset="utf-8", headers=headers)


async def source_map(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """What debuggers read the snippet by."""
    headers = {"Cache-Control": f"public, max-age={SHORT_S}", "X-Content-Type-Options": "nosniff"}
    return web.Response(body=services.snippet.source_map, content_type="application/json", headers=headers)


async def heatmap(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, lp_id: str, suffix: str
) -> web.Response:
    """A heatmap as a picture or as numbers."""
    if suffix not in ("png", "json") or caller is None or not caller.tenant.owns(lp_id):
        raise HttpError(404, "HTTP 404 Not Found")
    kind, device = request.query.get("kind", "click"), request.query.get("device")
    if kind not in get_args(MapKind):
        raise HttpError(422, f"kind: give one of {', '.join(get_args(MapKind))}")
    if device is not None and device not in DEVICES:
        raise HttpError(422, f"device: give one of {', '.join(DEVICES)}, or leave it out")
    end = _time(request, "to", datetime.now(UTC))
    start = _time(request, "from", end - timedelta(days=1))
    try:
        if suffix == "json":
            return _json(await services.heatmaps.numbers(lp_id, kind, device, start, end), "application/json")
        picture = await services.heatmaps.picture(lp_id, kind, device, start, end)
    except LpstreamError as error:
        log.warning("heatmap of %s: %s", lp_id, error)
        raise HttpError(503, "ClickHouse does not answer, try again") from error
    return web.Response(body=picture, content_type="image/png")


def _time(request: web.BaseRequest, name: str, default: datetime) -> datetime:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        found = datetime.fromtimestamp(int(text) / 1000, UTC) if text.isdigit() else datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError) as error:
        raise HttpError(422, f"{name}: give a time as 2026-11-23T10:00:00Z or in milliseconds") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)


async def health(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """The loop turns."""
    return web.Response(text="ok\n")


async def ready(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Records can be taken."""
    if services.draining or not services.sender.ready:
        raise HttpError(503, "not ready")
    return web.Response(text="ready\n")


async def metrics_page(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Prometheus text."""
    return web.Response(body=metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})


def _json(value: object, content_type: str) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), headers={"Content-Type": content_type})
