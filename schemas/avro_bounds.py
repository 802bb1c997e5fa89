"""What an Avro schema may be. Strangers and registries send them: they are judged before anything is built of them."""

import json
from collections.abc import Iterable
from typing import Any

from schemas.errors import DecodeError

MOST_TEXT = 65_536
MOST_VALUES = 4_000  # of its JSON: objects, lists, texts and numbers
MOST_DEPTH = 64  # a record within a record's field is four deeper
MOST_NAMED = 256
MOST_NAME = 256
NAMED_TYPES = {"record", "error", "enum", "fixed"}
NAMES = ("name", "namespace")


def read_schema(text: str) -> tuple[Any, int]:
    """The schema's JSON and how many values it has; DecodeError for what is no JSON, or beyond the bounds."""
    if len(text) > MOST_TEXT:
        raise DecodeError("", f"the schema is longer than {MOST_TEXT} characters")
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DecodeError("", "the schema is no JSON") from error
    return schema, _measured(schema)


def _measured(schema: Any) -> int:
    """How many values there are, level by level."""
    values = named = 0
    level: list[Any] = [schema]
    for _ in range(MOST_DEPTH):
        if not level:
            return values
        values += len(level)
        objects = [one for one in level if isinstance(one, dict)]
        named += sum(1 for one in objects if _is_named(one))
        if values > MOST_VALUES:
            raise DecodeError("", f"the schema has more than {MOST_VALUES} values")
        if named > MOST_NAMED:
            raise DecodeError("", f"the schema has more than {MOST_NAMED} named types")
        if any(_is_long(one) for one in objects):
            raise DecodeError("", f"the schema has a name of more than {MOST_NAME} characters")
        level = [inner for one in level for inner in _inside(one)]
    raise DecodeError("", f"the schema is nested more than {MOST_DEPTH} deep")


def _is_named(one: dict[str, Any]) -> bool:
    kind = one.get("type")
    return isinstance(kind, str) and kind in NAMED_TYPES


def _is_long(one: dict[str, Any]) -> bool:
    return any(isinstance(name := one.get(part), str) and len(name) > MOST_NAME for part in NAMES)


def _inside(one: Any) -> Iterable[Any]:
    if isinstance(one, dict):
        return one.values()
    return one if isinstance(one, list) else ()
