"""The judgement of a beacon, pure: posted bytes and limits in, a record or a refusal out.

Every route judges here. The routes read, send, count and answer.
"""

from collections.abc import Callable

from msgspec import Struct

from infra.tenants import Caller, Tenants
from schemas.errors import DecodeError
from schemas.heatmap import Beacon, decode_beacon, encode_beacon
from streams.edge.beacons.sender import Record


class Refusal(Struct, frozen=True):
    """A refusal: the HTTP status, the wrong field ("" for none) and the detail.

    `counted_as` is its cause in the metric of refusals, "" if it is not counted.
    """

    status: int
    field: str
    detail: str
    counted_as: str = ""


def judge(
    posted: bytes,
    most_bytes: int,
    tenants: Tenants,
    origin: str | None,
    caller: Caller | None = None,
    decode: Callable[[bytes], Beacon] = decode_beacon,
) -> Record | Refusal:
    """Return the record to append, or a refusal: 413 for the size, 422 for a field, 403 for the page.

    The record's value is the beacon encoded again, not the posted bytes: unknown or repeated fields and white space
    would fill the log at no cost to the sender. The pageview is the key and decides the partition, because its retries
    must reach the partition that knows it. The origin counts only for visitors, who have no `caller`.
    """
    if len(posted) > most_bytes:
        return Refusal(413, "", f"is larger than {most_bytes} bytes")
    try:
        beacon = decode(posted)
    except DecodeError as error:
        return Refusal(422, error.field, error.detail)
    lp_id = beacon.lp_id
    if tenants.owner(lp_id) is None or (caller is not None and not caller.tenant.owns(lp_id)):
        return Refusal(403, "lp_id", f"no tenant of this service has page {lp_id}")
    if caller is None and origin is not None and not tenants.allows(origin, lp_id):
        detail = f"Page {lp_id} takes no beacons from this origin; ask the operator to list it"
        return Refusal(403, "", detail, "origin")
    pageview = beacon.pageview_id.lower().encode()
    return Record(encode_beacon(beacon), pageview, pageview, None)
