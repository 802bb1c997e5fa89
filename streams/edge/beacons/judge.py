"""The beacon route, `POST /e/heatmap.events`, and the check of a beacon's page and origin."""

from aiohttp import hdrs, web

from infra.tenants import Caller, Tenants
from schemas.errors import DecodeError
from schemas.heatmap import TOPIC, Beacon, decode_beacon, encode_beacon
from streams.edge.beacons.sender import KAFKA_ERROR, Record, Sent
from streams.edge.http.bodies import read_body, visitor_of
from streams.edge.http.errors import HttpError
from streams.edge.services import Services
from streams.runtime import metrics

PATH = f"/e/{TOPIC}"


async def post_beacon(request: web.BaseRequest, services: Services) -> web.Response:
    """Take one beacon of any content type. Return 204 once the broker has acknowledged it."""
    limit, account = services.settings.edge_max_beacon_bytes, visitor_of(request, services.admission)
    with services.admission.room() as room:
        body = await read_body(request, services.settings, room, limit=limit, account=account)
        record = record_of(body, services.tenants, request.headers.get(hdrs.ORIGIN))
        sent = (await services.sender.send(TOPIC, [record]))[0]
    if (error := error_of(sent)) is not None:
        raise error
    return web.Response(status=204)


def record_of(body: bytes, tenants: Tenants, origin: str | None) -> Record:
    """Return the record of a posted body. Raise HttpError 422 if it is no beacon, 403 if not allowed."""
    try:
        beacon = decode_beacon(body)
    except DecodeError as error:
        raise HttpError(422, str(error)) from error
    check_page(tenants, beacon, None, origin)
    return record_from(beacon)


def record_from(beacon: Beacon) -> Record:
    """Return the record of a checked beacon, the same for every route.

    Its value is the beacon encoded again, not the posted bytes: unknown or repeated fields and white space would fill
    the log at no cost to the sender. The pageview decides the key and the partition.
    """
    place = place_of(beacon)
    return Record(encode_beacon(beacon), place, place, None)


def error_of(sent: Sent) -> HttpError | None:
    """Return the error for the client, or None if the broker has acknowledged the record."""
    if sent.error_code is None:
        return None
    status = 413 if sent.error_code == KAFKA_ERROR else 503
    return HttpError(status, sent.error or "The broker did not take the record")


def place_of(beacon: Beacon) -> bytes:
    """Return the partition key, the pageview: its retries must reach the partition that knows it."""
    return beacon.pageview_id.lower().encode()


def check_page(tenants: Tenants, beacon: Beacon, caller: Caller | None, origin: str | None) -> None:
    """Raise HttpError 403 if the page is unknown, not the caller's, or not allowed from that origin."""
    owner = tenants.owner(beacon.lp_id)
    if owner is None or (caller is not None and not caller.tenant.owns(beacon.lp_id)):
        raise HttpError(403, f"lp_id: no tenant of this service has page {beacon.lp_id}")
    if caller is None and origin is not None and not tenants.allows(origin, beacon.lp_id):
        metrics.REFUSED.labels("origin").inc()
        raise HttpError(403, f"Page {beacon.lp_id} takes no beacons from this origin; ask the operator to list it")
