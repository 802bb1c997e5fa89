"""The heatmap route: checked parameters, and responses that a client can revalidate by ETag."""

import contextlib
import logging
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, cast, get_args
from zoneinfo import ZoneInfo

from aiohttp import web

from infra.redis.response_cache import CachedResponse
from infra.tenants import Caller
from processors.pictures.words import Language
from schemas.errors import LpstreamError
from schemas.heatmap import Device
from streams.edge.http import revalidation
from streams.edge.http.errors import HttpError
from streams.edge.services import Services
from streams.pictures.maps import DEFAULT_SPAN, Form, MapKind, MapQuery, Suffix

log = logging.getLogger(__name__)

TIME = "ISO 8601, without a zone in LPSTREAM_TIMEZONE, or ms UTC"
# the parameters as OpenAPI describes them
PARAMETERS: dict[str, dict[str, Any]] = {
    "kind": {"schema": {"enum": get_args(MapKind), "default": "click"}},
    "device": {"schema": {"enum": get_args(Device)}},
    "from": {"schema": {"type": "string"}, "description": f"{TIME}; default: a day before `to`."},
    "to": {"schema": {"type": "string"}, "description": f"{TIME}; default: now."},
    "lang": {"schema": {"enum": get_args(Language), "default": "en"}},
    "top": {
        "schema": {"type": "number", "exclusiveMinimum": 0},
        "description": "The value of the hottest colour (100 %), in clicks or ms.",
    },
}
FIRST, LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
LONGEST = timedelta(days=400)
LEAST_TOP, MOST_TOP = 1e-15, 1e15  # pictures are computed with floats of 32 bits
MILLISECONDS = re.compile(r"[0-9]{12,14}")


async def heatmap(
    request: web.BaseRequest, services: Services, *, caller: Caller | None, lp_id: str, suffix: str
) -> web.Response:
    """Return a heatmap of a page of the caller's tenant, as a picture or as numbers."""
    if suffix not in get_args(Suffix) or caller is None or not caller.tenant.owns(lp_id):
        raise HttpError(404, "HTTP 404 Not Found")
    query = parsed(lp_id, request, ZoneInfo(services.settings.timezone))
    fresh = wants_fresh(request)
    return answer(request, await map_of(services, query, cast(Suffix, suffix), fresh=fresh))


def wants_fresh(request: web.BaseRequest) -> bool:
    """Return whether the client wants a new answer, not a cached one."""
    return "no-cache" in request.headers.get("Cache-Control", "")


async def map_of(services: Services, query: MapQuery, form: Form, *, fresh: bool = False) -> CachedResponse:
    """Return the map. Raise HttpError 503 if ClickHouse does not answer or too many maps wait."""
    try:
        return await services.heatmaps.get(query, form, fresh=fresh)
    except LpstreamError as error:
        log.warning("heatmap of %s: %s", query.lp_id, error)
        raise HttpError(503, "The heatmap cannot be made now, try again", retry_after_s=5) from error


def answer(request: web.BaseRequest, cached: CachedResponse) -> web.Response:
    """Return 200 with the map, or 304 if the client has it. Clients revalidate; the server caches."""
    headers = {
        "ETag": cached.etag,
        "Cache-Control": "private, no-cache",
        "Vary": "Authorization, Cookie",
        "X-Content-Type-Options": "nosniff",
        "Last-Modified": f"{datetime.fromtimestamp(cached.made_ms / 1000, UTC):%a, %d %b %Y %H:%M:%S GMT}",
    }
    if revalidation.client_has(request, cached.etag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=cached.body, headers={**headers, "Content-Type": cached.content_type})


def parsed(lp_id: str, request: web.BaseRequest, zone: tzinfo) -> MapQuery:
    """Return the query of a request's parameters.

    Raise HttpError 422 with the name of the wrong parameter.
    """
    check_once(request, PARAMETERS)
    return query_of(lp_id, request.query, zone)


def check_once(request: web.BaseRequest, names: Iterable[str]) -> None:
    """Raise HttpError 422 if a parameter is given twice."""
    for name in names:
        if len(request.query.getall(name, [])) > 1:
            raise HttpError(422, f"{name}: give it once")


def query_of(lp_id: str, given: Mapping[str, str], zone: tzinfo = UTC) -> MapQuery:
    """Return the query of parameters by name. `zone` is the time zone of times without an offset.

    Raise HttpError 422 with the name of the wrong parameter.
    """
    kind = choice(given, "kind", get_args(MapKind), "click")
    device = choice(given, "device", get_args(Device), None)
    language = choice(given, "lang", get_args(Language), "en")
    start, end = range_of(given, DEFAULT_SPAN, zone)
    return MapQuery(lp_id, kind, device, start, end, language, _top(given))


def range_of(given: Mapping[str, str], span: timedelta, zone: tzinfo) -> tuple[datetime | None, datetime | None]:
    """Return the times `from` and `to`, or None for both.

    `to` is now by default, and `from` is `span` before `to`. Raise HttpError 422 with the name of the wrong
    parameter.
    """
    start, end = time_of(given, "from", zone), time_of(given, "to", zone)
    if start is not None and end is None:
        end = min(LAST, datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1))
    elif end is not None and start is None:
        start = end - span
    if start is not None and end is not None:
        if start >= end:
            raise HttpError(422, "from: give a time before `to`")
        if end - start > LONGEST:
            raise HttpError(422, f"from: give a time at most {LONGEST.days} days before `to`")
    return start, end


def choice(given: Mapping[str, str], name: str, known: tuple[str, ...], default: Any) -> Any:
    """Return the parameter's value, or the default. Raise HttpError 422 for an unknown value."""
    value = given.get(name) or default
    if value is not None and value not in known:
        left_out = "" if default else ", or leave it out"
        raise HttpError(422, f"{name}: give one of {', '.join(known)}{left_out}")
    return value


def time_of(given: Mapping[str, str], name: str, zone: tzinfo) -> datetime | None:
    """Return a parameter's time in whole seconds. `zone` is the time zone of a time without an offset.

    Raise HttpError 422 if the time is invalid.
    """
    text = given.get(name)
    if not text:
        return None
    try:
        # a plus sign in a URL is decoded as a space
        if MILLISECONDS.fullmatch(text):
            at = datetime.fromtimestamp(int(text) / 1000, UTC)
        else:
            at = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
        at = (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError, OSError) as error:
        raise HttpError(422, f"{name}: give a time as 2026-11-23T10:00:00Z or in milliseconds") from error
    if not FIRST <= at <= LAST:
        raise HttpError(422, f"{name}: give a time between 2000 and 2100")
    return at


def _top(given: Mapping[str, str]) -> float | None:
    text = given.get("top")
    if not text:
        return None
    with contextlib.suppress(ValueError):
        if LEAST_TOP < (value := float(text)) < MOST_TOP:
            return value
    raise HttpError(422, "top: give a number above 0")
