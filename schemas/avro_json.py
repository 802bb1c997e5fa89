"""Conversion of Avro's JSON encoding to data that fastavro writes, checked by the schema.

Encoding: https://avro.apache.org/docs/1.12.0/specification/#json-encoding (unions as `{"type": value}`, bytes as
characters 0 to 255). As in Java's JsonDecoder an object may name a field by its alias; here also a union its branch.
fastavro's own JSON reader accepts a string in place of a record, and reads only JSON on one line.

Client input is bounded in the work it causes, not only in its size: a schema's defaults are computed once, and every
value and every default takes steps from a budget.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.errors import DecodeError, TooMuchError

INT, LONG = 2**31, 2**63
LARGEST_FLOAT = (2 - 2**-23) * 2**127
MOST_STEPS = 65_536  # for one key or value
MOST_DEFAULT = 4_096  # for one default, including the defaults inside it
BYTES_A_STEP = 8
SYMBOLS_A_STEP = 32
ALIASES_A_STEP = 8
MOST_SHOWN = 64


class Work:
    """A budget of steps: each value and each field of a record takes one, each default its own steps."""

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self.left = steps

    def take(self, steps: int) -> None:
        """Take steps from the budget; raise TooMuchError if too few are left."""
        self.left -= steps
        if self.left < 0:
            raise TooMuchError("", "takes too much work: send fewer values, or a schema with smaller defaults")


class Default(NamedTuple):
    """A field's default as a datum, which nothing may change, and the steps that it costs."""

    datum: Any
    steps: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A schema as `fastavro.parse_schema(…, named_schemas=named)` returns it, and its defaults.

    `steps` is the cost of any write: fastavro parses a schema that is not a record again for each write.
    """

    parsed: Any
    named: Mapping[str, Any]
    defaults: "Defaults"
    steps: int

    def datum(self, value: Any, work: Work) -> Any:
        """Return the datum for decoded JSON.

        Missing fields of a record take their defaults; unknown fields are dropped. Raise DecodeError with the field
        that does not fit, or TooMuchError if `work` runs out.
        """
        work.take(self.steps)
        return _datum(value, self.parsed, self, work)


def shape_of(parsed: Any, named: Mapping[str, Any], values: int) -> Shape:
    """Return the Shape of a parsed schema whose text had `values` values.

    Raise TooMuchError if a default is larger than MOST_DEFAULT steps or contains itself.
    """
    steps = len(named) if isinstance(parsed, dict) and "__fastavro_parsed" in parsed else values
    shape = Shape(parsed, named, Defaults(), steps)
    for record in [schema for schema in named.values() if schema["type"] in ("record", "error")]:
        for field in record["fields"]:
            shape.defaults.of(record["name"], field, shape)
    return shape


class Defaults:
    """Defaults by record and field, each computed once."""

    def __init__(self) -> None:
        self._defaults: dict[tuple[str, str], Default | None] = {}
        self._in_progress: set[tuple[str, str]] = set()

    def of(self, record: str, field: Mapping[str, Any], shape: Shape) -> Default | None:
        """Return the field's default; None if it has none, or one that does not fit its type.

        Raise TooMuchError if the default is too large or contains itself.
        """
        key = (record, field["name"])
        if key not in self._defaults:
            if key in self._in_progress:
                raise TooMuchError(field["name"], "has a default that holds itself")
            self._in_progress.add(key)
            self._defaults[key] = _compute_default(field, shape) if "default" in field else None
            self._in_progress.discard(key)
        return self._defaults[key]


def _compute_default(field: Mapping[str, Any], shape: Shape) -> Default | None:
    work = Work(MOST_DEFAULT)
    try:
        work.take(1 + len(json.dumps(field["default"])) // BYTES_A_STEP)
        datum = _default_datum(field["default"], field["type"], shape, work)
    except TooMuchError:
        raise
    except DecodeError:
        return None
    return Default(datum, MOST_DEFAULT - work.left)


def _default_datum(value: Any, kind: Any, shape: Shape, work: Work) -> Any:
    """Return a default's datum. In a union, a default has the first branch's type and does not name it."""
    if not isinstance(kind, list):
        return _datum(value, kind, shape, work)
    datum = _datum(value, kind[0], shape, work)
    return None if datum is None else (_name(kind[0]), datum)


def _datum(value: Any, schema: Any, shape: Shape, work: Work) -> Any:
    if isinstance(schema, list):
        return _union(value, schema, shape, work)
    kind = schema["type"] if isinstance(schema, Mapping) else schema
    if (simple := SIMPLE.get(kind)) is not None:
        return simple(value)
    if (nested := NESTED.get(kind)) is not None:
        return nested(value, schema, shape, work)
    return _datum(value, shape.named[kind], shape, work)


def _union(value: Any, branches: list[Any], shape: Shape, work: Work) -> Any:
    work.take(len(branches))
    if value is None:
        if "null" in branches:
            return None
        raise DecodeError("", "is null, which the schema does not allow")
    if not isinstance(value, dict) or len(value) != 1:
        raise DecodeError("", 'is not of the form {"type": value}, which a union needs')
    name, inner = next(iter(value.items()))
    for branch in branches:
        full = _name(branch)
        if name in (full, full.rpartition(".")[2]) and full != "null":
            # the tuple names the branch, so that fastavro does not guess it
            return full, _within(name, _datum, inner, branch, shape, work)
    for branch in branches:
        if name in _other_names(branch, shape, work):
            return _name(branch), _within(name, _datum, inner, branch, shape, work)
    raise DecodeError("", f"names the type {name[:MOST_SHOWN]!r}, which the union does not have")


def _other_names(branch: Any, shape: Shape, work: Work) -> set[str]:
    """Return the aliases of a union's named branch, with and without their namespaces."""
    schema = branch if isinstance(branch, Mapping) else shape.named.get(branch, {})
    namespace = _name(branch).rpartition(".")[0]
    aliases = _aliases(schema)
    work.take(len(aliases))
    full = {alias if "." in alias or not namespace else f"{namespace}.{alias}" for alias in aliases}
    return full | {alias.rpartition(".")[2] for alias in aliases}


def _aliases(schema: Mapping[str, Any]) -> list[str]:
    return [alias for alias in schema.get("aliases", ()) if isinstance(alias, str)]


def names_by_alias(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of a record's fields by their aliases."""
    return {alias: field["name"] for field in record["fields"] for alias in _aliases(field)}


def _posted_name(field: Mapping[str, Any], posted: Mapping[str, Any], work: Work) -> str:
    """Return the name under which an object has a field: its own, or the first of its aliases."""
    name: str = field["name"]
    if name in posted or "aliases" not in field:
        return name
    work.take(len(field["aliases"]) // ALIASES_A_STEP)
    return next((alias for alias in _aliases(field) if alias in posted), name)


def _name(branch: Any) -> str:
    if isinstance(branch, Mapping):
        return str(branch.get("name", branch["type"]))
    return str(branch)


def _within(name: str, read: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of `read`; put `name` before the field path of its DecodeError."""
    try:
        return read(*arguments)
    except DecodeError as error:
        raise _with_prefix(name, error) from error


def _with_prefix(name: str, error: DecodeError) -> DecodeError:
    """Return the error with `name` before its field path, which is cut to its first characters."""
    between = "." if error.field and not error.field.startswith("[") else ""
    return type(error)(f"{name[:MOST_SHOWN]}{between}{error.field}"[: 4 * MOST_SHOWN], error.detail)


def _record(value: Any, schema: Any, shape: Shape, work: Work) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError("", "is not an object")
    work.take(1 + len(schema["fields"]))
    record = {}
    for field in schema["fields"]:
        name = field["name"]
        posted = _posted_name(field, value, work)
        if posted in value:
            record[name] = _within(posted, _datum, value[posted], field["type"], shape, work)
        else:
            record[name] = _within(name, _missing, schema["name"], field, shape, work)
    return record


def _missing(record: str, field: Any, shape: Shape, work: Work) -> Any:
    if (default := shape.defaults.of(record, field, shape)) is None:
        raise DecodeError("", "is missing, and its default does not fit" if "default" in field else "is missing")
    work.take(default.steps)
    return default.datum


def _array(value: Any, schema: Any, shape: Shape, work: Work) -> list[Any]:
    if not isinstance(value, list):
        raise DecodeError("", "is not a list")
    work.take(len(value))
    items: list[Any] = []
    try:
        # on an error, extend keeps the items before it: their number is the failed index
        items.extend(_datum(item, schema["items"], shape, work) for item in value)
    except DecodeError as error:
        raise _with_prefix(f"[{len(items)}]", error) from error
    return items


def _map(value: Any, schema: Any, shape: Shape, work: Work) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError("", "is not an object")
    work.take(len(value))
    return {key: _within(key, _datum, item, schema["values"], shape, work) for key, item in value.items()}


def _enum(value: Any, schema: Any, shape: Shape, work: Work) -> str:
    symbols = schema["symbols"]
    work.take(len(symbols) // SYMBOLS_A_STEP)
    if not isinstance(value, str) or value not in symbols:
        raise DecodeError("", f"is not one of {', '.join(symbols[:MOST_SHOWN])}")
    return value


def _fixed(value: Any, schema: Any, shape: Shape, work: Work) -> bytes:
    data = _bytes(value)
    if len(data) != schema["size"]:
        raise DecodeError("", f"does not have {schema['size']} bytes")
    return data


def _null(value: Any) -> None:
    if value is not None:
        raise DecodeError("", "is not null")


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise DecodeError("", "is neither true nor false")
    return value


def _int(value: Any) -> int:
    return _whole(value, INT)


def _long(value: Any) -> int:
    return _whole(value, LONG)


def _whole(value: Any, bound: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -bound <= value < bound:
        raise DecodeError("", f"is not a whole number of {bound.bit_length()} bits")
    return value


def _float(value: Any) -> float:
    number = _number(value)
    if LARGEST_FLOAT < abs(number) < float("inf"):
        raise DecodeError("", "is a number too large for a float")
    return number


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DecodeError("", "is not a number")
    try:
        return float(value)
    except OverflowError as error:
        raise DecodeError("", "is a number too large for a double") from error


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise DecodeError("", "is not a string")
    return value


def _bytes(value: Any) -> bytes:
    try:
        return _string(value).encode("iso-8859-1")
    except UnicodeEncodeError as error:
        raise DecodeError("", "has characters above U+00FF, which are not bytes") from error


SIMPLE: dict[str, Callable[[Any], Any]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": _float,
    "double": _number,
    "string": _string,
    "bytes": _bytes,
}
NESTED: dict[str, Callable[[Any, Any, Shape, Work], Any]] = {
    "record": _record,
    "error": _record,
    "array": _array,
    "map": _map,
    "enum": _enum,
    "fixed": _fixed,
}
