"""The findings route: checked parameters, and an answer that a client can revalidate by ETag."""

import logging
from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import Any, get_args
from zoneinfo import ZoneInfo

from aiohttp import web

from infra.redis.response_cache import CachedResponse
from infra.tenants import Caller
from processors.pictures.words import Language
from schemas.errors import LpstreamError
from schemas.heatmap import Device
from streams.edge.http.errors import HttpError
from streams.edge.services import Services
from streams.edge.site import maps
from streams.pictures.findings import DEFAULT_SPAN, FindingsQuery

log = logging.getLogger(__name__)

# the parameters as OpenAPI describes them
PARAMETERS: dict[str, dict[str, Any]] = {
    "device": {**maps.PARAMETERS["device"], "description": "Default: all, compared with each other."},
    "from": {"schema": {"type": "string"}, "description": f"{maps.TIME}; default: seven days before `to`."},
    "to": maps.PARAMETERS["to"],
    "lang": maps.PARAMETERS["lang"],
}


async def findings(request: web.BaseRequest, services: Services, *, caller: Caller | None, lp_id: str) -> web.Response:
    """Return the findings on a page of the caller's tenant: places where visitors meet a difficulty."""
    if caller is None or not caller.tenant.owns(lp_id):
        raise HttpError(404, "HTTP 404 Not Found")
    maps.check_once(request, PARAMETERS)
    query = query_of(lp_id, request.query, ZoneInfo(services.settings.timezone))
    return maps.answer(request, await report_of(services, query, fresh=maps.wants_fresh(request)))


def query_of(lp_id: str, given: Mapping[str, str], zone: tzinfo = UTC) -> FindingsQuery:
    """Return the query of parameters by name. A time without a zone is of `zone`.

    Raise HttpError 422 with the name of the wrong parameter.
    """
    device = maps.choice(given, "device", get_args(Device), None)
    language = maps.choice(given, "lang", get_args(Language), "en")
    return FindingsQuery(lp_id, device, *maps.range_of(given, DEFAULT_SPAN, zone), language)


async def report_of(services: Services, query: FindingsQuery, *, fresh: bool = False) -> CachedResponse:
    """Return the findings. Raise HttpError 503 if ClickHouse does not answer or too much work waits."""
    try:
        return await services.findings.get(query, fresh=fresh)
    except LpstreamError as error:
        log.warning("findings of %s: %s", query.lp_id, error)
        raise HttpError(503, "The findings cannot be made now, try again", retry_after_s=5) from error
