"""Framed Avro of other writers: their schemas come from a registry that speaks Confluent's protocol."""

import base64
import io
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import fields
from typing import Any

import fastavro
import msgspec
import numpy as np
import pytest
import pytest_asyncio
from edge_listeners import AVRO, BINARY, TOKEN, running_edge
from registries import SmallRegistry
from test_codec import MODELS
from test_edge_contents import BEACON as POSTED

from infra.schema_registry import ConfluentRegistry, OwnSchemas, own_text
from infra.writer_schemas import AGAIN_S, ASKED_S, MOST_ASKED, REFUSED_S, LateSchemas, WriterSchemas
from processors.heatmap.decode import decode
from schemas import codec
from schemas.avro_bounds import check_readable
from schemas.codec import BEACON, HEADER, REQUEST, decode_framed, decode_request, encode_framed, to_beacon
from schemas.errors import DecodeError, Refused, Retryable
from streams.edge.http.errors import HttpError
from streams.edge.rest.formats import Binary
from streams.edge.rest.produce import ProduceRecord, Target, _checked, _format
from streams.edge.services import Services
from streams.runtime.settings import Settings

SUBJECTS = {BEACON: "heatmap.events-value", REQUEST: "lp.requests-value"}
DATA: dict[str, Any] = {
    BEACON: POSTED,
    REQUEST: MODELS[REQUEST].model_dump(mode="json"),
}
READ: dict[str, Any] = {BEACON: to_beacon, REQUEST: decode_request}


class Clock:
    """A clock that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def only_fixed_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "_writers", {})
    monkeypatch.setattr(codec, "_own_ids", {})


@pytest.fixture
def registry() -> Iterator[SmallRegistry]:
    started = SmallRegistry()
    started.fill(100)
    yield started
    started.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def client(registry: SmallRegistry) -> AsyncIterator[ConfluentRegistry]:
    opened = ConfluentRegistry(registry.url)
    yield opened
    await opened.close()


@pytest.fixture
def writers(client: ConfluentRegistry, clock: Clock) -> WriterSchemas:
    return WriterSchemas(client, clock)


def changed(name: str, how: str) -> dict[str, Any]:
    """Return a schema of another writer for the project's schema of that name."""
    schema: dict[str, Any] = json.loads(own_text(name))
    if how == "evolved":
        schema["fields"].insert(1, {"name": "campaign", "type": ["null", "string"], "default": None})
    if how == "of a Java class":
        text = json.dumps(schema).replace('"string"', '{"type": "string", "avro.java.string": "String"}')
        schema = json.loads(text)
    if how == "in another order":
        schema["fields"].reverse()
        schema = json.loads(json.dumps(schema).replace("jp.lpstream", "com.example"))
    if how == "without a default":
        schema["fields"] = [field for field in schema["fields"] if field["name"] not in ("rate", "tone")]
    return schema


def framed(schema: dict[str, Any], schema_id: int, name: str) -> bytes:
    """Return the example in a writer's schema."""
    value = codec._to_avro(name, DATA[name]) | {"campaign": "spring"}
    out = io.BytesIO()
    out.write(HEADER.pack(0, schema_id))
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema, named_schemas={}), value)
    return out.getvalue()


@pytest.mark.parametrize("name", [BEACON, REQUEST])
@pytest.mark.parametrize("how", ["as it is", "evolved", "of a Java class", "in another order", "without a default"])
async def test_a_writers_own_schema_is_read(
    registry: SmallRegistry, client: ConfluentRegistry, writers: WriterSchemas, name: str, how: str
) -> None:
    codec.learn_ids(await client.own_ids())
    schema = changed(name, how)
    value = framed(schema, registry.add(SUBJECTS[name], json.dumps(schema)), name)
    with pytest.raises(DecodeError, match=rf"{name} has id 10\d$"):
        READ[name](value)
    await writers.learn(name, [value, b"", None, b"{}", b"\x00\x01"])
    expected = READ[name](encode_framed(name, DATA[name]))
    assert READ[name](value) == expected
    calls = registry.calls
    await writers.learn(name, [value] * 1_000)
    assert registry.calls == calls, "a known id is not asked for again"


async def test_the_columns_of_heatmaps_hold_an_evolved_beacon(registry: SmallRegistry, writers: WriterSchemas) -> None:
    schema = changed(BEACON, "evolved")
    value = framed(schema, registry.add(SUBJECTS[BEACON], json.dumps(schema)), BEACON)
    await writers.learn(BEACON, [value])
    decoded = decode([value, encode_framed(BEACON, DATA[BEACON])], np.array([POSTED["t0"]] * 2))
    assert decoded.rejected == [] and decoded.identities[0] == decoded.identities[1]


async def test_an_id_of_a_registry_is_not_read_by_a_fixed_id(registry: SmallRegistry, writers: WriterSchemas) -> None:
    schema = changed(BEACON, "evolved")
    registry._texts[0] = json.dumps(schema)
    registry._subjects[SUBJECTS[BEACON]] = [1]
    value = framed(schema, 1, BEACON)
    await writers.learn(BEACON, [value])
    assert to_beacon(value) == to_beacon(json.dumps(DATA[BEACON]).encode())


@pytest.mark.parametrize("name", [BEACON, REQUEST])
async def test_a_schema_of_another_subject_is_refused(
    registry: SmallRegistry, writers: WriterSchemas, name: str
) -> None:
    schema = changed(name, "evolved")
    value = framed(schema, registry.add("other-value", json.dumps(schema)), name)
    await writers.learn(name, [value])
    with pytest.raises(DecodeError, match="has schema id 101"):
        READ[name](value)


async def test_invented_ids_make_few_calls(registry: SmallRegistry, writers: WriterSchemas, clock: Clock) -> None:
    await writers.learn(BEACON, [HEADER.pack(0, 9_999)] * 100)
    calls = registry.calls
    for _ in range(100):
        await writers.learn(BEACON, [HEADER.pack(0, 9_999)])
    assert registry.calls == calls
    for number in range(1_000):
        await writers.learn(BEACON, [HEADER.pack(0, 10_000 + number)])
    assert registry.calls - calls <= 2 * MOST_ASKED
    clock.now = max(REFUSED_S, ASKED_S) + 1
    schema = changed(BEACON, "evolved")
    value = framed(schema, registry.add(SUBJECTS[BEACON], json.dumps(schema)), BEACON)
    await writers.learn(BEACON, [value])
    assert to_beacon(value)


async def test_a_schema_that_was_refused_is_asked_for_again(
    registry: SmallRegistry, writers: WriterSchemas, clock: Clock
) -> None:
    schema = changed(BEACON, "evolved")
    value = framed(schema, 101, BEACON)
    await writers.learn(BEACON, [value])
    assert registry.add(SUBJECTS[BEACON], json.dumps(schema)) == 101
    clock.now = REFUSED_S + 1
    await writers.learn(BEACON, [value])
    assert to_beacon(value)


async def test_a_registry_that_is_away_refuses_nothing(
    registry: SmallRegistry, writers: WriterSchemas, clock: Clock
) -> None:
    schema = changed(BEACON, "evolved")
    value = framed(schema, registry.add(SUBJECTS[BEACON], json.dumps(schema)), BEACON)
    registry.away = True
    for attempt in range(3 * MOST_ASKED):
        clock.now = 2 * AGAIN_S * (attempt // 2)
        with pytest.raises(Retryable):
            await writers.learn(BEACON, [value])
    assert registry.calls <= 3 * MOST_ASKED // 2 + 1, "the second of two attempts at once makes no call"
    registry.away, clock.now = False, clock.now + 2 * AGAIN_S
    await writers.learn(BEACON, [value])
    assert to_beacon(value)


async def test_without_a_registry_only_fixed_ids_are_read() -> None:
    writers, value = WriterSchemas(None), encode_framed(BEACON, DATA[BEACON], 7)
    await writers.learn(BEACON, [value])
    with pytest.raises(DecodeError, match="has schema id 7; heatmap_beacon has id 1"):
        decode_framed(value, BEACON)
    with pytest.raises(Refused):
        await writers.by_id(BEACON, 7)


async def test_a_refused_project_schema_does_not_stop_the_start(
    registry: SmallRegistry, client: ConfluentRegistry, writers: WriterSchemas
) -> None:
    other = {"type": "record", "name": "R", "fields": [{"name": "lp_id", "type": "int"}]}
    registry.add(SUBJECTS[BEACON], json.dumps(other))
    ids = await client.own_ids()
    assert BEACON not in ids and REQUEST in ids
    codec.learn_ids(ids)
    assert to_beacon(encode_framed(BEACON, DATA[BEACON])), "the fixed id stays"


@pytest.mark.parametrize(
    "field",
    [
        {"type": "array", "items": "null"},
        {"type": "array", "items": {"type": "fixed", "name": "F", "size": 0}},
        {"type": "map", "values": {"type": "array", "items": "null"}},
        {"type": "array", "items": {"type": "record", "name": "E", "fields": []}},
        {"type": "record", "name": "E", "fields": [{"name": "n", "type": "null"}]},
        ["null", "HeatmapBeacon"],
        {"type": "array", "items": "HeatmapBeacon"},
        ["null", {"type": "record", "name": "A", "fields": [{"name": "a", "type": ["null", "A"]}]}],
    ],
)
async def test_a_schema_whose_data_may_have_no_end_is_refused(
    registry: SmallRegistry, writers: WriterSchemas, field: Any
) -> None:
    schema = changed(BEACON, "as it is")
    schema["fields"].append({"name": "more", "type": field})
    number = registry.add(SUBJECTS[BEACON], json.dumps(schema))
    with pytest.raises(Refused):
        await writers.by_id(BEACON, number)


def test_the_projects_schemas_are_readable() -> None:
    for name in codec.registry():
        named: dict[str, Any] = {}
        check_readable(fastavro.parse_schema(json.loads(own_text(name)), named_schemas=named), named)
    with pytest.raises(DecodeError, match="not a record"):
        check_readable("string", {})


@pytest.mark.parametrize("by", ["id", "text", "bytes"])
async def test_the_edge_takes_a_writers_schema(registry: SmallRegistry, client: ConfluentRegistry, by: str) -> None:
    schema = changed(BEACON, "evolved")
    number = registry.add(SUBJECTS[BEACON], json.dumps(schema))
    late = LateSchemas(client)
    value: Any = {**codec._to_avro(BEACON, POSTED), "campaign": {"string": "spring"}}
    ids: dict[str, Any] = {"value_schema_id": number} if by == "id" else {"value_schema": json.dumps(schema)}
    kind = AVRO
    if by == "bytes":
        kind, ids, value = BINARY, {}, base64.b64encode(framed(schema, number, BEACON)).decode()
    async with running_edge() as edge:
        edge.services.own_schemas = late
        for private in (False, True):
            body = json.dumps({**ids, "records": [{"value": value}]}).encode()
            status, answer = await edge.post("/topics/heatmap.events", body, kind, private=private)
            assert status == 200, answer
        assert [record.value for record in edge.records] == [edge.records[0].value] * 2
        assert b"campaign" not in edge.records[0].value
        body = json.dumps({"value_schema_id": 9_999, "records": [{"value": {}}]}).encode()
        status, answer = await edge.post("/topics/heatmap.events", body, AVRO)
        assert (status, answer["error_code"]) == (422, 42207)


def posted_under(by: str, number: int, schema: dict[str, Any] | None = None) -> tuple[bytes, str]:
    """Return the body and media type of a request that names a schema by id, text or bytes."""
    value: Any = codec._to_avro(BEACON, POSTED)
    ids: dict[str, Any] = {"value_schema_id": number} if by == "id" else {}
    kind = AVRO
    if by == "text":
        ids = {"value_schema": json.dumps({**(schema or changed(BEACON, "evolved")), "doc": str(number)})}
    if by == "bytes":
        kind, value = BINARY, base64.b64encode(framed(changed(BEACON, "as it is"), number, BEACON)).decode()
    return json.dumps({**ids, "records": [{"value": value}]}).encode(), kind


async def test_the_look_ups_of_the_next_seconds_are_refused_for_now(writers: WriterSchemas, clock: Clock) -> None:
    for number in range(MOST_ASKED):
        with pytest.raises(Refused, match="refuses or does not know"):
            await writers.by_id(BEACON, 9_000 + number)
    for _ in range(2):
        with pytest.raises(Retryable, match="too many unknown schemas") as busy:
            await writers.by_id(BEACON, 9_999)
        with pytest.raises(Retryable, match="too many unknown schemas"):
            await writers.by_text(BEACON, json.dumps(changed(BEACON, "evolved")))
    assert busy.value.retry_after_s == ASKED_S
    clock.now = ASKED_S + 0.1
    with pytest.raises(Refused, match="refuses or does not know"):
        await writers.by_id(BEACON, 9_999)


async def test_an_operators_tool_looks_up_every_schema(registry: SmallRegistry, client: ConfluentRegistry) -> None:
    tool = WriterSchemas(client, Clock(), limited=False)
    await tool.learn(BEACON, [HEADER.pack(0, 9_000 + number) for number in range(3 * MOST_ASKED)])
    schema = changed(BEACON, "evolved")
    value = framed(schema, registry.add(SUBJECTS[BEACON], json.dumps(schema)), BEACON)
    await tool.learn(BEACON, [value])
    assert to_beacon(value)


@pytest.mark.parametrize("number", [-1, 2**31, 10**30])
async def test_a_number_that_is_no_schema_id_is_not_asked_for(
    registry: SmallRegistry, writers: WriterSchemas, number: int
) -> None:
    calls = registry.calls
    with pytest.raises(Refused):
        await writers.by_id(BEACON, number)
    assert registry.calls == calls


@pytest.mark.parametrize("by", ["id", "text", "bytes"])
async def test_the_edge_answers_503_while_too_many_schemas_are_unknown(client: ConfluentRegistry, by: str) -> None:
    async with running_edge() as edge:
        edge.services.own_schemas = LateSchemas(client)
        for number in range(MOST_ASKED):
            status, _ = await edge.post("/topics/heatmap.events", *posted_under(by, 9_000 + number))
            assert status == 422
        body, kind = posted_under(by, 9_999)
        for base, token in ((edge.public, {}), (edge.private, {"Authorization": f"Bearer {TOKEN}"})):
            headers = {"Content-Type": kind, **token}
            async with edge.session.post(f"{base}/topics/heatmap.events", data=body, headers=headers) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, f"{ASKED_S:.0f}")
                assert "too many unknown schemas" in (await answer.json())["message"]
        status, _ = await edge.post("/topics/heatmap.events", json.dumps({"records": [{"value": POSTED}]}).encode())
        assert status == 200, "other formats need no look-up"


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
@pytest.mark.parametrize("by", ["id", "text", "bytes"])
async def test_a_foreign_origin_causes_no_look_up(
    registry: SmallRegistry, client: ConfluentRegistry, by: str, origin: str
) -> None:
    async with running_edge() as edge:
        edge.services.own_schemas = late = LateSchemas(client)
        await late.own()
        calls = registry.calls
        body, kind = posted_under(by, 9_999)
        headers = {"Content-Type": kind, "Origin": origin}
        async with edge.session.post(f"{edge.public}/topics/heatmap.events", data=body, headers=headers) as answer:
            assert answer.status == 403
            assert "origin" in (await answer.json())["message"]
        assert registry.calls == calls
        await edge.post("/topics/heatmap.events", body, kind)
        assert registry.calls > calls, "programs send no origin"


async def test_a_look_up_does_not_depend_on_the_listeners_check_of_origins(
    registry: SmallRegistry, client: ConfluentRegistry
) -> None:
    target = Target("heatmap.events", None, "public", None, "https://evil.example")
    value = base64.b64encode(framed(changed(BEACON, "as it is"), 9_999, BEACON)).decode()
    record = ProduceRecord(value=msgspec.Raw(json.dumps(value).encode()))
    async with running_edge() as edge:
        edge.services.own_schemas = late = LateSchemas(client)
        await late.own()
        calls = registry.calls
        with pytest.raises(HttpError, match="origin"):
            await _checked(0, record, Binary(), target, edge.services)
        with pytest.raises(HttpError, match="origin"):
            await _format("avro", {"value_schema_id": msgspec.Raw(b"9999")}, target, edge.services)
    assert registry.calls == calls


async def test_visitors_take_no_look_ups_from_applications(registry: SmallRegistry, client: ConfluentRegistry) -> None:
    values = {field.name: None for field in fields(Services) if field.init}
    public = Services(**values | {"settings": Settings(), "schemas": client, "own_schemas": LateSchemas(client)})  # type: ignore[arg-type]
    private, subject = public.for_another_listener(), SUBJECTS[BEACON]
    for number in range(MOST_ASKED):
        with pytest.raises(Refused):
            await public.own_schemas.by_id(subject, 9_000 + number)
    number = registry.add(subject, json.dumps(changed(BEACON, "evolved")))
    with pytest.raises(Retryable):
        await public.own_schemas.by_id(subject, number)
    assert (await private.own_schemas.by_id(subject, number)).id == number
    fixed = OwnSchemas()
    plain = Services(**values | {"settings": Settings(), "schemas": fixed, "own_schemas": fixed})  # type: ignore[arg-type]
    assert plain.for_another_listener().own_schemas is fixed
