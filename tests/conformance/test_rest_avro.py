"""REST Proxy v2, Avro: schemas by text and by id, framing, and invalid values."""

import json
import struct
import urllib.request
from typing import Any

import pytest
from conformance.proxy import AVRO, Proxy
from patience import PATIENCE_S

pytestmark = [pytest.mark.stack, pytest.mark.covers()]
USER = {"type": "record", "name": "User", "fields": [{"name": "name", "type": "string"}]}
TEXT = json.dumps(USER)


@pytest.fixture(autouse=True)
def registry(proxy: Proxy) -> str:
    if proxy.registry is None:
        pytest.skip("LPSTREAM_CONFORMANCE_REGISTRY is not set")
    return proxy.registry


def subjects(registry: str) -> list[str]:
    with urllib.request.urlopen(f"{registry}/subjects", timeout=PATIENCE_S) as answer:
        found: list[str] = json.loads(answer.read())
        return found


def framed(value: bytes) -> int:
    magic, schema_id = struct.unpack_from(">bI", value)
    assert magic == 0
    return int(schema_id)


@pytest.mark.covers("M15", "M16", "M20", "N02")
async def test_a_schema_can_be_given_by_text_and_by_id(proxy: Proxy, topic: str, registry: str) -> None:
    sent = [{"value": {"name": "a"}}, {"key": None, "value": {"name": "b"}}]
    answer = await proxy.produce(topic, {"value_schema": TEXT, "records": sent}, AVRO)
    assert answer.status == 200
    schema_id = answer.body["value_schema_id"]
    assert schema_id > 0 and answer.body["key_schema_id"] is None
    assert f"{topic}-value" in subjects(registry)
    for posted in (schema_id, str(schema_id)):
        answer = await proxy.produce(topic, {"value_schema_id": posted, "records": [{"value": {"name": "c"}}]}, AVRO)
        assert (answer.status, answer.body["value_schema_id"]) == (200, schema_id)
    stored = await proxy.records(topic, 4)
    assert {framed(one.value) for one in stored} == {schema_id}
    assert sorted(one.value[5:] for one in stored) == [b"\x02a", b"\x02b", b"\x02c", b"\x02c"]


@pytest.mark.covers("M17")
async def test_keys_may_have_schemas_and_primitive_types(proxy: Proxy, topic: str) -> None:
    body = {"key_schema": '"string"', "value_schema": '{"type":"int"}', "records": [{"key": "k", "value": 5}]}
    answer = await proxy.produce(topic, body, AVRO)
    assert answer.status == 200
    (stored,) = await proxy.records(topic, 1)
    assert (framed(stored.key), framed(stored.value)) == (answer.body["key_schema_id"], answer.body["value_schema_id"])
    assert (stored.key[5:], stored.value[5:]) == (b"\x02k", b"\x0a")


@pytest.mark.covers("M18", "M19")
async def test_every_key_and_value_needs_a_schema(proxy: Proxy, topic: str) -> None:
    answer = await proxy.produce(topic, {"records": [{"value": {"name": "a"}}]}, AVRO)
    assert (answer.status, answer.code) == (422, 42202)
    body = {"value_schema": TEXT, "records": [{"key": "k", "value": {"name": "a"}}]}
    answer = await proxy.produce(topic, body, AVRO)
    assert (answer.status, answer.code) == (422, 42201)
    assert await proxy.end_offsets(topic) == 0


@pytest.mark.covers("M21")
async def test_an_unknown_schema_id_is_refused(proxy: Proxy, topic: str) -> None:
    answer = await proxy.produce(topic, {"value_schema_id": 666_666, "records": [{"value": 1}]}, AVRO)
    if proxy.ours:
        assert (answer.status, answer.code) == (422, 42207)
    assert answer.code in (42205, 42207, 40801)


async def test_a_schema_id_of_another_subject_is_refused(proxy: Proxy, topic: str) -> None:
    other = next(proxy.topics)
    body = {"value_schema": '{"type":"fixed","size":2,"name":"F"}', "records": []}
    answer = await proxy.produce(topic, {**body, "records": [{"value": "ab"}]}, AVRO)
    assert answer.status == 200
    taken = {"value_schema_id": answer.body["value_schema_id"], "records": [{"value": "ab"}]}
    if proxy.ours:
        answer = await proxy.produce(other, taken, AVRO)
        assert (answer.status, answer.code) == (422, 42207)


@pytest.mark.covers("M22")
@pytest.mark.parametrize("value", [{"nome": "a"}, {"name": 5}, 5, "x", [], {"name": None}, {}, None])
async def test_an_invalid_value_refuses_the_whole_request(proxy: Proxy, topic: str, value: Any) -> None:
    body = {"value_schema": TEXT, "records": [{"value": {"name": "a"}}, {"value": value}]}
    answer = await proxy.produce(topic, body, AVRO)
    assert answer.status in (400, 422) and answer.code in (400, 42203, 42205)
    assert await proxy.end_offsets(topic) == 0


@pytest.mark.covers("M22")
@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 1.5, True, "1", 10**30])
async def test_numbers_outside_their_type_are_refused(proxy: Proxy, topic: str, number: Any) -> None:
    answer = await proxy.produce(topic, {"value_schema": '"int"', "records": [{"value": number}]}, AVRO)
    assert answer.status in (400, 422)
    assert await proxy.end_offsets(topic) == 0


@pytest.mark.covers("M23")
async def test_an_incompatible_schema_is_refused(proxy: Proxy, topic: str) -> None:
    assert (
        await proxy.produce(topic, {"value_schema": TEXT, "records": [{"value": {"name": "a"}}]}, AVRO)
    ).status == 200
    other = {"type": "record", "name": "User", "fields": [{"name": "age", "type": "int"}]}
    answer = await proxy.produce(topic, {"value_schema": json.dumps(other), "records": [{"value": {"age": 5}}]}, AVRO)
    assert (answer.status, answer.code) in ({(422, 42207)} if proxy.ours else {(422, 42207), (408, 40801)})


@pytest.mark.parametrize("text", ["{", '{"type":"record"}', '"nope"', "5", "[" * 3_000])
async def test_an_invalid_schema_is_refused(proxy: Proxy, topic: str, text: str) -> None:
    answer = await proxy.produce(topic, {"value_schema": text, "records": [{"value": 1}]}, AVRO)
    assert (answer.status, answer.code) in (
        {(422, 42205)} if proxy.ours else {(422, 42205), (422, 42207), (408, 40801)}
    )


async def test_union_values_are_given_with_their_type(proxy: Proxy, topic: str) -> None:
    schema = '{"type":"record","name":"R","fields":[{"name":"a","type":["null","string"]}]}'
    sent = [{"value": {"a": None}}, {"value": {"a": {"string": "x"}}}]
    answer = await proxy.produce(topic, {"value_schema": schema, "records": sent}, AVRO)
    assert answer.status == 200
    assert sorted(one.value[5:] for one in await proxy.records(topic, 2)) == [b"\x00", b"\x02\x02x"]


async def test_a_null_is_a_datum_of_its_schema_and_else_a_tombstone(proxy: Proxy, topic: str) -> None:
    if not proxy.ours:
        pytest.skip("Confluent's proxy refuses a null that the schema forbids; its other nulls were not run")
    nullable = {"value_schema": '["null","string"]', "records": [{"value": None}, {}]}
    bare = {"key_schema": '"string"', "records": [{"key": "k", "value": None}, {"key": "k"}]}
    for body in (nullable, bare):
        answer = await proxy.produce(topic, body, AVRO)
        assert answer.status == 200, answer
    stored = [(one.key and one.key[5:], one.value and one.value[5:]) for one in await proxy.records(topic, 4)]
    assert sorted(stored, key=str) == [*[(None, b"\x00")] * 2, *[(b"\x02k", None)] * 2]
    answer = await proxy.produce(topic, {**bare, "records": [{"value": None}]}, AVRO)
    assert (answer.status, answer.code) == (422, 42203)


async def test_fields_and_branches_may_be_named_by_aliases(proxy: Proxy, topic: str) -> None:
    if proxy.dialect == "karapace":
        pytest.skip("its decoder knows no aliases; Java's does")
    inner = {"type": "record", "name": "Inner", "aliases": ["Was"], "fields": [{"name": "a", "type": "int"}]}
    fields = [
        {"name": "name", "aliases": ["title"], "type": "string"},
        {"name": "inner", "type": ["null", inner], "default": None},
    ]
    schema = json.dumps({"type": "record", "name": "R", "fields": fields})
    sent = [{"value": {"title": "a", "inner": None}}]
    sent += [{"value": {"name": "b", "inner": {"Was": {"a": 1}}}}] if proxy.ours else []
    answer = await proxy.produce(topic, {"value_schema": schema, "records": sent}, AVRO)
    assert answer.status == 200, answer
    assert sorted(one.value[5:] for one in await proxy.records(topic, len(sent))) == [b"\x02a\x00", b"\x02b\x02\x02"]
