"""The ordinary path for beacons, `POST /e/heatmap.events`, and the errors that every path answers."""

from aiohttp import hdrs, web

from infra.tenants import Caller
from schemas.heatmap import TOPIC
from streams.edge.beacons.judge import Refusal, judge
from streams.edge.beacons.sender import KAFKA_ERROR, Sent
from streams.edge.http.bodies import read_body, visitor_of
from streams.edge.http.errors import HttpError
from streams.edge.services import Services
from streams.runtime import metrics

PATH = f"/e/{TOPIC}"


async def post_beacon(request: web.BaseRequest, services: Services, *, caller: Caller | None) -> web.Response:
    """Take one beacon. Answer 204 once the broker has acknowledged it."""
    limit, account = services.settings.edge_max_beacon_bytes, visitor_of(request, services.admission)
    with services.admission.room() as room:
        body = await read_body(request, services.settings, room, limit=limit, account=account)
        decision = judge(body, limit, services.tenants, request.headers.get(hdrs.ORIGIN))
        if isinstance(decision, Refusal):
            raise refused(decision)
        sent = (await services.sender.send(TOPIC, [decision]))[0]
    if (error := error_of(sent)) is not None:
        raise error
    return web.Response(status=204)


def refused(refusal: Refusal, where: str = "") -> HttpError:
    """Return the error for the client, and count the refusal. `where` names the value among several."""
    if refusal.counted_as:
        metrics.REFUSED.labels(refusal.counted_as).inc()
    if refusal.status == 403:
        where = ""  # the page is at fault, not the value
    return HttpError(refusal.status, ": ".join(filter(None, (where, refusal.field, refusal.detail))))


def error_of(sent: Sent) -> HttpError | None:
    """Return the error for the client, or None if the broker has acknowledged the record."""
    if sent.error_code is None:
        return None
    status = 413 if sent.error_code == KAFKA_ERROR else 503
    return HttpError(status, sent.error or "The broker did not take the record")
