"""Codec of framed Avro: a zero byte, the schema's id in four bytes (big endian), the datum.

Ids are fixed in `schemas/registry.json`. An installation with a schema registry has more ids, for the project's schemas
(`learn_ids`) and for those of other writers (`learn_writer`). JSON and Avro are decoded to the same models.
Protocol: https://docs.confluent.io/platform/current/schema-registry/fundamentals/serdes-develop/
"""

import io
import json
import struct
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import fastavro
import msgspec
from fastavro.read import SchemaResolutionError

from schemas.avro_json import names_by_alias
from schemas.bounds import MOST_DATUM, MOST_RECORD, check_json, check_size
from schemas.errors import DecodeError
from schemas.generation import GenerationRequest, VariantRequest, decode_model, model_from_object
from schemas.heatmap import MAX_SECTIONS, Beacon, beacon_from_object, decode_beacon
from schemas.json_text import whole_characters

MAGIC = 0
BEACON, REQUEST = "heatmap_beacon", "generation_request"
HEADER = struct.Struct(">bI")
# free-form objects are JSON text inside Avro
JSON_FIELDS = {"step": ("input",), "step_result": ("output",)}
SECTION_FIELDS = ("name", "top", "bottom")  # a list in JSON, a record in Avro
# errors of fastavro for bytes that are not a datum of the schema
BROKEN = (
    ValueError,
    IndexError,
    EOFError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    RecursionError,
    struct.error,
    SchemaResolutionError,
)
MOST_WRITERS = 1_000
# schemas of writers by the name of the project's schema and the id, and the newest ids of the project's own
_writers: dict[tuple[str, int], Any] = {}
_own_ids: dict[str, int] = {}


@cache
def registry() -> dict[str, dict[str, Any]]:
    """Return the id, the subject and the file of each schema, by the schema's name."""
    entries: dict[str, dict[str, Any]] = json.loads(files("schemas").joinpath("registry.json").read_text("utf-8"))
    return entries


@cache
def avro_schema(name: str) -> Any:
    """Return the parsed schema with this name."""
    text = files("schemas").joinpath("avro", registry()[name]["file"]).read_text("utf-8")
    return fastavro.parse_schema(json.loads(text), named_schemas={})


def learn_ids(ids: Mapping[str, int]) -> None:
    """Add the ids that the installation's registry gave to the project's schemas, by schema name."""
    for name, schema_id in ids.items():
        learn_writer(name, schema_id, avro_schema(name))
        _own_ids[name] = schema_id


def learn_writer(name: str, schema_id: int, parsed: Any) -> None:
    """Read values with this id by the parsed schema, as data of the project's schema `name`."""
    if len(_writers) >= MOST_WRITERS:
        _writers.clear()  # each is asked for again
    _writers[name, schema_id] = parsed


def unknown_ids(name: str, values: Iterable[bytes | None]) -> set[int]:
    """Return the ids of framed values that have no learned schema.

    Fixed ids count as unknown, because a registry may have another schema under the same id.
    """
    framed = {HEADER.unpack_from(each)[1] for each in values if each and each[:1] == b"\0" and len(each) >= HEADER.size}
    return {schema_id for schema_id in framed if (name, schema_id) not in _writers}


def is_framed(value: bytes) -> bool:
    """Return whether a value is framed Avro. Framed Avro begins with a zero byte, and JSON never does."""
    return value[:1] == b"\x00"


def encode_framed(name: str, value: dict[str, Any], schema_id: int | None = None) -> bytes:
    """Return a message as framed Avro, under the fixed id or `schema_id`.

    `value` is the model's dump for JSON.
    """
    out = io.BytesIO()
    out.write(HEADER.pack(MAGIC, registry()[name]["id"] if schema_id is None else schema_id))
    fastavro.schemaless_writer(out, avro_schema(name), _to_avro(name, value))
    return out.getvalue()


def decode_framed(value: bytes, expected: str) -> dict[str, Any]:
    """Return the datum of a known schema in the form that the model `expected` needs.

    Raise DecodeError for an unknown schema, for missing or extra bytes, and for more than MOST_DATUM bytes.
    """
    check_size(value, MOST_DATUM)
    if len(value) < HEADER.size:
        raise DecodeError("", "is framed Avro cut off before its schema id")
    _, schema_id = HEADER.unpack_from(value)
    own, fixed = avro_schema(expected), registry()[expected]["id"]
    writer = _writers.get((expected, schema_id), own if schema_id == fixed else None)
    if writer is None:
        raise DecodeError("", f"has schema id {schema_id}; {expected} has id {_own_ids.get(expected, fixed)}")
    source = io.BytesIO(value[HEADER.size :])
    try:
        datum = fastavro.schemaless_reader(source, writer, None if writer is own else own)
        if source.read(1):
            raise DecodeError("", "has bytes after the Avro datum")
        return _from_avro(expected, datum)
    except BROKEN as error:
        raise DecodeError("", f"is not a datum of the schema {expected}: {type(error).__name__}") from error


def _to_avro(name: str, value: dict[str, Any]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    for field in JSON_FIELDS.get(name, ()):
        changed[field] = json.dumps(value[field], ensure_ascii=False)
    if name == BEACON:
        changed["sections"] = [dict(zip(SECTION_FIELDS, part, strict=True)) for part in value.get("sections", [])]
    return {**value, **changed}


def _from_avro(name: str, value: Any) -> dict[str, Any]:
    changed: dict[str, Any] = {field: json.loads(value[field]) for field in JSON_FIELDS.get(name, ())}
    if name == BEACON:
        few = value["sections"][: MAX_SECTIONS + 1]  # a beacon with more is refused
        changed["sections"] = [[part[name] for name in SECTION_FIELDS] for part in few]
    return {**value, **changed}


def to_beacon(value: bytes) -> Beacon:
    """Return the checked beacon of JSON or framed Avro. DecodeError names the wrong field."""
    if is_framed(value):
        return beacon_from_object(decode_framed(value, BEACON))
    check_size(value, MOST_RECORD)
    return decode_beacon(value)


class BeaconNames(NamedTuple):
    """Field names by alias, from the beacon schema that a client sent."""

    beacon: Mapping[str, str]
    section: Mapping[str, str]


NO_ALIASES = BeaconNames({}, {})


def beacon_names(schema: Mapping[str, Any]) -> BeaconNames:
    """Return the field names by alias of a parsed beacon schema."""
    parts = next(part["type"]["items"] for part in schema["fields"] if part["name"] == "sections")
    return BeaconNames(names_by_alias(schema), names_by_alias(parts))


def beacon_from_avro_json(data: bytes, names: BeaconNames = NO_ALIASES) -> Beacon:
    """Return the checked beacon of its Avro JSON encoding. DecodeError names the wrong field.

    The schema has no unions, so this encoding differs from the beacon's own JSON only in the sections, which are
    objects. It builds no Avro datum, because that took half a second for a hostile body of 1.3 KB.
    """
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError("", f"is not a JSON document: {error}") from error
    if not isinstance(value, dict):
        raise DecodeError("", "is not an object")
    value = _by_own_names(value, names.beacon)
    return beacon_from_object({**value, "sections": _sections(value.get("sections", []), names.section)})


def _by_own_names(value: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the object with the fields' own names beside their aliases. A field's own name wins."""
    return {**{names[key]: each for key, each in value.items() if key in names}, **value}


def _sections(value: Any, names: Mapping[str, str]) -> list[list[Any]]:
    try:
        sections = msgspec.convert(value, list[dict[str, Any]])
    except msgspec.ValidationError as error:
        raise DecodeError("sections", "is not a list of objects") from error
    if names:
        sections = [_by_own_names(section, names) for section in sections]
    for at, section in enumerate(sections):
        if missing := [name for name in SECTION_FIELDS if name not in section]:
            raise DecodeError(f"sections[{at}].{missing[0]}", "is missing")
    return [[section[name] for name in SECTION_FIELDS] for section in sections]


class _Asked(msgspec.Struct):
    """The field that shows that a request is for a variant."""

    variant: Any = None


def decode_request(value: bytes) -> GenerationRequest | VariantRequest:
    """Return the checked request of JSON or framed Avro. DecodeError names the wrong field.

    Requests for variants are JSON only.
    """
    if is_framed(value):
        return model_from_object(GenerationRequest, decode_framed(value, REQUEST))
    check_json(value, MOST_RECORD)
    value = whole_characters(value)
    try:
        asked = msgspec.json.decode(value, type=_Asked).variant is not None
    except (ValueError, RecursionError):
        asked = False
    return decode_model(VariantRequest, value) if asked else decode_model(GenerationRequest, value)
