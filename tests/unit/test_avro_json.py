"""Avro's JSON encoding.

Valid values survive a round trip, invalid ones raise an error that names the field.
"""

import contextlib
import io
import json
from typing import Any

import fastavro
import pytest
from fastavro.utils import generate_many
from hypothesis import given
from hypothesis import strategies as st

from infra.schema_registry import parse
from schemas.avro_json import Work
from schemas.errors import DecodeError

SCHEMA: dict[str, Any] = {
    "type": "record", "name": "jp.R",
    "fields": [
        {"name": "n", "type": "int"},
        {"name": "l", "type": "long", "default": -1},
        {"name": "d", "type": "double", "default": 0.5},
        {"name": "b", "type": "bytes", "default": "\u00ff"},
        {"name": "f", "type": {"type": "fixed", "name": "F", "size": 2}, "default": "ab"},
        {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}, "default": "A"},
        {"name": "a", "type": {"type": "array", "items": "string"}, "default": []},
        {"name": "m", "type": {"type": "map", "values": "boolean"}, "default": {}},
        {"name": "u", "type": ["null", "int", "long", "string", "E"], "default": None},
        {"name": "next", "type": ["null", "R"], "default": None},
        {"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}, "default": 0},
    ],
}  # fmt: skip


def written(value: Any, schema: Any = SCHEMA) -> tuple[bytes, Any]:
    shape = parse(1, json.dumps(schema)).shape
    out = io.BytesIO()
    fastavro.schemaless_writer(out, shape.parsed, shape.datum(value, Work()))
    return out.getvalue(), shape.parsed


def read(value: Any, schema: Any = SCHEMA) -> Any:
    data, parsed = written(value, schema)
    return fastavro.schemaless_reader(io.BytesIO(data), parsed)


def test_missing_fields_get_defaults_and_unknown_fields_are_dropped() -> None:
    decoded = read({"n": 1, "strange": 2})
    assert decoded["b"] == b"\xff" and decoded["f"] == b"ab" and decoded["u"] is None and decoded["l"] == -1
    assert "strange" not in decoded


def test_a_recursive_record_survives_a_round_trip() -> None:
    value = {"n": 1, "next": {"jp.R": {"n": 2, "next": {"R": {"n": 3}}}}}
    assert read(value)["next"]["next"]["n"] == 3


@pytest.mark.parametrize(
    ("posted", "branch"), [({"int": 5}, 1), ({"long": 5}, 2), ({"string": "A"}, 3), ({"E": "A"}, 4), ({"jp.E": "A"}, 4)]
)
def test_a_union_value_is_written_as_its_named_branch(posted: Any, branch: int) -> None:
    data, _ = written(posted, ["null", "int", "long", "string", {"type": "enum", "name": "jp.E", "symbols": ["A"]}])
    assert data[0] == branch * 2


RENAMED: dict[str, Any] = {
    "type": "record", "name": "jp.Now", "aliases": ["Then", "old.Before"],
    "fields": [
        {"name": "n", "aliases": ["number", "count"], "type": "int"},
        {"name": "kind", "aliases": ["type"], "type": "string", "default": "none"},
        {"name": "next", "aliases": ["after"], "type": ["null", "jp.Now", {
            "type": "enum", "name": "Colour", "aliases": ["Color"], "symbols": ["RED"]}], "default": None},
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", ["jp.Now", "Now", "Then", "jp.Then", "old.Before", "Before"])
def test_fields_and_branches_may_be_named_by_aliases(name: str) -> None:
    posted = {"count": 1, "type": "x", "after": {name: {"number": 2, "next": {"Color": "RED"}}}}
    assert read(posted, RENAMED) == {"n": 1, "kind": "x", "next": {"n": 2, "kind": "none", "next": "RED"}}


@pytest.mark.parametrize(
    ("posted", "n"), [({"n": 1, "number": 2}, 1), ({"number": 2, "n": 1}, 1), ({"count": 3, "number": 2}, 2)]
)
def test_a_fields_own_name_wins_over_its_aliases(posted: dict[str, int], n: int) -> None:
    assert read(posted, RENAMED)["n"] == n


@pytest.mark.parametrize(
    ("posted", "field"),
    [({"number": "x"}, "number"), ({"numbers": 1}, "n"), ({"n": 1, "after": {"Never": {}}}, "after")],
)
def test_an_error_names_the_alias_that_was_posted(posted: dict[str, Any], field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read(posted, RENAMED)
    assert caught.value.field == field


def test_odd_aliases_are_ignored() -> None:
    schema = {"type": "record", "name": "R", "fields": [{"name": "n", "aliases": [5, ["m"], None], "type": "int"}]}
    assert read({"n": 1}, schema) == {"n": 1}


def test_many_aliases_cost_work() -> None:
    aliases = [f"a{number}" for number in range(3_000)]
    record = {"type": "record", "name": "R", "fields": [{"name": "n", "aliases": aliases, "type": "int", "default": 0}]}
    with pytest.raises(DecodeError, match="too much work"):
        read([{}] * 1_000, {"type": "array", "items": record})
    union = {"type": "array", "items": ["null", {**record, "fields": [], "aliases": aliases}]}
    with pytest.raises(DecodeError, match="too much work"):
        read([{"a1": {}}] * 1_000, union)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"n": None}, "n"), ({"n": 2**31}, "n"), ({"n": -(2**31) - 1}, "n"), ({"n": 1.5}, "n"), ({"n": True}, "n"),
        ({"n": "1"}, "n"), ({"l": 2**63}, "l"), ({"d": "x"}, "d"), ({"d": True}, "d"), ({"b": "\u0100"}, "b"),
        ({"b": 5}, "b"), ({"f": "abc"}, "f"), ({"e": "C"}, "e"), ({"e": 0}, "e"), ({"a": "x"}, "a"),
        ({"a": [1]}, "a[0]"), ({"m": []}, "m"), ({"m": {"k": 1}}, "m.k"), ({"u": "x"}, "u"),
        ({"u": {"int": 5, "long": 5}}, "u"),
        ({"u": {"float": 5}}, "u"), ({"u": {"null": None}}, "u"), ({"next": {"n": 1}}, "next"),
        ({"next": {"R": {"n": "x"}}}, "next.R.n"), ({"t": "now"}, "t"),
    ],
)  # fmt: skip
def test_an_invalid_value_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        read({"n": 1, **change})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("value", "fits"), [(3.4e38, True), (-3.4e38, True), (3.5e38, False), (-1e39, False), (10**39, False)]
)
def test_a_number_beyond_the_range_of_a_float_is_refused(value: float, fits: bool) -> None:
    if fits:
        assert read(value, "float") == pytest.approx(value)
        return
    with pytest.raises(DecodeError, match="too large for a float"):
        read(value, "float")


@pytest.mark.parametrize("value", ["x", "n", 5, [], None, ["n"], {}])
def test_a_value_that_is_not_a_record_is_refused(value: Any) -> None:
    with pytest.raises(DecodeError):
        read(value)


KEYS = st.sampled_from([*"nldbfeamut", "next", "R", "int"])
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner),
    max_leaves=20,
)


@given(PLAIN)
def test_any_json_raises_only_decode_errors(value: Any) -> None:
    with contextlib.suppress(DecodeError):
        read(value)


def test_generated_data_survives_the_json_encoding() -> None:
    schema = fastavro.parse_schema(SCHEMA | {"name": "jp.S", "fields": SCHEMA["fields"][:8]}, named_schemas={})
    for datum in generate_many(schema, 50):
        text = io.StringIO()
        fastavro.json_writer(text, schema, [datum])
        assert read(json.loads(text.getvalue()), SCHEMA | {"name": "jp.S", "fields": SCHEMA["fields"][:8]}) == datum
