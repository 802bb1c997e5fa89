"""Avro's JSON encoding to data that fastavro writes, checked by the schema.

Encoding: https://avro.apache.org/docs/1.12.0/specification/#json-encoding (unions as `{"type": value}`, bytes as
characters 0 to 255). fastavro's own reader of it takes a string where a record is wanted, and only JSON of one line.
"""

from collections.abc import Mapping
from typing import Any

from schemas.errors import DecodeError

INT, LONG = 2**31, 2**63
Named = Mapping[str, Any]


def datum_of(value: Any, schema: Any, named: Named, path: str = "") -> Any:
    """The datum that decoded JSON stands for; DecodeError names the field that does not fit.

    `schema` and `named` are as `fastavro.parse_schema(…, named_schemas=named)` leaves them. A record's missing fields
    take their defaults, fields that it does not have are left out.
    """
    if isinstance(schema, list):
        return _union(value, schema, named, path)
    kind = schema["type"] if isinstance(schema, Mapping) else schema
    if isinstance(kind, Mapping | list):
        return datum_of(value, kind, named, path)
    if (simple := SIMPLE.get(kind)) is not None:
        return simple(value, path)
    if (nested := NESTED.get(kind)) is not None:
        return nested(value, schema, named, path)
    return datum_of(value, named[kind], named, path)


def _union(value: Any, branches: list[Any], named: Named, path: str) -> Any:
    if value is None:
        if "null" in branches:
            return None
        raise DecodeError(path, "is null, which the schema does not allow")
    if not isinstance(value, dict) or len(value) != 1:
        raise DecodeError(path, 'is no {"type": value}, as a union is written')
    name, inner = next(iter(value.items()))
    for branch in branches:
        full = _name(branch)
        if name in (full, full.rpartition(".")[2]) and full != "null":
            return full, datum_of(inner, branch, named, _at(path, name))  # fastavro's form, so that it does not guess
    raise DecodeError(path, f"names type {name[:64]!r}, which the union does not have")


def _name(branch: Any) -> str:
    if isinstance(branch, Mapping):
        return str(branch.get("name", branch["type"]))
    return str(branch)


def _record(value: Any, schema: Any, named: Named, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError(path, "is no object")
    found = {}
    for field in schema["fields"]:
        name, kind = field["name"], field["type"]
        if name in value:
            found[name] = datum_of(value[name], kind, named, _at(path, name))
        elif "default" in field:
            # a default is of a union's first branch, and written without its type
            first = kind[0] if isinstance(kind, list) else kind
            found[name] = datum_of(field["default"], first, named, _at(path, name))
        else:
            raise DecodeError(_at(path, name), "is missing")
    return found


def _at(path: str, name: str) -> str:
    return f"{path}.{name[:64]}" if path else name[:64]


def _array(value: Any, schema: Any, named: Named, path: str) -> list[Any]:
    if not isinstance(value, list):
        raise DecodeError(path, "is no list")
    return [datum_of(one, schema["items"], named, f"{path}[{at}]") for at, one in enumerate(value)]


def _map(value: Any, schema: Any, named: Named, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError(path, "is no object")
    return {key: datum_of(one, schema["values"], named, _at(path, key)) for key, one in value.items()}


def _enum(value: Any, schema: Any, named: Named, path: str) -> str:
    if not isinstance(value, str) or value not in schema["symbols"]:
        raise DecodeError(path, f"is none of {', '.join(schema['symbols'])}")
    return value


def _fixed(value: Any, schema: Any, named: Named, path: str) -> bytes:
    found = _bytes(value, path)
    if len(found) != schema["size"]:
        raise DecodeError(path, f"is not of {schema['size']} bytes")
    return found


def _null(value: Any, path: str) -> None:
    if value is not None:
        raise DecodeError(path, "is not null")


def _boolean(value: Any, path: str) -> bool:
    if not isinstance(value, bool):
        raise DecodeError(path, "is neither true nor false")
    return value


def _whole(value: Any, path: str, bound: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -bound <= value < bound:
        raise DecodeError(path, f"is no whole number of {bound.bit_length()} bits")
    return value


def _number(value: Any, path: str) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise DecodeError(path, "is no number")
    return float(value)


def _string(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise DecodeError(path, "is no string")
    return value


def _bytes(value: Any, path: str) -> bytes:
    try:
        return _string(value, path).encode("iso-8859-1")
    except UnicodeEncodeError as error:
        raise DecodeError(path, "has characters beyond 255, which stand for no byte") from error


SIMPLE = {
    "null": _null,
    "boolean": _boolean,
    "int": lambda value, path: _whole(value, path, INT),
    "long": lambda value, path: _whole(value, path, LONG),
    "float": _number,
    "double": _number,
    "string": _string,
    "bytes": _bytes,
}
NESTED = {"record": _record, "error": _record, "array": _array, "map": _map, "enum": _enum, "fixed": _fixed}
