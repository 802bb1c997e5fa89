"""Bounds of Avro schemas from clients and registries, checked before anything is built from them."""

import json
from collections.abc import Iterable
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
