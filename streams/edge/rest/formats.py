"""The embedded formats of the REST proxy, which turn posted keys and values into record bytes."""

import base64
import binascii
import contextlib
import functools
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal, Protocol

import fastavro
import msgspec

from infra.schema_registry import Schema, SchemaRegistry
from schemas.avro_json import MOST_STEPS, Shape, Work
from schemas.codec import HEADER, MAGIC, BeaconNames, beacon_names
from schemas.errors import DecodeError, Refused, Retryable
from streams.edge.http.errors import HttpError

FormatName = Literal["json", "binary", "avro"]
Part = Literal["key", "value"]

REGISTRY_AWAY, NO_KEY_SCHEMA, NO_VALUE_SCHEMA, UNFIT = 40801, 42201, 42202, 42203
STEPS_A_BYTE = 2  # a number and its comma are two bytes, and a union's branches count as well
# raised by msgspec and fastavro for JSON that does not fit the schema
BROKEN = (ValueError, TypeError, KeyError, OverflowError, RecursionError, msgspec.DecodeError)
SPACE = b" \t\n\r"
STRING = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")')
_text = msgspec.json.Decoder(str).decode


class Format(Protocol):
    """An encoder of posted JSON. HttpError 400 or 422 names the part that does not fit."""

    key_schema_id: int | None = None
    value_schema_id: int | None = None

    def encode(self, part: Part, posted: bytes, where: str) -> bytes | None:
        """Return the bytes of a posted key or value, None for null. `where` names it in errors."""


@dataclass(frozen=True, slots=True)
class Json(Format):
    """The json format. `checked` topics have a model, which is encoded anew: they get the posted bytes."""

    checked: bool

    def encode(self, part: Part, posted: bytes, where: str) -> bytes | None:
        """Return the JSON without white space and needless escapes, None for null."""
        if posted == b"null":
            return None
        return posted if self.checked else compact(posted)


def compact(posted: bytes) -> bytes:
    """Return valid JSON in one spelling: no white space, and characters in UTF-8 instead of escapes.

    So a key that two clients write differently has one hash and one partition. Numbers stay as written: to read them as
    floats would round them. Members of objects stay as they are, too, also repeated ones.
    """
    if b"\\" not in posted and len(posted.translate(None, SPACE)) == len(posted):
        return posted
    parts = STRING.split(posted)  # strings have odd places
    parts[::2] = [between.translate(None, SPACE) for between in parts[::2]]
    parts[1::2] = [msgspec.json.encode(_text(each)) if b"\\" in each else each for each in parts[1::2]]
    return b"".join(parts)


class Binary(Format):
    """The binary format: standard base64, with padding or without, as Confluent's proxy takes it."""

    def encode(self, part: Part, posted: bytes, where: str) -> bytes | None:
        """Return the decoded bytes, None for null."""
        if posted == b"null":
            return None
        try:
            text = msgspec.json.decode(posted, type=str).rstrip("=")
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (msgspec.DecodeError, binascii.Error, ValueError) as error:
            raise HttpError(400, f"{where}: is not a base64 string") from error


class Avro(Format):
    """The format `avro`: it turns Avro's JSON encoding into Avro bytes with Confluent framing.

    Keys and values of one request share a budget of work in proportion to the request's size.
    """

    def __init__(self, schemas: Mapping[Part, Schema], body_bytes: int, most_bytes: int) -> None:
        """Take the request's schemas. `most_bytes` is the largest JSON of a key or value."""
        self._schemas = schemas
        self._left = MOST_STEPS + STEPS_A_BYTE * body_bytes
        self._most_bytes = most_bytes
        self.key_schema_id = schemas["key"].id if "key" in schemas else None
        self.value_schema_id = schemas["value"].id if "value" in schemas else None

    def schema(self, part: Part, where: str) -> Schema:
        """Return the request's schema for keys or values. Raise HttpError 422 if there is none."""
        if (schema := self._schemas.get(part)) is None:
            code = NO_KEY_SCHEMA if part == "key" else NO_VALUE_SCHEMA
            raise HttpError(422, f"{where}: needs {part}_schema or {part}_schema_id in the request", code)
        return schema

    @functools.cached_property
    def beacon_names(self) -> BeaconNames:
        """The aliases in the request's text of the beacon's schema."""
        return beacon_names(self._schemas["value"].shape.parsed)

    def encode(self, part: Part, posted: bytes, where: str) -> bytes | None:
        """Return the value as framed Avro, or None for a null without a schema.

        If the request has a schema, a null is framed like other values.
        """
        if posted == b"null" and part not in self._schemas:
            return None
        schema = self.schema(part, where)
        if len(posted) > self._most_bytes:
            raise HttpError(413, f"{where}: is larger than {self._most_bytes} bytes of JSON")
        out = io.BytesIO()
        out.write(HEADER.pack(MAGIC, schema.id))
        try:
            fastavro.schemaless_writer(out, schema.shape.parsed, self._datum(schema.shape, posted))
        except DecodeError as error:
            raise HttpError(422, f"{where}: {error}", UNFIT) from error
        except BROKEN as error:
            raise HttpError(422, f"{where}: does not fit the {part} schema", UNFIT) from error
        return out.getvalue()

    def _datum(self, shape: Shape, posted: bytes) -> Any:
        granted = min(self._left, MOST_STEPS)
        work = Work(granted)
        try:
            return shape.datum(msgspec.json.decode(posted), work)
        finally:
            self._left -= granted - max(work.left, 0)


async def open_schemas(
    envelope: Mapping[str, msgspec.Raw], topic: str, schemas: SchemaRegistry, register: bool
) -> dict[Part, Schema]:
    """Return the schemas that the request names.

    Raise HttpError 422 for a wrong schema, 408 or 503 as `awaiting` does.
    """
    opened: dict[Part, Schema] = {}
    parts: tuple[Part, ...] = ("key", "value")
    for part in parts:
        text = _field(envelope, f"{part}_schema", str)
        schema_id = _schema_id(envelope, f"{part}_schema_id")
        subject = f"{topic}-{part}"
        with awaiting(f"{part}_schema"):
            if schema_id is not None:
                opened[part] = await schemas.by_id(subject, schema_id)
            elif text is not None:
                opened[part] = await schemas.by_text(subject, text, register=register)
    return opened


@contextlib.contextmanager
def awaiting(where: str) -> Iterator[None]:
    """Raise HttpError 422 for a schema that the registry refuses, 408 if the registry does not answer.

    503 with Retry-After if the registry is not asked now. HTTP clients that retry wait for it; 408 has no such header.
    """
    try:
        yield
    except Refused as error:
        raise HttpError(422, f"{where}: {error}", error.code) from error
    except Retryable as error:
        if error.retry_after_s is not None:
            raise HttpError(503, f"{where}: {error}, try again", retry_after_s=ceil(error.retry_after_s)) from error
        raise HttpError(408, f"{where}: {error}, try again", REGISTRY_AWAY) from error


def _schema_id(envelope: Mapping[str, msgspec.Raw], name: str) -> int | None:
    value = _field(envelope, name, int | str)
    if isinstance(value, str):
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            raise HttpError(400, f"{name}: is not a schema id")
        return int(value)
    return value  # type: ignore[no-any-return]


def _field(envelope: Mapping[str, msgspec.Raw], name: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(envelope.get(name, b"null"), type=kind | None)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise HttpError(400, f"{name}: has the wrong type") from error
