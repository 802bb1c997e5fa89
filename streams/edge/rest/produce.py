"""The Kafka REST Proxy's v2 produce API, `POST /topics/…`, on both listeners.

API: https://docs.confluent.io/platform/current/kafka-rest/api.html (v2). The whole request is checked before its first
record is sent. Sending is not atomic: each record has its own result.
"""

import asyncio
import codecs
import functools
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

import msgspec
from aiohttp import web

from infra.kafka.producer import partition_of
from infra.redis.results import ResultStore
from infra.tenants import Caller
from schemas.codec import beacon_from_avro_json, decode_request, is_framed, to_beacon
from schemas.errors import DecodeError, Retryable
from schemas.generation import REQUESTS, encode_model
from schemas.heatmap import TOPIC as HEATMAP
from schemas.heatmap import Beacon
from schemas.json_text import whole_characters
from streams.edge.beacons.judge import Refusal, judge
from streams.edge.beacons.ordinary_path import refused
from streams.edge.beacons.sender import FORBIDDEN, NO_PARTITION, Record, Sent
from streams.edge.http.bodies import read_body, visitor_of
from streams.edge.http.connections import Listener
from streams.edge.http.errors import HttpError
from streams.edge.http.rates import Account
from streams.edge.rest.asks import check_ask, send_asks
from streams.edge.rest.formats import Avro, Binary, Format, FormatName, Json, awaiting, open_schemas
from streams.edge.services import Services
from streams.runtime import tracing
from streams.runtime.settings import Settings

log = logging.getLogger(__name__)

V1, V2 = "application/vnd.kafka.v1+json", "application/vnd.kafka.v2+json"
KAFKA_JSON = "application/vnd.kafka.json.v2+json"
# the proxy's default for a type without an embedded format is binary; producing is the same in v1, which clients send
EMBEDDED: dict[str, FormatName] = {
    V1: "binary",
    V2: "binary",
    "application/vnd.kafka.json.v1+json": "json",
    KAFKA_JSON: "json",
    "application/vnd.kafka.binary.v1+json": "binary",
    "application/vnd.kafka.binary.v2+json": "binary",
    "application/vnd.kafka.avro.v1+json": "avro",
    "application/vnd.kafka.avro.v2+json": "avro",
}
GIVEN = f"{KAFKA_JSON}, application/vnd.kafka.binary.v2+json or application/vnd.kafka.avro.v2+json"
ACCEPTED = {"*/*", "application/*", "application/vnd.kafka+json", "application/json", *EMBEDDED}
TOP_FIELDS = {"records", "key_schema", "key_schema_id", "value_schema", "value_schema_id"}
MOST_RECORDS = 10_000
MOST_SHOWN = 64
PARTITION = re.compile(r"[0-9]{1,9}(?:\.0)?")
TURN_RECORDS = 100


class ProduceRecord(msgspec.Struct, forbid_unknown_fields=True):
    """A record of a produce request, not decoded yet."""

    key: msgspec.Raw = msgspec.Raw(b"null")
    value: msgspec.Raw = msgspec.Raw(b"null")
    partition: int | str | float | None = None

    def number(self, at: int) -> int | None:
        """Return the partition; text and whole floats count as numbers, as Jackson reads them.

        Raise HttpError 400 for anything else.
        """
        if self.partition is None or self.partition == "":
            return None
        if PARTITION.fullmatch(str(self.partition)):
            return int(float(self.partition))
        raise HttpError(400, f"records[{at}].partition: is not a partition's number")


_envelope = msgspec.json.Decoder(dict[str, msgspec.Raw])
_records: msgspec.json.Decoder[list[ProduceRecord] | None] = msgspec.json.Decoder(list[ProduceRecord] | None)


@dataclass(frozen=True, slots=True)
class Target:
    """The topic and partition of a request's records, and their sender."""

    topic: str
    partition: int | None
    listener: Listener
    caller: Caller | None
    origin: str | None

    @property
    def checked(self) -> bool:
        """Return whether records must follow the topic's model."""
        return self.topic in (HEATMAP, REQUESTS)


def topics_of(listener: Listener, settings: Settings) -> set[str]:
    """Return the topics that accept records at the listener."""
    return {HEATMAP} if listener == "public" else {HEATMAP, REQUESTS, *settings.proxy_topics}


def no_topic() -> HttpError:
    """Return the error for a topic that is missing or forbidden."""
    return HttpError(404, "Topic not found.", 40401)


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
        raise no_topic()
    if partition is not None and not (partition.isascii() and partition.isdigit() and len(partition) < 10):
        raise HttpError(404, "HTTP 404 Not Found")
    where = int(partition) if partition is not None else None
    target = Target(topic, where, listener, caller, request.headers.get("Origin"))
    return await produce_records(request, services, target)


async def produce_records(request: web.BaseRequest, services: Services, target: Target) -> web.Response:
    """Send all records of a request. Return a result for each: 200, or 403 if the broker forbids one."""
    name = _negotiate(request)
    account = _account(request, services, target)
    if target.partition is not None and target.partition >= await services.sender.partitions(target.topic):
        raise HttpError(404, "Partition not found.", NO_PARTITION)
    limit = services.settings.edge_max_beacon_bytes if name == "avro" and target.listener == "public" else None
    with services.admission.room() as room:
        body = await read_body(request, services.settings, room, limit=limit, account=account)
        envelope = _parse(body)
        posted = _posted(envelope)
        account.pay_records(len(posted))
        form = await _format(name, envelope, target, services)
        records = await _placed(posted, await _records_of(posted, form, target, services), target, services)
        stored = sum(record.size for record in records)
        account.pay_bytes(max(0, stored - len(body)))  # Avro is stored as JSON, which is longer
        room.grow(room.held + stored)
        if target.topic != REQUESTS:
            return _answer(request, await services.sender.send(target.topic, records), form)
        sent = await send_asks(services.sender, services.results, records, request.headers.get(tracing.PARENT))
    await _note_queued(services.results, records, sent, target.caller)
    return _answer(request, sent, form)


def _account(request: web.BaseRequest, services: Services, target: Target) -> Account:
    if target.caller is None:
        return visitor_of(request, services.admission)
    return services.admission.tenant(target.caller.tenant.id)


def media_type(request: web.BaseRequest) -> str:
    """Return the media type of the answer: v1 for a client that knows only v1."""
    accept = accept_of(request).lower()
    return V1 if V1 in accept and V2 not in accept else V2


def _answer(request: web.BaseRequest, sent: list[Sent], form: Format) -> web.Response:
    answer = {"offsets": sent, "key_schema_id": form.key_schema_id, "value_schema_id": form.value_schema_id}
    status = 403 if any(each.error_code == FORBIDDEN for each in sent) else 200
    return web.Response(status=status, body=msgspec.json.encode(answer), headers={"Content-Type": media_type(request)})


async def _note_queued(results: ResultStore, records: list[Record], sent: list[Sent], caller: Caller | None) -> None:
    """Store the requests as queued, so that they are found at once.

    Without Redis they are found once a worker has seen them.
    """
    if caller is None:
        return
    try:
        for record, result in zip(records, sent, strict=True):
            if result.error_code is None and record.place_by is not None:
                await results.put_queued(caller.tenant.id, UUID(record.place_by.decode()), int(time.time() * 1000))
    except Retryable as error:
        log.warning("requests are in Kafka, but Redis did not store them as queued: %s", error)


def check_accept(request: web.BaseRequest) -> None:
    """Raise HttpError 406 if the client takes none of the answer's media types."""
    if not accepts(accept_of(request), ACCEPTED):
        raise HttpError(406, f"HTTP 406 Not Acceptable: Accept: take {V2} or application/json")


def accept_of(request: web.BaseRequest) -> str:
    """Return the Accept header, which may stand on several lines."""
    return ", ".join(request.headers.getall("Accept", []))


def accepts(header: str, media_types: set[str]) -> bool:
    """Return whether an Accept header takes one of the media types; q=0 excludes a type, "" takes all."""
    if not header.strip():
        return True
    for part in header.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        refused = any(parameter.replace(" ", "").partition("=")[::2] in QUALITY_0 for parameter in parameters)
        if media in media_types and not refused:
            return True
    return False


QUALITY_0 = {("q", "0"), ("q", "0.0"), ("q", "0.00"), ("q", "0.000")}


def _negotiate(request: web.BaseRequest) -> FormatName:
    content_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type not in EMBEDDED:
        raise HttpError(415, f"HTTP 415 Unsupported Media Type: Content-Type: give {GIVEN}")
    check_accept(request)
    return EMBEDDED[content_type]


def _parse(body: bytes) -> dict[str, msgspec.Raw]:
    if not body:
        raise HttpError(422, "The body is empty")
    try:
        body.isascii() or body.decode()  # msgspec does not check parts that it passes on undecoded
        envelope = _opened(body.removeprefix(codecs.BOM_UTF8))
    except UnicodeDecodeError as error:
        raise HttpError(400, f"Bad Request: the body is not UTF-8 at byte {error.start}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise HttpError(400, f"Bad Request: {error}") from error
    if unknown := sorted(envelope.keys() - TOP_FIELDS):
        raise HttpError(422, f"Unrecognized field: {unknown[0][:MOST_SHOWN]}")
    return envelope


def _opened(body: bytes) -> dict[str, msgspec.Raw]:
    try:
        return _envelope.decode(body)
    except msgspec.DecodeError:
        if (whole := whole_characters(body)) == body:
            raise
        return _envelope.decode(whole)


async def _format(name: FormatName, envelope: Mapping[str, msgspec.Raw], target: Target, services: Services) -> Format:
    if name == "json":
        return Json(target.checked)
    if name == "binary":
        return Binary()
    _check_origin(target, services)
    # untrusted clients, and topics with a model of their own, must not register schemas
    schemas = services.own_schemas if target.checked else services.schemas
    opened = await open_schemas(envelope, target.topic, schemas, register=not target.checked)
    return Avro(opened, len(envelope["records"]), services.settings.edge_max_beacon_bytes)


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


async def _records_of(posted: list[ProduceRecord], form: Format, target: Target, services: Services) -> list[Record]:
    """Return the records to send. Raise HttpError for the first wrong record.

    The event loop serves other requests in between.
    """
    records: list[Record] = []
    turn = 1 if isinstance(form, Avro) else TURN_RECORDS
    for at, each in enumerate(posted):
        if at and at % turn == 0:
            await asyncio.sleep(0)
        checked = target.checked
        record = await _checked(at, each, form, target, services) if checked else _plain(at, each, form, services)
        records.append(record)
    return records


def _plain(at: int, posted: ProduceRecord, form: Format, services: Services) -> Record:
    """Return a record as its format encodes it, with the posted partition."""
    value = form.encode("value", bytes(posted.value), f"records[{at}].value")
    key = form.encode("key", bytes(posted.key), f"records[{at}].key")
    if key is not None and len(key) > (most := services.settings.edge_max_key_bytes):
        raise HttpError(422, f"records[{at}].key: is longer than {most} bytes")
    return Record(value, key, key, None)


async def _checked(at: int, posted: ProduceRecord, form: Format, target: Target, services: Services) -> Record:
    """Return a record of a topic with a model: the model's JSON, with the key that follows from it."""
    where, raw = f"records[{at}].value", bytes(posted.value)
    if raw == b"null":
        raise HttpError(422, f"{where}: is missing or null; {target.topic} takes no tombstones")
    if target.topic == HEATMAP and isinstance(form, Avro) and form.schema("value", where).own:
        return _beacon(functools.partial(beacon_from_avro_json, names=form.beacon_names), raw, where, target, services)
    value = form.encode("value", raw, where) or b""
    if is_framed(value):
        _check_origin(target, services)
        with awaiting(where):
            await services.own_schemas.learn(f"{target.topic}-value", value)
    if target.topic == HEATMAP:
        return _beacon(to_beacon, value, where, target, services)
    return await _request(value, where, target.caller, services)


def _check_origin(target: Target, services: Services) -> None:
    """Raise HttpError 403 for an origin that no page has: it must not cause look-ups of schemas.

    The listener refuses such a request earlier; look-ups must not depend on that.
    """
    if target.caller is None and target.origin is not None and not services.tenants.knows(target.origin):
        detail = "No page takes beacons from this origin; ask the operator to list it"
        raise refused(Refusal(403, "", detail, "origin"))


def _beacon(decode: Callable[[bytes], Beacon], posted: bytes, where: str, target: Target, services: Services) -> Record:
    limit = services.settings.edge_max_beacon_bytes
    decision = judge(posted, limit, services.tenants, target.origin, target.caller, decode)
    if isinstance(decision, Refusal):
        raise refused(decision, where)
    return decision


async def _request(value: bytes, where: str, caller: Caller | None, services: Services) -> Record:
    try:
        generation = decode_request(value)
        if caller is not None and generation.tenant_id != caller.tenant.id:
            raise HttpError(403, f"tenant_id: this token belongs to tenant {caller.tenant.id}")
        await check_ask(services.objects, generation)
    except DecodeError as error:
        raise HttpError(422, f"{where}: {error}") from error
    key = str(generation.request_id).encode()
    return Record(encode_model(generation), key, key, None)


async def _placed(
    posted: list[ProduceRecord], records: list[Record], target: Target, services: Services
) -> list[Record]:
    """Return the records with their partitions. Raise HttpError 400 for a wrong partition.

    On topics with a model the edge chooses the partition. A retry is recognised only in its own partition, so a beacon
    posted to three partitions would count three times.
    """
    requested = [_requested(at, each.number(at), target.partition) for at, each in enumerate(posted)]
    if not target.checked:
        return [msgspec.structs.replace(each, partition=place) for each, place in zip(records, requested, strict=True)]
    if any(place is not None for place in requested):
        count = await services.sender.partitions(target.topic)
        for at, (record, place) in enumerate(zip(records, requested, strict=True)):
            own = partition_of(record.place_by or b"", count)
            if place not in (None, own):
                raise HttpError(400, f"records[{at}].partition: leave it out; this record belongs to partition {own}")
    return records


def _requested(at: int, posted: int | None, path: int | None) -> int | None:
    if path is not None and posted not in (None, path):
        raise HttpError(400, f"records[{at}].partition: differs from partition {path} of the path")
    return posted if path is None else path
