"""Small schemas and bodies that cause much work are refused.

Work is counted in function calls, not time.
"""

import contextlib
import io
import json
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import fastavro
import msgspec
import pytest
from edge_listeners import AVRO, running_edge
from hypothesis import given, settings
from hypothesis import strategies as st
from test_edge_contents import BEACON, STORED

from infra.schema_registry import Kept, OwnSchemas, own_text, parse
from schemas.avro_bounds import MOST_DEPTH, MOST_NAME, MOST_NAMED, MOST_TEXT, MOST_VALUES
from schemas.avro_json import MOST_DEFAULT, MOST_STEPS, Work
from schemas.codec import beacon_from_avro_json
from schemas.errors import DecodeError, Refused, TooMuchError
from schemas.heatmap import encode_beacon
from streams.edge.http.errors import HttpError
from streams.edge.rest.formats import Avro

CALLS_A_STEP = 8


def record(name: str, *fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def doubling(levels: int) -> dict[str, Any]:
    """Return a record of two records of two records …; every field has a default."""
    inner: Any = record("R0", {"name": "n", "type": "int", "default": 0})
    for level in range(1, levels + 1):
        first = {"name": "a", "type": inner, "default": {}}
        inner = record(f"R{level}", first, {"name": "b", "type": f"R{level - 1}", "default": {}})
    return dict(inner)


def calls(work: Callable[[], object]) -> int:
    """Return how many Python and C functions `work` calls. Refusals that it raises are ignored."""
    count = 0

    def note(_: FrameType, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        with contextlib.suppress(Refused, DecodeError, HttpError):
            work()
    finally:
        sys.setprofile(None)
    return count


def test_defaults_that_double_at_each_level_are_refused() -> None:
    assert parse(1, json.dumps(doubling(8))).shape.datum({}, Work()) is not None
    for levels in (12, 15):
        text = json.dumps(doubling(levels))
        assert len(text) < 2_100
        with pytest.raises(Refused, match="too much work"):
            parse(1, text)
        assert calls(lambda text=text: parse(1, text)) < 4_000  # type: ignore[misc]


def test_a_default_that_contains_itself_is_refused() -> None:
    schema = record("R", {"name": "next", "type": "R", "default": {}})
    with pytest.raises(Refused, match="holds itself"):
        parse(1, json.dumps(schema))


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        (record("R", {"name": "a", "type": "int", "doc": "x" * MOST_TEXT}), "longer than"),
        (record("R", {"name": "a", "type": {"type": "enum", "name": "E", "symbols": ["A"] * MOST_VALUES}}), "values"),
        ([{"type": "fixed", "name": f"F{number}", "size": 1} for number in range(MOST_NAMED + 1)], "named types"),
        (record("R" * (MOST_NAME + 1)), "name of more"),
        (record("R", {"name": "a", "type": "int", "default": [[[[[]]]]]}), "not an Avro schema"),
        ({"type": "fixed", "name": "F", "size": 10**400, "logicalType": "decimal", "precision": 1}, "not an Avro"),
        ({"type": "fixed", "name": "F", "size": "1", "logicalType": "decimal", "precision": 1}, "not an Avro schema"),
        ({"type": {"type": "int"}}, "not an Avro schema"),
    ],
)
def test_schema_limits_apply_before_the_schema_is_built(schema: Any, message: str) -> None:
    with pytest.raises(Refused, match=message):
        parse(1, json.dumps(schema))


@pytest.mark.parametrize("text", ["[" * 60_000, '{"type":' * 8_000, "[" * MOST_DEPTH + "]" * MOST_DEPTH])
def test_a_deep_schema_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        parse(1, text)


def test_a_union_default_is_written_by_the_first_branch() -> None:
    inner: Any = record("R0", {"name": "n", "type": "int", "default": 0})
    for level in range(1, 13):
        inner = record(f"R{level}", {"name": "a", "type": [inner, "null"], "default": {}})
    shape = parse(1, json.dumps(inner)).shape
    out = io.BytesIO()
    fastavro.schemaless_writer(out, shape.parsed, shape.datum({}, Work()))
    assert out.getvalue() == b"\x00" * 13


def test_a_default_of_the_wrong_type_is_ignored() -> None:
    shape = parse(1, json.dumps(record("R", {"name": "a", "type": ["string", "null"], "default": None}))).shape
    with pytest.raises(DecodeError, match="does not fit"):
        shape.datum({}, Work())
    assert shape.datum({"a": None}, Work()) == {"a": None}


def avro(schema: Any, body: int = 0) -> Avro:
    return Avro({"value": parse(1, json.dumps(schema))}, body, MOST_TEXT)


MANY_DEFAULTS = {
    "type": "array",
    "items": record("R", *[{"name": f"f{number}", "type": "string", "default": "x" * 30} for number in range(50)]),
}
MANY_SYMBOLS = {"type": "array", "items": {"type": "enum", "name": "E", "symbols": [f"S{n}" for n in range(3_900)]}}
WIDE = {"type": "array", "items": ["null", *[{"type": "fixed", "name": f"F{n}", "size": 1} for n in range(200)]]}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (MANY_DEFAULTS, [{}] * 20_000),
        (MANY_SYMBOLS, ["S3899"] * 6_000),
        (WIDE, [{"F199": "x"}] * 4_000),
        (record("R", *[{"name": f"n{n}", "type": "null", "default": None} for n in range(900)]), {}),
    ],
)
def test_encoding_a_value_stays_within_its_step_budget(schema: Any, value: Any) -> None:
    posted = msgspec.json.encode(value)
    form = avro(schema, len(posted))
    assert len(posted) <= MOST_TEXT
    assert calls(lambda: form.encode("value", posted, "records[0].value")) < CALLS_A_STEP * MOST_STEPS


def test_values_of_a_request_share_one_budget() -> None:
    wide = {"type": "array", "items": MANY_DEFAULTS["items"]}
    form = avro(wide, 20_000)
    with pytest.raises(HttpError, match="too much work"):
        for _ in range(5_000):
            form.encode("value", b"[]", "records[0].value")  # fastavro parses such a schema for each value


def test_a_large_value_is_refused_before_it_is_decoded() -> None:
    form = Avro({"value": parse(1, '{"type":"array","items":"int"}')}, 2**20, MOST_TEXT)
    posted = b"[" + b"1," * 40_000 + b"1]"
    with pytest.raises(HttpError, match="larger than") as caught:
        form.encode("value", posted, "records[0].value")
    assert caught.value.status == 413 and calls(lambda: form.encode("value", posted, "x")) < 20


PRIMITIVES = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "string", "bytes", "R", "jp.R"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=3) | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*"abn", "int", "R"]), inner, max_size=3)
    ),
    max_leaves=10,
)


def _grown(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    name = st.sampled_from(["R", "S", "jp.R", "E"])
    field = st.fixed_dictionaries({"name": st.sampled_from("abn"), "type": inner}, optional={"default": JSON})
    return st.one_of(
        st.lists(inner, max_size=3),
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}, optional={"default": JSON}),
        st.fixed_dictionaries({"type": st.just("map"), "values": inner}),
        st.fixed_dictionaries({"type": st.just("record"), "name": name, "fields": st.lists(field, max_size=4)}),
        st.fixed_dictionaries({"type": st.just("fixed"), "name": name, "size": JSON}),
        st.fixed_dictionaries({"type": st.just("enum"), "name": name, "symbols": st.lists(st.text(max_size=2))}),
        st.fixed_dictionaries({"type": PRIMITIVES}, optional={"logicalType": st.just("decimal"), "precision": JSON}),
    )


@settings(max_examples=300)
@given(st.recursive(PRIMITIVES, _grown, max_leaves=12), JSON)
def test_any_schema_and_value_cost_little_and_raise_only_refusals(schema: Any, value: Any) -> None:
    text, posted = json.dumps(schema), msgspec.json.encode(value) if _fits(value) else b"{}"

    def work() -> None:
        Avro({"value": parse(1, text)}, len(posted), MOST_TEXT).encode("value", posted, "records[0].value")

    assert calls(work) < 2_000 + 40 * (len(text) + len(posted)) + CALLS_A_STEP * MOST_DEFAULT


def _fits(value: Any) -> bool:
    try:
        msgspec.json.encode(value)
    except OverflowError:
        return False
    return True


def avro_beacon(**change: Any) -> bytes:
    sections = [dict(zip(("name", "top", "bottom"), row, strict=True)) for row in BEACON["sections"]]
    return json.dumps({**BEACON, "sections": sections, **change}).encode()


def test_an_avro_beacon_is_decoded_in_few_python_calls() -> None:
    assert encode_beacon(beacon_from_avro_json(avro_beacon())) == STORED
    for change in ({"x": [0] * 20_000}, {"sections": [[]] * 20_000}, {"strange": [{}] * 20_000}):
        assert calls(lambda change=change: beacon_from_avro_json(avro_beacon(**change))) < 400  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"sections": 5}, "sections"),
        ({"sections": [["hero", 0, 1]]}, "sections"),
        ({"sections": [{"name": "hero", "top": 0}]}, "sections[0].bottom"),
        ({"sections": [{"name": "hero", "top": 0, "bottom": "1"}]}, "sections"),
        ({"dt": None}, "dt"),
        ({"dt": [0]}, "dt"),
    ],
)
def test_an_invalid_avro_beacon_names_the_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(DecodeError) as caught:
        beacon_from_avro_json(avro_beacon(**change))
    assert caught.value.field.startswith(field)


RENAMED = {"pageview_id": ["view", "visit"], "lp_id": ["page"], "name": ["title"]}


def with_aliases(schema: Any) -> Any:
    """Return our schema's JSON with aliases for some fields."""
    if isinstance(schema, list):
        return [with_aliases(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: with_aliases(each) for name, each in schema.items()}
    return {**changed, "aliases": RENAMED[schema["name"]]} if schema.get("name") in RENAMED else changed


async def test_our_schema_may_be_posted_with_aliases() -> None:
    text = json.dumps(with_aliases(json.loads(own_text("heatmap_beacon"))))
    beacon = json.loads(avro_beacon())
    beacon |= {"visit": beacon.pop("pageview_id"), "page": beacon.pop("lp_id")}
    for section in beacon["sections"]:
        section["title"] = section.pop("name")
    body = json.dumps({"value_schema": text, "records": [{"value": beacon}]}).encode()
    async with running_edge() as edge:
        status, answer = await edge.post("/topics/heatmap.events", body, AVRO)
        assert status == 200, answer
        status, answer = await edge.post("/topics/heatmap.events", body.replace(b'"visit"', b'"visits"'), AVRO)
        assert status == 422, answer


async def test_an_avro_body_on_the_public_port_is_64_kib_at_most() -> None:
    body = json.dumps({"value_schema_id": 1, "records": [{"value": json.loads(avro_beacon())}]}).encode()
    async with running_edge() as edge:
        assert (await edge.post("/topics/heatmap.events", body + b" " * 65_536, AVRO))[0] == 413
        assert (await edge.post("/topics/heatmap.events", body, AVRO))[0] == 200


async def test_a_foreign_text_of_our_schema_is_bounded_in_size() -> None:
    own = OwnSchemas()
    text = json.dumps({**json.loads(own_text("heatmap_beacon")), "doc": "x" * 20_000})
    with pytest.raises(Refused, match="longer than 16384"):
        await own.by_text("heatmap.events-value", text, register=False)
    with pytest.raises(Refused):
        await own.by_text("heatmap.events-value", json.dumps(doubling(15)), register=False)


def test_the_schema_cache_is_bounded() -> None:
    cache = Kept()
    schema = parse(1, json.dumps(MANY_SYMBOLS))
    for number in range(500):
        cache.keep(number, schema)
    assert sum(cache.get(number) is not None for number in range(500)) <= 200_000 // schema.values
    assert cache.get(499) is schema


def test_exceeding_the_work_budget_raises_too_much_error() -> None:
    with pytest.raises(TooMuchError):
        Work(3).take(4)
