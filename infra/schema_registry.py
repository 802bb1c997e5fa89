"""Avro schemas by id and subject: the project's own, or those of a Confluent-compatible registry.

Protocol: https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import asyncio
import hashlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp
import fastavro
from fastavro.schema import SchemaParseException, UnknownType, to_parsing_canonical_form

from schemas.avro_bounds import read_schema
from schemas.avro_json import Shape, shape_of
from schemas.codec import learn_ids, registry
from schemas.errors import DecodeError, Refused, Retryable

# error codes of the REST proxy for what is wrong with a schema
INVALID, NOT_FOUND = 42205, 42207
# what fastavro raises for JSON that is no schema
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
MOST_OWN_TEXT = 16_384  # strangers may say the project's schemas in their words, not at any length
MOST_ANSWER = 1_048_576
ANSWER_S = 5.0
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


@dataclass(frozen=True, slots=True)
class Schema:
    """A parsed schema under its id. `own` names the project's schema that it is, `values` is how large its text is."""

    id: int
    shape: Shape
    values: int
    own: str | None = None


class SchemaRegistry(Protocol):
    """Where schemas are looked up. Refused (with a code) for what is not there, Retryable when there is no answer."""

    async def by_text(self, subject: str, text: str, *, register: bool) -> Schema:
        """The schema of that text under the subject; registered first where asked for and needed."""

    async def by_id(self, subject: str, schema_id: int) -> Schema:
        """The schema of that id, when the subject has it."""

    async def close(self) -> None:
        """End."""


def parse(schema_id: int, text: str, own: str | None = None) -> Schema:
    """The schema of that text; Refused when the text is none, or is beyond the bounds of `schemas/avro_bounds.py`."""
    named: dict[str, Any] = {}
    try:
        schema, values = read_schema(text)
        parsed = fastavro.parse_schema(schema, named_schemas=named)
        return Schema(schema_id, shape_of(parsed, named, values), values, own)
    except DecodeError as error:
        raise Refused(f"the schema is not taken: {error}", INVALID) from error
    except NO_SCHEMA as error:
        raise Refused("the schema is no Avro schema", INVALID) from error


def canonical(text: str) -> str:
    """Parsing canonical form: what two texts of one schema have in common. Refused when it is none."""
    return str(to_parsing_canonical_form(parse(0, text).shape.parsed))


def own_text(name: str) -> str:
    """The project's schema by its name in `schemas/registry.json`."""
    return files("schemas").joinpath("avro", registry()[name]["file"]).read_text("utf-8")


class OwnSchemas:
    """The project's own schemas, under the fixed ids of `schemas/registry.json`."""

    def __init__(self, ids: Mapping[str, int] | None = None) -> None:
        """`ids` are those of a registry that has them under other ids."""
        names = {name: registry()[name]["id"] for name in registry()} if ids is None else ids
        self._schemas = {name: parse(known, own_text(name), name) for name, known in names.items()}
        self._canonical = {name: canonical(own_text(name)) for name in self._schemas}

    async def by_text(self, subject: str, text: str, *, register: bool) -> Schema:
        """The subject's schema when the text says the same."""
        found = self._of(subject)
        if len(text) > MOST_OWN_TEXT:
            raise Refused(f"the schema is longer than {MOST_OWN_TEXT} characters", INVALID)
        if found is None or canonical(text) != self._canonical[str(found.own)]:
            raise Refused(f"subject {subject} does not have this schema", NOT_FOUND)
        return found

    async def by_id(self, subject: str, schema_id: int) -> Schema:
        """The subject's schema when it has that id."""
        found = self._of(subject)
        if found is None or found.id != schema_id:
            raise Refused(f"subject {subject} has no schema {schema_id}", NOT_FOUND)
        return found

    async def close(self) -> None:
        """Nothing is open."""

    def _of(self, subject: str) -> Schema | None:
        return next((one for name, one in self._schemas.items() if registry()[name]["subject"] == subject), None)


class LateSchemas:
    """The project's own schemas under the ids that a registry gives them, asked for when first needed."""

    def __init__(self, registry_: "ConfluentRegistry", again_s: float = 1.0) -> None:
        """After a failure the registry is left alone for `again_s`: strangers ask as often as they like."""
        self._registry = registry_
        self._again_s = again_s
        self._own: OwnSchemas | None = None
        self._asking = asyncio.Lock()
        self._failed_at = -math.inf

    async def by_text(self, subject: str, text: str, *, register: bool) -> Schema:
        """As the protocol says."""
        return await (await self.own()).by_text(subject, text, register=register)

    async def by_id(self, subject: str, schema_id: int) -> Schema:
        """As the protocol says."""
        return await (await self.own()).by_id(subject, schema_id)

    async def close(self) -> None:
        """The registry is closed by its owner."""

    async def own(self) -> OwnSchemas:
        """The schemas; from then on values under those ids can be decoded. Retryable without an answer."""
        async with self._asking:
            if self._own is None:
                if time.monotonic() - self._failed_at < self._again_s:
                    raise Retryable("the schema registry does not answer")
                try:
                    ids = await self._registry.own_ids()
                except Retryable:
                    self._failed_at = time.monotonic()
                    raise
                learn_ids(ids)
                self._own = OwnSchemas(ids)
            return self._own


class ConfluentRegistry:
    """A registry that speaks Confluent's protocol. What it has told once is kept: ids never change their meaning."""

    def __init__(self, url: str) -> None:
        """`url` may hold a user and a password."""
        self._url = url
        self._session: aiohttp.ClientSession | None = None
        self._by_text = Kept()
        self._by_id = Kept()

    async def own_ids(self) -> dict[str, int]:
        """Ids of the project's schemas by name, each registered under its subject unless it is there."""
        return {name: await self.register(str(entry["subject"]), own_text(name)) for name, entry in registry().items()}

    async def register(self, subject: str, text: str) -> int:
        """The id of the schema under the subject, which has it from now on."""
        answer = await self._ask("POST", f"/subjects/{quote(subject, safe='')}/versions", {"schema": text})
        return int(answer["id"])

    async def by_text(self, subject: str, text: str, *, register: bool) -> Schema:
        """As the protocol says."""
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
        """As the protocol says."""
        if (known := self._by_id.get((subject, schema_id))) is not None:
            return known
        answer = await self._ask("GET", f"/schemas/ids/{schema_id}")
        if answer.get("schemaType", "AVRO") != "AVRO":
            raise Refused(f"schema {schema_id} is no Avro schema", INVALID)
        versions = await self._ask("GET", f"/schemas/ids/{schema_id}/versions")
        if subject not in {one["subject"] for one in versions}:
            raise Refused(f"subject {subject} has no schema {schema_id}", NOT_FOUND)
        return self._by_id.keep((subject, schema_id), parse(schema_id, str(answer["schema"])))

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
            raise Refused(f"the schema registry does not take or does not know the schema ({status})", NOT_FOUND)
        raise Retryable(f"the schema registry answered {status}")


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    """The answer's body; ValueError when it is too large."""
    body = bytearray()
    async for part in answer.content.iter_any():
        body += part
        if len(body) > MOST_ANSWER:
            raise ValueError(f"the answer is larger than {MOST_ANSWER} bytes")
    return bytes(body)


class Kept:
    """Schemas that were looked up, bounded by their number and by their size: all are forgotten when there are more."""

    def __init__(self) -> None:
        self._schemas: dict[Any, Schema] = {}
        self._values = 0

    def get(self, key: Any) -> Schema | None:
        """The schema under that key."""
        return self._schemas.get(key)

    def keep(self, key: Any, schema: Schema) -> Schema:
        """The schema itself, which is kept."""
        if len(self._schemas) >= MOST_KEPT or self._values + schema.values > MOST_KEPT_VALUES:
            self._schemas.clear()
            self._values = 0
        self._schemas[key] = schema
        self._values += schema.values
        return schema
