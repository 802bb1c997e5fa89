"""Schemas of a registry that name types of other schemas."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from registries import SmallRegistry

from infra.schema_registry import MOST_REFERENCES, ConfluentRegistry
from schemas.errors import Refused
from streams.edge.rest.formats import Avro

KIND = '{"type":"enum","name":"com.x.Kind","symbols":["P","Q"]}'
ITEM = (
    '{"type":"record","name":"Item","namespace":"com.x","fields":'
    '[{"name":"n","type":"int"},{"name":"kind","type":"Kind","default":"Q"}]}'
)

ORDER = '{"type":"record","name":"Order","fields":[{"name":"item","type":"com.x.Item"}]}'


@pytest.fixture
def registry() -> Iterator[SmallRegistry]:
    running = SmallRegistry()
    yield running
    running.stop()


@pytest_asyncio.fixture
async def schemas(registry: SmallRegistry) -> AsyncIterator[ConfluentRegistry]:
    opened = ConfluentRegistry(registry.url)
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("text", "value", "datum"),
    [
        (ORDER, {"item": {"n": 1}}, b"\x02\x02"),
        ('["null","com.x.Item","com.x.Kind"]', {"com.x.Kind": "Q"}, b"\x04\x02"),
        ('["null","com.x.Item","com.x.Kind"]', {"com.x.Item": {"n": 1, "kind": "P"}}, b"\x02\x02\x00"),
        ('[{"type":"map","values":"com.x.Item"},"com.x.Item"]', {"com.x.Item": {"n": 1}}, b"\x02\x02\x02"),
        ('"com.x.Item"', {"n": 1}, b"\x02\x02"),
        ('{"type":"array","items":"com.x.Item"}', [{"n": 1}], b"\x02\x02\x02\x00"),
        ('{"type":"record","name":"Plain","fields":[{"name":"n","type":"int"}]}', {"n": 1}, b"\x02"),
        ('["int"]', {"int": 1}, b"\x00\x02"),
    ],
)
async def test_a_schema_may_name_types_of_other_schemas(
    registry: SmallRegistry, schemas: ConfluentRegistry, text: str, value: Any, datum: bytes
) -> None:
    registry.add("kind", KIND)
    registry.add("item", ITEM, "kind")
    number = registry.add("orders-value", text, "item", "kind")
    for _ in range(2):  # the second time from the cache
        form = Avro({"value": await schemas.by_id("orders-value", number)}, 1_000, 1_000)
        assert form.encode("value", json.dumps(value).encode(), "")[5:] == datum  # type: ignore[index]


async def test_references_that_lead_back_are_refused(registry: SmallRegistry, schemas: ConfluentRegistry) -> None:
    registry.add("a", '{"type":"record","name":"A","fields":[{"name":"b","type":"B"}]}', "b")
    registry.add("b", '{"type":"record","name":"B","fields":[{"name":"a","type":"A"}]}', "a")
    number = registry.add("orders-value", '"A"', "a")
    with pytest.raises(Refused, match="lead back to a"):
        await schemas.by_id("orders-value", number)


@pytest.mark.parametrize("count", [MOST_REFERENCES, MOST_REFERENCES + 1])
async def test_the_number_of_references_is_bounded(
    registry: SmallRegistry, schemas: ConfluentRegistry, count: int
) -> None:
    for at in range(count):
        registry.add(f"s{at}", f'{{"type":"fixed","name":"F{at}","size":1}}', *([f"s{at - 1}"] if at else []))
    number = registry.add("orders-value", f'"F{count - 1}"', f"s{count - 1}")
    if count <= MOST_REFERENCES:
        assert (await schemas.by_id("orders-value", number)).values == 4 * count + 1
        return
    with pytest.raises(Refused, match=f"more than {MOST_REFERENCES} references"):
        await schemas.by_id("orders-value", number)


async def test_the_size_of_all_references_is_bounded(registry: SmallRegistry, schemas: ConfluentRegistry) -> None:
    for name in "ab":
        symbols = [f"S{at}" for at in range(2_500)]
        registry.add(name, json.dumps({"type": "enum", "name": name, "symbols": symbols}))
    number = registry.add("orders-value", '["a","b"]', "a", "b")
    with pytest.raises(Refused, match="more than 4000 values"):
        await schemas.by_id("orders-value", number)


async def test_a_type_that_no_reference_has_is_refused(registry: SmallRegistry, schemas: ConfluentRegistry) -> None:
    registry.add("kind", KIND)
    with pytest.raises(Refused, match="not an Avro schema"):
        await schemas.by_id("orders-value", registry.add("orders-value", '["com.x.Other"]', "kind"))
