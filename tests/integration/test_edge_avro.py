"""Avro beacons from the public listener to rows in ClickHouse."""

import asyncio
import copy
import itertools
import json
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from beacons import assert_counted, record_at, some_beacons
from harness import full_only
from registries import SmallRegistry

from infra.embedded.stack import Stack
from infra.schema_registry import own_text
from schemas.heatmap import TOPIC, beacon_from_object, encode_beacon
from streams.local.installation import Installation
from streams.proof.edge_process import EdgeProcess, edge_process
from streams.proof.visitors import tally

pytestmark = pytest.mark.stack
AVRO = "application/vnd.kafka.avro.v2+json"
OTHER = '{"type":"record","name":"Other","fields":[{"name":"a","type":"int"}]}'


@pytest.fixture
def registry() -> Iterator[SmallRegistry]:
    running = SmallRegistry()
    yield running
    running.stop()


def as_avro(beacon: dict[str, Any]) -> dict[str, Any]:
    """Return a beacon in Avro's JSON encoding."""
    sections = [dict(zip(("name", "top", "bottom"), one, strict=True)) for one in beacon["sections"]]
    return {**beacon, "sections": sections}


async def post(edge_url: str, body: dict[str, Any]) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{edge_url}/topics/heatmap.events", data=json.dumps(body), headers={"Content-Type": AVRO}) as answer,
    ):
        return answer.status, await answer.json()


async def test_the_projects_schema_is_accepted_by_text_or_id(stack: Stack, installation: Installation) -> None:
    lp_id = "avro_own"
    beacons = some_beacons(lp_id, 5)
    reordered = json.dumps({**json.loads(own_text("heatmap_beacon")), "doc": "another"})
    schemas = [{"value_schema": own_text("heatmap_beacon")}, {"value_schema": reordered}, {"value_schema_id": 1}]
    for beacon, schema in zip(beacons, itertools.cycle(schemas), strict=False):
        status, answer = await post(installation.edge_url, {**schema, "records": [{"value": as_avro(beacon)}]})
        assert (status, answer["value_schema_id"]) == (200, 1), answer
        value = (await record_at(stack, TOPIC, answer["offsets"][0])).value
        assert value == encode_beacon(beacon_from_object(beacon)), "the same JSON as in every other format"
    await assert_counted(stack, lp_id, tally(beacons).total())


@pytest.mark.parametrize(
    ("schema", "status", "code"),
    [
        ({"value_schema": OTHER}, 422, 42207),
        ({"value_schema_id": 2}, 422, 42207),
        ({"value_schema": "{"}, 422, 42205),
        ({}, 422, 42202),
    ],
)
async def test_foreign_schemas_are_refused(
    installation: Installation, schema: dict[str, Any], status: int, code: int
) -> None:
    found, answer = await post(installation.edge_url, {**schema, "records": [{"value": {"a": 1}}]})
    assert (found, answer["error_code"]) == (status, code)


async def test_an_avro_beacon_is_validated_like_json(installation: Installation) -> None:
    beacon = as_avro(some_beacons("avro_bad", 1)[0])
    for change, named in (({"dt": []}, "dt"), ({"lp_id": "a b"}, "lp_id"), ({"seq": -1}, "seq"), ({"x": "1"}, "x")):
        status, answer = await post(
            installation.edge_url, {"value_schema_id": 1, "records": [{"value": {**copy.deepcopy(beacon), **change}}]}
        )
        assert status == 422 and named in answer["message"], answer


@full_only
async def test_beacons_are_accepted_with_a_registrys_ids(
    stack: Stack, installation: Installation, registry: SmallRegistry
) -> None:
    lp_id = "avro_registry"
    registry.fill(5)
    settings = {"LPSTREAM_SCHEMA_REGISTRY_URL": registry.url}
    # Restart the worker with the registry's address.
    worker = installation.children["heatmap"]
    worker.stop()
    installation.launch("heatmap", settings)
    beacons = some_beacons(lp_id, 5)
    with edge_process(stack, "avro", settings) as one:
        await _post_all(stack, one, beacons)
    await assert_counted(stack, lp_id, tally(beacons).total())
    installation.children["heatmap"].stop()
    installation.launch("heatmap")


async def _post_all(stack: Stack, edge: EdgeProcess, beacons: list[dict[str, Any]]) -> None:
    schema: dict[str, Any] = {"value_schema": own_text("heatmap_beacon")}
    for beacon in beacons:
        status, answer = await post(edge.url, {**schema, "records": [{"value": as_avro(beacon)}]})
        assert status == 200 and answer["value_schema_id"] > 5, answer
        schema = {"value_schema_id": answer["value_schema_id"]}
        assert (await record_at(stack, TOPIC, answer["offsets"][0])).value == encode_beacon(beacon_from_object(beacon))


async def test_a_registry_that_is_down_is_not_asked_for_each_request(
    stack: Stack, installation: Installation, registry: SmallRegistry
) -> None:
    registry.away = True
    with edge_process(stack, "avro-away", {"LPSTREAM_SCHEMA_REGISTRY_URL": registry.url}) as one:
        body = {"value_schema_id": 1, "records": [{"value": {}}]}
        assert (await post(one.url, body))[0] == 408
        calls = registry.calls
        for _ in range(20):
            status, answer = await post(one.url, body)
            assert (status, answer["error_code"]) == (408, 40801)
        assert registry.calls <= calls + 2
        registry.away = False
        await asyncio.sleep(1.1)
        assert (await post(one.url, body))[0] == 422
