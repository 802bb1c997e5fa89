"""Avro schemas by id and subject: the project's own, or those of a Confluent-compatible registry.

Protocol: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import fastavro
from fastavro.schema import SchemaParseException, UnknownType, to_parsing_canonical_form

from schemas.avro_bounds import MOST_VALUES, read_schema
from schemas.avro_json import Shape, shape_of
from schemas.codec import registry
from schemas.errors import DecodeError, Refused, Retryable

log = logging.getLogger(__name__)

# the REST proxy's error codes for schemas
INVALID, NOT_FOUND = 42205, 42207
# exceptions of fastavro for JSON that is not a schema
NO_SCHEMA = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    SchemaParseException,
    UnknownType,
)
MOST_KEPT = 1_000
MOST_KEPT_VALUES = 200_000  # about 100 MB
MOST_OWN_TEXT = 16_384  # limits the text that clients may send for the project's schemas
MOST_ANSWER = 1_048_576
MOST_REFERENCES = 16  # of one schema, with those of its references
ANSWER_S = 5.0
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


@dataclass(frozen=True, slots=True)
class Schema:
    """A parsed schema: `own` is its name in the project, if any; `values` counts its JSON values."""

    id: int
    shape: Shape
    values: int
    own: str | None = None


class SchemaRegistry(Protocol):
    """A source of schemas. Methods raise Refused (with a code) or, without an answer, Retryable."""

    async def by_text(self, subject: str, text: str, *, register: bool) -> Schema:
        """Return the schema of the subject that has this text. `register=True` registers a new schema first."""

    async def by_id(self, subject: str, schema_id: int) -> Schema:
        """Return the subject's schema with that id."""

    async def learn(self, subject: str, value: bytes) -> None:
        """Let the codec read a framed value, if its schema is one of the subject's."""

    async def close(self) -> None:
        """Close connections."""


def parse(schema_id: int, text: str, own: str | None = None, references: Sequence[str] = ()) -> Schema:
    """Return the parsed schema. Raise Refused if it is invalid or exceeds `schemas/avro_bounds.py`.

    `references` has the texts of the schemas whose types it names, each text after its own references.
    """
    named: dict[str, Any] = {}
    try:
        read = [read_schema(each) for each in (*references, text)]
        if (values := sum(count for _, count in read)) > MOST_VALUES:
            raise DecodeError("", f"the schema and its references have more than {MOST_VALUES} values")
        parsed = [fastavro.parse_schema(schema, named_schemas=named) for schema, _ in read][-1]
        parsed = _with_names(parsed, named) if references else parsed
        return Schema(schema_id, shape_of(parsed, named, values), values, own)
    except DecodeError as error:
        raise Refused(f"the schema is refused: {error}", INVALID) from error
    except NO_SCHEMA as error:
        raise Refused("the text is not an Avro schema", INVALID) from error


def _with_names(parsed: Any, named: Mapping[str, Any]) -> Any:
    """Return the parsed schema with a hint for fastavro's writer, which has the types that it names."""
    if isinstance(parsed, list):  # the writer takes the hint of the first branch for all
        for at, branch in enumerate(parsed):
            if not isinstance(branch, str) or branch in named:
                return [*parsed[:at], _with_names(branch, named), *parsed[at + 1 :]]
        return parsed
    schema = named.get(parsed) if isinstance(parsed, str) else parsed
    return parsed if schema is None else {**schema, "__fastavro_parsed": True, "__named_schemas": named}


def canonical(text: str) -> str:
    """Return the Parsing Canonical Form, equal for two texts of one schema. Raise Refused if invalid."""
    return str(to_parsing_canonical_form(parse(0, text).shape.parsed))


def own_text(name: str) -> str:
    """Return the text of the project's schema with that name in `schemas/registry.json`."""
    return files("schemas").joinpath("avro", registry()[name]["file"]).read_text("utf-8")


class OwnSchemas:
    """The project's own schemas under the fixed ids of `schemas/registry.json`."""

    def __init__(self, ids: Mapping[str, int] | None = None) -> None:
        """Parse the schemas. `ids` replaces the fixed ids by those of a registry."""
        names = {name: registry()[name]["id"] for name in registry()} if ids is None else ids
        self._schemas = {name: parse(known, own_text(name), name) for name, known in names.items()}
        self._canonical = {name: canonical(own_text(name)) for name in self._schemas}

    async def by_text(self, subject: str, text: str, *, register: bool) -> Schema:
        """Return the subject's schema as the text has it, if it has the same canonical form.

        The text's aliases count, because the client names fields by them.
        """
        schema = self._of(subject)
        if len(text) > MOST_OWN_TEXT:
            raise Refused(f"the schema is longer than {MOST_OWN_TEXT} characters", INVALID)
        posted = parse(0, text)
        if schema is None or str(to_parsing_canonical_form(posted.shape.parsed)) != self._canonical[str(schema.own)]:
            raise Refused(f"subject {subject} does not have this schema", NOT_FOUND)
        return replace(schema, shape=posted.shape)

    async def by_id(self, subject: str, schema_id: int) -> Schema:
        """Return the subject's schema if it has that id."""
        schema = self._of(subject)
        if schema is None or schema.id != schema_id:
            raise Refused(f"subject {subject} has no schema {schema_id}", NOT_FOUND)
        return schema

    async def learn(self, subject: str, value: bytes) -> None:
        """Do nothing: the codec knows the fixed ids."""

    async def close(self) -> None:
        """Do nothing: no connection is open."""

    def _of(self, subject: str) -> Schema | None:
        return next((schema for name, schema in self._schemas.items() if registry()[name]["subject"] == subject), None)


class ConfluentRegistry:
    """A registry with Confluent's protocol. Its answers are cached: an id never changes its meaning."""

    def __init__(self, url: str) -> None:
        """Set the registry's URL, which may hold a user and a password."""
        self._url = url
        self._session: aiohttp.ClientSession | None = None
        self._by_text = Kept()
        self._by_id = Kept()

    async def own_ids(self) -> dict[str, int]:
        """Register the project's schemas that are missing. Return the ids by name.

        A schema that the registry refuses, because the subject has others, has no id: writers use the others.
        """
        ids = {}
        for name, entry in registry().items():
            try:
                ids[name] = await self.register(str(entry["subject"]), own_text(name))
            except Refused as error:
                log.warning("subject %s does not get the project's schema: %s", entry["subject"], error)
        return ids

    async def register(self, subject: str, text: str) -> int:
        """Register the schema under the subject and return its id. A known schema keeps its id."""
        answer = await self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": text})
        return int(answer["id"])

    async def by_text(self, subject: str, text: str, *, register: bool) -> Schema:
        """Return the subject's schema with this text, as `SchemaRegistry.by_text` does."""
        key = (subject, hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        if (known := self._by_text.get(key)) is not None:
            return known
        parsed = parse(0, text)
        if register:
            schema_id = await self.register(subject, text)
        else:
            schema_id = int((await self._ask("POST", f"/subjects/{quote(subject, safe='')}", {"schema": text}))["id"])
        return self._by_text.keep(key, replace(parsed, id=schema_id))

    async def by_id(self, subject: str, schema_id: int) -> Schema:
        """Return the subject's schema with this id, as `SchemaRegistry.by_id` does."""
        if (known := self._by_id.get((subject, schema_id))) is not None:
            return known
        answer = await self._ask("GET", f"/schemas/ids/{schema_id}")
        if answer.get("schemaType", "AVRO") != "AVRO":
            raise Refused(f"schema {schema_id} is not an Avro schema", INVALID)
        versions = await self._ask("GET", f"/schemas/ids/{schema_id}/versions")
        if subject not in {version["subject"] for version in versions}:
            raise Refused(f"subject {subject} has no schema {schema_id}", NOT_FOUND)
        references: dict[tuple[str, int], str | None] = {}
        await self._follow(answer, references)
        texts = [text for text in references.values() if text is not None]
        return self._by_id.keep((subject, schema_id), parse(schema_id, str(answer["schema"]), references=texts))

    async def _follow(self, answer: Mapping[str, Any], found: dict[tuple[str, int], str | None]) -> None:
        """Add the texts of an answer's references, each after its own. It is None while these are read."""
        for reference in answer.get("references") or ():
            key = subject, version = str(reference["subject"]), int(reference["version"])
            if key in found and found[key] is None:
                raise Refused(f"the schema is refused: its references lead back to {subject}", INVALID)
            if key in found:
                continue
            if len(found) == MOST_REFERENCES:
                raise Refused(f"the schema is refused: it has more than {MOST_REFERENCES} references", INVALID)
            found[key] = None
            stored = await self._ask("GET", f"/subjects/{quote(subject, safe='')}/versions/{version}")
            await self._follow(stored, found)
            del found[key]  # added again, it comes after its references
            found[key] = str(stored["schema"])

    async def learn(self, subject: str, value: bytes) -> None:
        """Do nothing: values of topics without a model are not decoded."""

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=ANSWER_S)
            self._session = aiohttp.ClientSession(timeout=timeout, headers={"Accept": MEDIA_TYPE})
        data = None if body is None else json.dumps(body)
        try:
            async with self._session.request(
                method, self._url + path, data=data, headers={"Content-Type": MEDIA_TYPE}
            ) as answer:
                if answer.status == 200:
                    return json.loads(await _bounded(answer))
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise Retryable("the schema registry does not answer") from error
        if status in (404, 409, 422):
            raise Refused(f"the schema registry refuses or does not know the schema (HTTP {status})", NOT_FOUND)
        raise Retryable(f"the schema registry answered HTTP {status}")


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    """Return the answer's body. Raise ValueError if it is larger than MOST_ANSWER bytes."""
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > MOST_ANSWER:
            raise ValueError(f"the answer is larger than {MOST_ANSWER} bytes")
    return bytes(body)


class Kept:
    """A cache of schemas, bounded by number and size. When it is full, it is emptied."""

    def __init__(self) -> None:
        self._schemas: dict[Any, Schema] = {}
        self._values = 0

    def get(self, key: Any) -> Schema | None:
        """Return the schema under that key, or None."""
        return self._schemas.get(key)

    def keep(self, key: Any, schema: Schema) -> Schema:
        """Store the schema and return it."""
        if len(self._schemas) >= MOST_KEPT or self._values + schema.values > MOST_KEPT_VALUES:
            self._schemas.clear()
            self._values = 0
        self._schemas[key] = schema
        self._values += schema.values
        return schema
