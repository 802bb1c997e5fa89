"""The beacon door, `POST /e/heatmap.events`, and whose pages a beacon may be of."""

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
    """One beacon, of any content type; 204 once the broker has it."""
    limit, account = services.settings.edge_max_beacon_bytes, visitor_of(request, services.admission)
    with services.admission.room() as room:
        body = await read_body(request, services.settings, room, limit=limit, account=account)
        record = record_of(body, services.tenants, request.headers.get(hdrs.ORIGIN))
        sent = (await services.sender.send(TOPIC, [record]))[0]
    if (error := error_of(sent)) is not None:
        raise error
    return web.Response(status=204)


def record_of(body: bytes, tenants: Tenants, origin: str | None) -> Record:
    """The record of a posted body; HttpError 422 for what is no beacon, 403 for one that may not be posted."""
    try:
        beacon = decode_beacon(body)
    except DecodeError as error:
        raise HttpError(422, str(error)) from error
    check_page(tenants, beacon, None, origin)
    return record_from(beacon)


def record_from(beacon: Beacon) -> Record:
    """The record of a checked beacon, the same from every door.

    Its value is the beacon's own JSON, not what was posted: unknown fields, repeated ones and white space would fill
    the log at no cost to the sender. Its key and its partition follow from the pageview.
    """
    place = place_of(beacon)
    return Record(encode_beacon(beacon), place, place, None)


def error_of(sent: Sent) -> HttpError | None:
    """What the browser is told when the broker has not taken the record."""
    if sent.error_code is None:
        return None
    status = 413 if sent.error_code == KAFKA_ERROR else 503
    return HttpError(status, sent.error or "The broker did not take the record")


def place_of(beacon: Beacon) -> bytes:
    """What the partition is chosen by: a pageview's beacons lie in one, so that its retries are known there."""
    return beacon.pageview_id.lower().encode()


def check_page(tenants: Tenants, beacon: Beacon, caller: Caller | None, origin: str | None) -> None:
    """HttpError 403 for a page that is not the caller's, or none of ours, or not to be posted from that origin."""
    owner = tenants.owner(beacon.lp_id)
    if owner is None or (caller is not None and not caller.tenant.owns(beacon.lp_id)):
        raise HttpError(403, f"lp_id: no tenant of this service has page {beacon.lp_id}")
    if caller is None and origin is not None and not tenants.allows(origin, beacon.lp_id):
        metrics.REFUSED.labels("origin").inc()
        raise HttpError(403, f"Beacons of page {beacon.lp_id} may not come from this origin; ask for it to be listed")
