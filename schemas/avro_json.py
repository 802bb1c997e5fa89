"""Avro's JSON encoding to data that fastavro writes, checked by the schema.

Encoding: https://avro.apache.org/docs/1.12.0/specification/#json-encoding (unions as `{"type": value}`, bytes as
characters 0 to 255). fastavro's own reader of it takes a string where a record is wanted, and only JSON of one line.

What a client sends is bounded in what it makes us do, not only in its size: a schema's defaults are worked out once,
and every value and every default takes steps from a budget.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from schemas.errors import DecodeError

INT, LONG = 2**31, 2**63
MOST_STEPS = 65_536  # for one key or value
MOST_DEFAULT = 4_096  # for one default, with the defaults within it
BYTES_A_STEP = 8
SYMBOLS_A_STEP = 32
MOST_SHOWN = 64


class TooMuchError(DecodeError):
    """More steps than there may be."""


class Work:
    """A budget of steps: one for each value, one for each field of a record, and what its defaults are worth."""

    def __init__(self, steps: int = MOST_STEPS) -> None:
        self.left = steps

    def take(self, steps: int) -> None:
        """TooMuchError when there are not so many left."""
        self.left -= steps
        if self.left < 0:
            raise TooMuchError("", "takes too much work: send fewer values, or a schema with smaller defaults")


class Default(NamedTuple):
    """A field's default as a datum, which is never changed, and the steps that it is worth."""

    datum: Any
    steps: int


@dataclass(frozen=True, slots=True)
class Shape:
    """A schema as `fastavro.parse_schema(…, named_schemas=named)` leaves it, and its defaults.

    `steps` is what it takes to write anything by it: fastavro parses a schema that is no record anew each time.
    """

    parsed: Any
    named: Mapping[str, Any]
    defaults: "Defaults"
    steps: int

    def datum(self, value: Any, work: Work) -> Any:
        """The datum that decoded JSON stands for; DecodeError names the field that does not fit, or is TooMuchError.

        A record's missing fields take their defaults, fields that it does not have are left out.
        """
        work.take(self.steps)
        return _datum(value, self.parsed, self, work)


def shape_of(parsed: Any, named: Mapping[str, Any], values: int) -> Shape:
    """A parsed schema whose text had so many values; TooMuchError when its defaults grow out of all bounds."""
    steps = len(named) if isinstance(parsed, dict) and "__fastavro_parsed" in parsed else values
    shape = Shape(parsed, named, Defaults(), steps)
    for record in [one for one in named.values() if one["type"] in ("record", "error")]:
        for field in record["fields"]:
            shape.defaults.of(record["name"], field, shape)
    return shape


class Defaults:
    """Defaults by record and field, each made once."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], Default | None] = {}
        self._making: set[tuple[str, str]] = set()

    def of(self, record: str, field: Mapping[str, Any], shape: Shape) -> Default | None:
        """The field's default; None when there is none that fits it. TooMuchError for one that is too large."""
        key = (record, field["name"])
        if key not in self._made:
            if key in self._making:
                raise TooMuchError(field["name"], "has a default that holds itself")
            self._making.add(key)
            self._made[key] = _made(field, shape) if "default" in field else None
            self._making.discard(key)
        return self._made[key]


def _made(field: Mapping[str, Any], shape: Shape) -> Default | None:
    work = Work(MOST_DEFAULT)
    try:
        work.take(1 + len(json.dumps(field["default"])) // BYTES_A_STEP)
        datum = _default(field["default"], field["type"], shape, work)
    except TooMuchError:
        raise
    except DecodeError:
        return None
    return Default(datum, MOST_DEFAULT - work.left)


def _default(value: Any, kind: Any, shape: Shape, work: Work) -> Any:
    """A default is of a union's first branch, and written without its type."""
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
        raise DecodeError("", 'is no {"type": value}, as a union is written')
    name, inner = next(iter(value.items()))
    for branch in branches:
        full = _name(branch)
        if name in (full, full.rpartition(".")[2]) and full != "null":
            # fastavro's form, so that it does not guess
            return full, _within(name, _datum, inner, branch, shape, work)
    raise DecodeError("", f"names type {name[:MOST_SHOWN]!r}, which the union does not have")


def _name(branch: Any) -> str:
    if isinstance(branch, Mapping):
        return str(branch.get("name", branch["type"]))
    return str(branch)


def _within(name: str, read: Callable[..., Any], *given: Any) -> Any:
    """What `read` makes of it; an error names the field from here on."""
    try:
        return read(*given)
    except DecodeError as error:
        raise _beneath(name, error) from error


def _beneath(name: str, error: DecodeError) -> DecodeError:
    """The error one level further up; of its path the first characters are enough."""
    between = "." if error.field and not error.field.startswith("[") else ""
    return type(error)(f"{name[:MOST_SHOWN]}{between}{error.field}"[: 4 * MOST_SHOWN], error.detail)


def _record(value: Any, schema: Any, shape: Shape, work: Work) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError("", "is no object")
    work.take(1 + len(schema["fields"]))
    found = {}
    for field in schema["fields"]:
        name = field["name"]
        if name in value:
            found[name] = _within(name, _datum, value[name], field["type"], shape, work)
        else:
            found[name] = _within(name, _missing, schema["name"], field, shape, work)
    return found


def _missing(record: str, field: Any, shape: Shape, work: Work) -> Any:
    if (made := shape.defaults.of(record, field, shape)) is None:
        raise DecodeError("", "is missing, and its default does not fit" if "default" in field else "is missing")
    work.take(made.steps)
    return made.datum


def _array(value: Any, schema: Any, shape: Shape, work: Work) -> list[Any]:
    if not isinstance(value, list):
        raise DecodeError("", "is no list")
    work.take(len(value))
    found: list[Any] = []
    try:
        found.extend(_datum(one, schema["items"], shape, work) for one in value)  # keeps what came before an error
    except DecodeError as error:
        raise _beneath(f"[{len(found)}]", error) from error
    return found


def _map(value: Any, schema: Any, shape: Shape, work: Work) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError("", "is no object")
    work.take(len(value))
    return {key: _within(key, _datum, one, schema["values"], shape, work) for key, one in value.items()}


def _enum(value: Any, schema: Any, shape: Shape, work: Work) -> str:
    symbols = schema["symbols"]
    work.take(len(symbols) // SYMBOLS_A_STEP)
    if not isinstance(value, str) or value not in symbols:
        raise DecodeError("", f"is none of {', '.join(symbols[:MOST_SHOWN])}")
    return value


def _fixed(value: Any, schema: Any, shape: Shape, work: Work) -> bytes:
    found = _bytes(value)
    if len(found) != schema["size"]:
        raise DecodeError("", f"is not of {schema['size']} bytes")
    return found


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
        raise DecodeError("", f"is no whole number of {bound.bit_length()} bits")
    return value


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DecodeError("", "is no number")
    try:
        return float(value)
    except OverflowError as error:
        raise DecodeError("", "is a number beyond all bounds") from error


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise DecodeError("", "is no string")
    return value


def _bytes(value: Any) -> bytes:
    try:
        return _string(value).encode("iso-8859-1")
    except UnicodeEncodeError as error:
        raise DecodeError("", "has characters beyond 255, which stand for no byte") from error


SIMPLE: dict[str, Callable[[Any], Any]] = {
    "null": _null,
    "boolean": _boolean,
    "int": _int,
    "long": _long,
    "float": _number,
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
