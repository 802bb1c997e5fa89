"""Bounds of Avro schemas from clients and registries, checked before anything is built from them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from schemas.errors import DecodeError

MOST_TEXT = 65_536
MOST_VALUES = 4_000  # JSON values: objects, lists, strings and numbers
MOST_DEPTH = 64  # a record inside a record's field adds four levels
MOST_NAMED = 256
MOST_NAME = 256
NAMED_TYPES = {"record", "error", "enum", "fixed"}
NAMES = ("name", "namespace")


def read_schema(text: str) -> tuple[Any, int]:
    """Return the schema's JSON and its number of values.

    Raise DecodeError if the text is not JSON or exceeds a bound.
    """
    if len(text) > MOST_TEXT:
        raise DecodeError("", f"the schema is longer than {MOST_TEXT} characters")
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError("", "the schema is not JSON") from error
    return schema, _count_values(schema)


def _count_values(schema: Any) -> int:
    """Return the number of values, counted level by level; raise DecodeError beyond a bound."""
    values = named = 0
    level: list[Any] = [schema]
    for _ in range(MOST_DEPTH):
        if not level:
            return values
        values += len(level)
        objects = [value for value in level if isinstance(value, dict)]
        named += sum(1 for value in objects if _is_named(value))
        if values > MOST_VALUES:
            raise DecodeError("", f"the schema has more than {MOST_VALUES} values")
        if named > MOST_NAMED:
            raise DecodeError("", f"the schema has more than {MOST_NAMED} named types")
        if any(_has_long_name(value) for value in objects):
            raise DecodeError("", f"the schema has a name of more than {MOST_NAME} characters")
        level = [child for value in level for child in _children(value)]
    raise DecodeError("", f"the schema is nested more than {MOST_DEPTH} levels deep")


def _is_named(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return isinstance(kind, str) and kind in NAMED_TYPES


def _has_long_name(schema: dict[str, Any]) -> bool:
    return any(isinstance(name := schema.get(part), str) and len(name) > MOST_NAME for part in NAMES)


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def check_readable(schema: Any, named: Mapping[str, Any]) -> None:
    """Raise DecodeError unless data of a parsed schema can be read in a time that its bytes bound.

    It must be a record. A type that holds itself could be nested without an end, and a list could count a billion items
    that have no bytes. `named` has the types by name.
    """
    if not isinstance(schema, Mapping) or schema.get("type") not in ("record", "error"):
        raise DecodeError("", "the schema is not a record")
    _check_bytes(schema, named, {})


def _check_bytes(schema: Any, named: Mapping[str, Any], done: dict[str, bool | None]) -> bool:
    """Return whether each datum of the schema has bytes.

    `done` has the records that were checked before, and None for each record that holds this schema.
    """
    if isinstance(schema, list):
        for branch in schema:
            _check_bytes(branch, named, done)
        return True
    kind = schema["type"] if isinstance(schema, Mapping) else schema
    if not isinstance(kind, str) or (isinstance(schema, str) and kind in named):
        return _check_bytes(kind if not isinstance(kind, str) else named[kind], named, done)
    if kind == "array" and not _check_bytes(schema["items"], named, done):
        raise DecodeError("", "the schema has a list of items without bytes")
    if kind == "map":
        _check_bytes(schema["values"], named, done)
    if kind in ("record", "error"):
        return _check_record(schema, named, done)
    return kind != "null" and (kind != "fixed" or schema["size"] > 0)


def _check_record(schema: Mapping[str, Any], named: Mapping[str, Any], done: dict[str, bool | None]) -> bool:
    name = schema["name"]
    if done.get(name, False) is None:
        raise DecodeError("", f"the schema's type {name} holds itself")
    if name not in done:
        done[name] = None
        done[name] = sum(_check_bytes(field["type"], named, done) for field in schema["fields"]) > 0
    if not done[name]:
        raise DecodeError("", f"the schema's type {name} has no bytes")
    return True
