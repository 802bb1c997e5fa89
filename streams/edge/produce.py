"""The Kafka REST Proxy's v2 produce API, `POST /topics/…`, on both listeners.

API: https://docs.confluent.io/platform/current/kafka-rest/api.html (v2). Everything of a request is checked before its
first record is sent; sending is not atomic, and each record has its own result.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec
from aiohttp import web

from infra.results import ResultStore
from infra.tenants import Caller
from schemas.codec import decode_request, to_beacon
from schemas.errors import DecodeError, Retryable
from schemas.generation import REQUESTS
from schemas.heatmap import TOPIC as HEATMAP
from streams import tracing
from streams.edge.asks import send_asks
from streams.edge.beacons import check_page, place_of
from streams.edge.bodies import read_body
from streams.edge.connections import Listener
from streams.edge.errors import HttpError
from streams.edge.formats import Binary, Format, FormatName, Json, open_avro
from streams.edge.sender import FORBIDDEN, NO_PARTITION, Record, Sent
from streams.edge.services import Services
from streams.settings import Settings

log = logging.getLogger(__name__)

V2 = "application/vnd.kafka.v2+json"
EMBEDDED: dict[str, FormatName] = {
    "application/vnd.kafka.json.v2+json": "json",
    "application/vnd.kafka.binary.v2+json": "binary",
    "application/vnd.kafka.avro.v2+json": "avro",
}
ACCEPTED = {"*/*", "application/*", V2, "application/vnd.kafka+json", "application/json", *EMBEDDED}
TOP_FIELDS = {"records", "key_schema", "key_schema_id", "value_schema", "value_schema_id"}
MOST_RECORDS = 10_000
MOST_SHOWN = 64


class ProduceRecord(msgspec.Struct, forbid_unknown_fields=True):
    """One record of a produce request; key and value stay the bytes that were posted."""

    key: msgspec.Raw = msgspec.Raw(b"null")
    value: msgspec.Raw = msgspec.Raw(b"null")
    partition: int | None = None


_envelope = msgspec.json.Decoder(dict[str, msgspec.Raw])
_records: msgspec.json.Decoder[list[ProduceRecord] | None] = msgspec.json.Decoder(list[ProduceRecord] | None)


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request wants its records, and on whose behalf."""

    topic: str
    partition: int | None
    listener: Listener
    caller: Caller | None
    origin: str | None

    @property
    def checked(self) -> bool:
        """Whether records must be of the topic's model."""
        return self.topic in (HEATMAP, REQUESTS)


def topics_of(listener: Listener, settings: Settings) -> set[str]:
    """Topics that may be produced to."""
    return {HEATMAP} if listener == "public" else {HEATMAP, REQUESTS, *settings.proxy_topics}


async def rest_door(request: web.BaseRequest, services: Services, target: Target) -> web.Response:
    """All records of one request; 200 with a result for each."""
    name = _negotiate(request)
    if target.partition is not None and target.partition >= await services.sender.partitions(target.topic):
        raise HttpError(404, "Partition not found.", NO_PARTITION)
    with services.admission.room() as room:
        envelope = _parse(await read_body(request, services.settings, room))
        form = await _format(name, envelope, target, services)
        posted = _posted(envelope)
        records = [_record(at, one, form, target, services) for at, one in enumerate(posted)]
        room.grow(sum(record.size for record in records))
        if target.topic != REQUESTS:
            return _answer(await services.sender.send(target.topic, records), form)
        sent = await send_asks(services.sender, records, request.headers.get(tracing.PARENT))
    await _note_queued(services.results, records, sent, target.caller)
    return _answer(sent, form)


def _answer(sent: list[Sent], form: Format) -> web.Response:
    offsets = [
        {"partition": one.partition, "offset": one.offset, "error_code": one.error_code, "error": one.error}
        for one in sent
    ]
    answer = {"offsets": offsets, "key_schema_id": form.key_schema_id, "value_schema_id": form.value_schema_id}
    status = 403 if any(one.error_code == FORBIDDEN for one in sent) else 200
    return web.Response(status=status, body=msgspec.json.encode(answer), headers={"Content-Type": V2})


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


def accepts(header: str, wanted: set[str]) -> bool:
    """Whether an Accept header takes one of the media types; what has q=0 is not taken."""
    for part in header.split(","):
        media, *parameters = (one.strip().lower() for one in part.split(";"))
        refused = any(one.replace(" ", "").partition("=")[::2] in QUALITY_0 for one in parameters)
        if media in wanted and not refused:
            return True
    return False


QUALITY_0 = {("q", "0"), ("q", "0.0"), ("q", "0.00"), ("q", "0.000")}


def _negotiate(request: web.BaseRequest) -> FormatName:
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type not in EMBEDDED:
        raise HttpError(415, "HTTP 415 Unsupported Media Type")
    if not accepts(request.headers.get("Accept", "*/*"), ACCEPTED):
        raise HttpError(406, "HTTP 406 Not Acceptable")
    return EMBEDDED[content_type]


def _parse(body: bytes) -> dict[str, msgspec.Raw]:
    if not body:
        raise HttpError(422, "The body is empty")
    try:
        envelope = _envelope.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(400, f"Bad Request: {error}") from error
    if unknown := sorted(envelope.keys() - TOP_FIELDS):
        raise HttpError(422, f"Unrecognized field: {unknown[0][:MOST_SHOWN]}")
    return envelope


async def _format(name: FormatName, envelope: Mapping[str, msgspec.Raw], target: Target, services: Services) -> Format:
    if name == "json":
        return Json()
    if name == "binary":
        return Binary()
    # strangers, and topics with a model of their own, bring no schemas of theirs into the registry
    schemas = services.own_schemas if target.checked else services.schemas
    return await open_avro(envelope, target.topic, schemas, register=not target.checked)


def _posted(envelope: Mapping[str, msgspec.Raw]) -> list[ProduceRecord]:
    try:
        records = _records.decode(envelope.get("records", b"null"))
    except msgspec.ValidationError as error:
        status = 422 if "unknown field" in str(error) else 400
        raise HttpError(status, f"records: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise HttpError(400, f"Bad Request: {error}") from error
    if not records:
        raise HttpError(422, "records: give at least one")
    if len(records) > MOST_RECORDS:
        raise HttpError(413, f"records: give at most {MOST_RECORDS}")
    return records


def _record(at: int, posted: ProduceRecord, form: Format, target: Target, services: Services) -> Record:
    value = form.encode("value", bytes(posted.value), f"records[{at}].value")
    key = form.encode("key", bytes(posted.key), f"records[{at}].key")
    where = target.partition if target.partition is not None else posted.partition
    try:
        if target.topic == HEATMAP:
            beacon = to_beacon(value or b"")
            check_page(services.tenants, beacon, target.caller, target.origin)
            place = place_of(beacon)
            return Record(value, key if key is not None else place, place, where)
        if target.topic == REQUESTS:
            return Record(value, *_request_key(value or b"", target.caller), where)
    except DecodeError as error:
        raise HttpError(422, f"records[{at}].value: {error}") from error
    return Record(value, key, key, where)


def _request_key(value: bytes, caller: Caller | None) -> tuple[bytes, bytes]:
    wanted = decode_request(value)
    if caller is not None and wanted.tenant_id != caller.tenant.id:
        raise HttpError(403, f"tenant_id: this token belongs to tenant {caller.tenant.id}")
    key = str(wanted.request_id).encode()
    return key, key
