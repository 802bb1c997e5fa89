"""The formats of the REST proxy: one spelling of JSON, nulls in Avro, base64 without padding."""

import base64
import json
from typing import Any

import pytest
from edge_listeners import AVRO, BINARY, running_edge
from hypothesis import given
from hypothesis import strategies as st
from test_codec import MODELS
from test_edge_contents import BEACON, rest

from infra.schema_registry import parse
from schemas.codec import decode_request
from streams.edge.http.errors import HttpError
from streams.edge.rest.formats import Avro, Part, compact

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("spellings", "stored"),
    [
        ([b'{"id": 1}', b'{"id":1}', b'{ "id"\t:\r\n1 }', b'{"\\u0069d": 1}'], b'{"id":1}'),
        ([b'"\\u3042"', '"あ"'.encode()], '"あ"'.encode()),
        ([b'"\\ud83d\\ude00"', b'"\\uD83D\\uDE00"', '"😀"'.encode()], '"😀"'.encode()),
        ([b'"a\\/\\u0022 b"', b'"a/\\" b"'], b'"a/\\" b"'),
        ([b"[ 1e400 , 0.1000,12345678901234567890123 , -0]"], b"[1e400,0.1000,12345678901234567890123,-0]"),
        ([b'{"a": 1, "a": 2}'], b'{"a":1,"a":2}'),
    ],
)
async def test_a_json_key_has_one_spelling(spellings: list[bytes], stored: bytes) -> None:
    async with running_edge(proxy_topics=["other"]) as edge:
        for spelling in spellings:
            body = b'{"records":[{"key":%b,"value":%b}]}' % (spelling, spelling)
            assert (await edge.post("/topics/other", body, private=True))[0] == 200
        assert {(record.key, record.place_by, record.value) for record in edge.records} == {(stored, stored, stored)}


@pytest.mark.parametrize(
    ("posted", "stored"),
    [
        (rb'"\ud83d"', "\ufffd"),
        (rb'"\uD83D x"', "\ufffd x"),
        (rb'"x\ude00"', "x\ufffd"),
        (rb'"\ud83d\ud83d\ude00\ude00"', "\ufffd😀\ufffd"),
        (rb'"\ud83d\u0041"', "\ufffdA"),
        (rb'"\\ud83d \\\ud83d \"\ud83d"', '\\ud83d \\\ufffd "\ufffd'),
        (rb'"\ud83d\ude00"', "😀"),
    ],
)
async def test_half_a_character_refuses_no_batch(posted: bytes, stored: str) -> None:
    async with running_edge(proxy_topics=["free"]) as edge:
        body = b'{"records":[{"value":{"a":[%b]}},{"key":%b,"value":1}]}' % (posted, posted)
        status, answer = await edge.post("/topics/free", body, private=True)
        assert (status, len(answer["offsets"])) == (200, 2), answer
        first, second = edge.records
        assert (json.loads(first.value), json.loads(second.key or b"")) == ({"a": [stored]}, stored)
        for broken in (rb'"\ud83d\u12"', rb'"\ud8"', rb'"\ud83d', rb'"\ud83d\x"'):
            body = b'{"records":[{"value":%b}]}' % broken
            assert (await edge.post("/topics/free", body, private=True))[0] == 400, broken


async def test_half_a_character_refuses_no_beacon_and_no_request() -> None:
    text = json.dumps({**BEACON, "sections": [["見出し?", 0, 10]]}).replace("?", "\\ud83d").encode()
    for path, body in (("/e/heatmap.events", text), ("/topics/heatmap.events", b'{"records":[{"value":%b}]}' % text)):
        async with running_edge() as edge:
            status, _ = await edge.post(path, body)
            assert status in (200, 204)
            assert json.loads(edge.records[0].value)["sections"] == [["見出し\ufffd", 0, 10]]
    request = MODELS["generation_request"].model_dump(mode="json") | {"industry": "飲食?"}
    assert decode_request(json.dumps(request).replace("?", "\\ude00").encode()).industry == "飲食\ufffd"


@given(JSON_VALUES)
def test_json_has_the_same_bytes_however_it_is_written(value: Any) -> None:
    written = (json.dumps(value), json.dumps(value, indent=2), json.dumps(value, ensure_ascii=False))
    stored = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    assert {compact(text.encode()) for text in written} == {compact(stored.encode())}
    assert json.loads(compact(stored.encode())) == value


@pytest.mark.parametrize("part", ["key", "value"])
@pytest.mark.parametrize(
    ("schema", "datum"),
    [
        ('"string"', None),
        ('{"type":"record","name":"R","fields":[]}', None),
        ('["string","int"]', None),
        ('["string","null"]', b"\x02"),
        ('"null"', b""),
    ],
)
async def test_a_null_in_avro_is_a_datum_of_its_schema(part: Part, schema: str, datum: bytes | None) -> None:
    form = Avro({part: parse(7, schema)}, 100, 100)
    if datum is not None:
        assert form.encode(part, b"null", "where") == b"\x00\x00\x00\x00\x07" + datum
        return
    with pytest.raises(HttpError, match="where: is") as refused:
        form.encode(part, b"null", "where")
    assert (refused.value.status, refused.value.code) == (422, 42203)


async def test_a_null_or_missing_part_without_a_schema_is_a_tombstone() -> None:
    assert Avro({}, 100, 100).encode("value", b"null", "where") is None
    async with running_edge(proxy_topics=["heatmap.other"]) as edge:
        for record in ({}, {"value": None}, {"key": None}):
            body = json.dumps({"records": [record]}).encode()
            assert (await edge.post("/topics/heatmap.other", body, AVRO, private=True))[0] == 200
        assert [(record.key, record.value) for record in edge.records] == [(None, None)] * 3


@pytest.mark.parametrize("data", [b"", b"a", b"ab", b"abc", b"\xff\xfe"])
async def test_base64_needs_no_padding(data: bytes) -> None:
    padded = base64.b64encode(data).decode()
    async with running_edge(proxy_topics=["other"]) as edge:
        for text in (padded, padded.rstrip("=")):
            body = rest(json.dumps(text).encode(), key=text)
            assert (await edge.post("/topics/other", body, BINARY, private=True))[0] == 200
        assert {(record.key, record.value) for record in edge.records} == {(data, data)}


@pytest.mark.parametrize("text", ["Y", "YWFhY", "Y Q", "Y=Q", "Y-_=", "YQ\n", "é"])
async def test_text_that_is_not_base64_is_refused(text: str) -> None:
    async with running_edge(proxy_topics=["other"]) as edge:
        status, answer = await edge.post("/topics/other", rest(json.dumps(text).encode()), BINARY, private=True)
        assert (status, answer["message"]) == (400, "records[0].value: is not a base64 string")
