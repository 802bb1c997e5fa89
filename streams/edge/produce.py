"""The two doors for records: beacons (`/e/…`) and the Kafka REST Proxy's v2 produce API (`/topics/…`)."""

import base64
import binascii
import logging
import time
import zlib
from uuid import UUID

import msgspec
from aiohttp import web

from infra.results import ResultStore
from infra.tenants import Caller, Tenants
from schemas.codec import decode_request, to_beacon
from schemas.errors import DecodeError, Retryable
from schemas.generation import REQUESTS
from schemas.heatmap import TOPIC as HEATMAP
from schemas.heatmap import Beacon, decode_beacon
from streams.edge.errors import HttpError
from streams.edge.sender import KAFKA_ERROR, Record, Sender, Sent
from streams.settings import Settings

log = logging.getLogger(__name__)

V2 = "application/vnd.kafka.v2+json"
EMBEDDED = {"application/vnd.kafka.json.v2+json": "json", "application/vnd.kafka.binary.v2+json": "binary"}
ACCEPTED = {"*/*", "application/*", V2, "application/vnd.kafka+json", "application/json", *EMBEDDED}
GZIP_MAGIC = b"\x1f\x8b"
TOP_FIELDS = {"records", "key_schema", "key_schema_id", "value_schema", "value_schema_id"}


class ProduceRecord(msgspec.Struct, forbid_unknown_fields=True):
    """One record of a produce request; the value stays the bytes that were posted."""

    key: msgspec.Raw = msgspec.Raw(b"null")
    value: msgspec.Raw = msgspec.Raw(b"null")
    partition: int | None = None


_envelope = msgspec.json.Decoder(dict[str, msgspec.Raw])
_records = msgspec.json.Decoder(list[ProduceRecord])


async def read_body(request: web.BaseRequest, settings: Settings) -> bytes:
    """The body, inflated, within the limit on both; HttpError 413 otherwise."""
    limit = settings.edge_max_body_bytes
    if (request.content_length or 0) > limit:
        raise HttpError(413, f"The body is larger than {limit} bytes")
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise HttpError(413, f"The body is larger than {limit} bytes") from error
    except (ValueError, zlib.error) as error:
        raise HttpError(400, "The body does not fit its Content-Encoding") from error
    if body[:2] == GZIP_MAGIC:
        body = _inflate(body, limit)
    return body


def _inflate(body: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        inflated = inflater.decompress(body, limit + 1)
    except zlib.error as error:
        raise HttpError(400, "The body is no gzip") from error
    if len(inflated) > limit:
        raise HttpError(413, f"The body is larger than {limit} bytes when inflated")
    if not inflater.eof:
        raise HttpError(400, "The body's gzip is cut off")
    return inflated


async def beacon_door(request: web.BaseRequest, settings: Settings, sender: Sender, tenants: Tenants) -> web.Response:
    """`POST /e/heatmap.events`: one beacon; 204 once the broker has it."""
    body = await read_body(request, settings)
    try:
        beacon = decode_beacon(body)
    except DecodeError as error:
        raise HttpError(422, str(error)) from error
    _check_owner(tenants, beacon, None)
    place = beacon.pageview_id.lower().encode()
    sent = (await sender.send(HEATMAP, [Record(body, place, place, None)]))[0]
    if sent.error_code == KAFKA_ERROR:
        raise HttpError(413, sent.error or "The broker will never take the record")
    if sent.error_code is not None:
        raise HttpError(503, sent.error or "The broker did not take the record, try again")
    return web.Response(status=204)


def _check_owner(tenants: Tenants, beacon: Beacon, caller: Caller | None) -> None:
    owner = tenants.owner(beacon.lp_id)
    if owner is None or (caller is not None and not caller.tenant.owns(beacon.lp_id)):
        raise HttpError(403, f"lp_id: no tenant of this service has page {beacon.lp_id}")


async def rest_door(
    request: web.BaseRequest,
    settings: Settings,
    sender: Sender,
    tenants: Tenants,
    results: ResultStore,
    *,
    topic: str,
    partition: int | None,
    caller: Caller | None,
) -> web.Response:
    """`POST /topics/{topic}[/partitions/{p}]`: all records are checked before the first is sent."""
    form = _negotiate(request)
    if partition is not None and partition >= await sender.partitions(topic):
        raise HttpError(404, "Partition not found.", 40402)
    posted = _parse(await read_body(request, settings))
    records = [_record(topic, at, one, form, partition, tenants, caller) for at, one in enumerate(posted)]
    sent = await sender.send(topic, records)
    if topic == REQUESTS:
        await _note_queued(results, records, sent, caller)
    offsets = [
        {"partition": one.partition, "offset": one.offset, "error_code": one.error_code, "error": one.error}
        for one in sent
    ]
    answer = {"offsets": offsets, "key_schema_id": None, "value_schema_id": None}
    return web.Response(body=msgspec.json.encode(answer), headers={"Content-Type": V2})


async def _note_queued(results: ResultStore, records: list[Record], sent: list[Sent], caller: Caller | None) -> None:
    """Let the requests be found at once; with Redis away they are found as soon as a worker has seen them."""
    if caller is None:
        return
    try:
        for record, one in zip(records, sent, strict=True):
            if one.error_code is None and record.place_by is not None:
                await results.put_queued(caller.tenant.id, UUID(record.place_by.decode()), int(time.time() * 1000))
    except Retryable as error:
        log.warning("requests are in Kafka, and not noted as queued: %s", error)


def _negotiate(request: web.BaseRequest) -> str:
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type not in EMBEDDED:
        raise HttpError(415, "HTTP 415 Unsupported Media Type")
    accept = request.headers.get("Accept", "*/*")
    if not any(part.partition(";")[0].strip().lower() in ACCEPTED for part in accept.split(",")):
        raise HttpError(406, "HTTP 406 Not Acceptable")
    return EMBEDDED[content_type]


def _parse(body: bytes) -> list[ProduceRecord]:
    if not body:
        raise HttpError(422, "The body is empty")
    try:
        envelope = _envelope.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise HttpError(400, f"Bad Request: {error}") from error
    if unknown := sorted(envelope.keys() - TOP_FIELDS):
        raise HttpError(422, f"Unrecognized field: {unknown[0][:64]}")
    try:
        records = _records.decode(envelope.get("records", b"[]"))
    except msgspec.ValidationError as error:
        status = 422 if "unknown field" in str(error) else 400
        raise HttpError(status, f"records: {error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise HttpError(400, f"Bad Request: {error}") from error
    if not records:
        raise HttpError(422, "records: give at least one")
    return records


def _record(
    topic: str,
    at: int,
    posted: ProduceRecord,
    form: str,
    partition: int | None,
    tenants: Tenants,
    caller: Caller | None,
) -> Record:
    value, key = _bytes(posted.value, form, at, "value"), _bytes(posted.key, form, at, "key")
    where = partition if partition is not None else posted.partition
    try:
        if topic == HEATMAP:
            beacon = to_beacon(value or b"")
            _check_owner(tenants, beacon, caller)
            place = beacon.pageview_id.lower().encode()
            return Record(value, key if key is not None else place, place, where)
        return Record(value, *_request_key(value or b"", caller), where)
    except DecodeError as error:
        raise HttpError(422, f"records[{at}].value: {error}") from error


def _request_key(value: bytes, caller: Caller | None) -> tuple[bytes, bytes]:
    wanted = decode_request(value)
    if caller is not None and wanted.tenant_id != caller.tenant.id:
        raise HttpError(403, f"tenant_id: this token belongs to tenant {caller.tenant.id}")
    key = str(wanted.request_id).encode()
    return key, key


def _bytes(raw: msgspec.Raw, form: str, at: int, name: str) -> bytes | None:
    posted = bytes(raw)
    if posted == b"null":
        return None
    if form == "json":
        return posted
    try:
        return base64.b64decode(msgspec.json.decode(posted, type=str), validate=True)
    except (msgspec.DecodeError, binascii.Error) as error:
        raise HttpError(400, f"records[{at}].{name}: is no base64 string") from error


PRODUCIBLE: dict[str, set[str]] = {"public": {HEATMAP}, "private": {HEATMAP, REQUESTS}}
