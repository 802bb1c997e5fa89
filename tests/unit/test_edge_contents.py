"""What the edge stores.

The validated model's own bytes, with a key and partition that the edge chooses.
"""

import base64
import gzip
import json
from typing import Any
from uuid import uuid4

import pytest
from beacons import example_beacon
from edge_listeners import AVRO, BINARY, JSON, running_edge
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.producer import partition_of
from schemas.codec import encode_framed
from schemas.errors import DecodeError
from schemas.heatmap import decode_beacon, encode_beacon
from streams.proof.bench.edge_without_kafka import PARTITIONS

BEACON = example_beacon(fixed=[], sections=[["hero", 0, 820]], rate=1.0)
PLAIN = json.dumps(BEACON).encode()
STORED = json.dumps(BEACON, separators=(",", ":")).encode()
KEY = BEACON["pageview_id"].encode()
OWN = partition_of(KEY, PARTITIONS)
OTHER = (OWN + 1) % PARTITIONS
INFLATED = {
    "white space": b" " * 40_000 + PLAIN + b"\n" * 20_000,
    "an unknown field": PLAIN[:-1] + b',"padding":"' + b"x" * 60_000 + b'"}',
    "a repeated field": PLAIN[:-1] + b',"seq":0' * 7_000 + b"}",
    "many digits": PLAIN.replace(b'"rate": 1.0', b'"rate": 1.' + b"0" * 60_000),
    "escapes": PLAIN.replace(b"hero", b"".join(b"\\u%04x" % ord(one) for one in "hero")),
}
REQUEST: dict[str, Any] = {
    "request_id": str(uuid4()), "tenant_id": "demo", "industry": "飲食", "purpose": "集客", "business": {"name": "一"},
}  # fmt: skip


def rest(*values: bytes, **fields: Any) -> bytes:
    """Return a body for the REST Proxy with these values; `fields` are added to each record."""
    more = b"".join(b"," + json.dumps(name).encode() + b":" + json.dumps(one).encode() for name, one in fields.items())
    return b'{"records":[' + b",".join(b'{"value":' + value + more + b"}" for value in values) + b"]}"


@pytest.mark.parametrize("name", INFLATED)
async def test_a_beacon_is_stored_without_padding_or_unknown_fields(name: str) -> None:
    body = INFLATED[name]
    async with running_edge() as edge:
        assert (await edge.post("/e/heatmap.events", body, "text/plain"))[0] == 204
        assert (await edge.post("/e/heatmap.events", gzip.compress(body), "text/plain"))[0] == 204
        assert (await edge.post("/topics/heatmap.events", rest(body)))[0] == 200
        assert (await edge.post("/topics/heatmap.events", rest(body), private=True))[0] == 200
        assert {(record.value, record.key, record.partition) for record in edge.records} == {(STORED, KEY, None)}


@pytest.mark.parametrize("private", [False, True])
async def test_a_beacon_is_stored_as_json_from_every_format(private: bool) -> None:
    sections = [dict(zip(("name", "top", "bottom"), row, strict=True)) for row in BEACON["sections"]]
    avro = json.dumps({"value_schema_id": 1, "records": [{"value": {**BEACON, "sections": sections}}]}).encode()
    framed, bare = (base64.b64encode(value).decode() for value in (encode_framed("heatmap_beacon", BEACON), PLAIN))
    async with running_edge() as edge:
        for body, kind in (
            (avro, AVRO),
            (rest(json.dumps(framed).encode()), BINARY),
            (rest(json.dumps(bare).encode()), BINARY),
        ):
            status, answer = await edge.post("/topics/heatmap.events", body, kind, private=private)
            assert (status, answer["value_schema_id"]) == (200, 1 if kind == AVRO else None), answer
        assert [record.value for record in edge.records] == [STORED] * 3


async def test_a_page_request_is_stored_without_padding() -> None:
    plain = json.dumps(REQUEST).encode()
    padded = (
        plain[:-1] + b',"padding":"' + b"x" * 100_000 + b'","tone":"friendly"' + b',"quality":"fast"' * 1_000 + b"}"
    )
    async with running_edge() as edge:
        for value in (plain, padded):
            assert (await edge.post("/topics/lp.requests", rest(value, key="k" * 9_000), private=True))[0] == 200
        first, second = edge.records
        assert first == second and first.key == REQUEST["request_id"].encode()
        assert len(first.value or b"") < 1_000 and json.loads(first.value or b"")["business"]["name"] == "一"


@pytest.mark.parametrize("body", [b" " * 65_537, gzip.compress(PLAIN + b" " * 65_536)])
async def test_a_beacon_over_64_kib_inflated_is_refused(body: bytes) -> None:
    async with running_edge() as edge:
        for _ in range(2):
            status, answer = await edge.post("/e/heatmap.events", body, "text/plain")
            assert status == 413 and "65536" in answer["message"]
        wide = rest(PLAIN, PLAIN[:-1] + b',"padding":"' + b"x" * 65_536 + b'"}')
        for private in (False, True):
            status, answer = await edge.post("/topics/heatmap.events", wide, private=private)
            assert (status, answer["message"]) == (413, "records[1].value: is larger than 65536 bytes")
        assert edge.records == []


@pytest.mark.parametrize("kind", ["json", "binary"])
async def test_a_key_that_is_too_long_is_refused(kind: str) -> None:
    value = b"1" if kind == "json" else b'"MQ=="'
    key = "k" * 1_200 if kind == "json" else base64.b64encode(b"k" * 1_025).decode()
    async with running_edge(proxy_topics=["other"]) as edge:
        status, answer = await edge.post(
            "/topics/other", rest(value, key=key), JSON if kind == "json" else BINARY, private=True
        )
        assert (status, answer["message"]) == (422, "records[0].key: is longer than 1024 bytes")
        assert (await edge.post("/topics/other", rest(b"1", key="k" * 1_022), private=True))[0] == 200


@pytest.mark.parametrize("private", [False, True])
async def test_a_beacon_is_accepted_for_its_own_partition_only(private: bool) -> None:
    async with running_edge() as edge:
        statuses = []
        for number in range(PARTITIONS):
            statuses.append(
                (await edge.post("/topics/heatmap.events", rest(PLAIN, partition=number), private=private))[0]
            )
            path = f"/topics/heatmap.events/partitions/{number}"
            statuses.append((await edge.post(path, rest(PLAIN), private=private))[0])
            assert (await edge.post("/topics/heatmap.events", rest(PLAIN, key=f"k{number}"), private=private))[0] == 200
        assert [at // 2 for at, status in enumerate(statuses) if status == 200] == [OWN, OWN]
        assert set(statuses) == {200, 400}
        assert {(record.key, record.place_by, record.partition) for record in edge.records} == {(KEY, KEY, None)}


async def test_a_page_request_is_accepted_for_its_own_partition_only() -> None:
    value = json.dumps(REQUEST).encode()
    own = partition_of(REQUEST["request_id"].encode(), PARTITIONS)
    async with running_edge() as edge:
        for number in range(PARTITIONS):
            status, answer = await edge.post("/topics/lp.requests", rest(value, partition=number), private=True)
            assert status == (200 if number == own else 400), answer
        assert [record.partition for record in edge.records] == [None]


async def test_a_partition_that_contradicts_the_path_is_refused() -> None:
    async with running_edge(proxy_topics=["other"]) as edge:
        path = f"/topics/heatmap.events/partitions/{OWN}"
        status, answer = await edge.post(path, rest(PLAIN, partition=OTHER))
        assert status == 400 and "records[0].partition" in answer["message"]
        path = "/topics/other/partitions/1"
        status, answer = await edge.post(path, rest(b"1", partition=2), private=True)
        assert status == 400 and "records[0].partition" in answer["message"]
        assert (await edge.post(path, rest(b"1", b"2", partition=1), private=True))[0] == 200
        assert [record.partition for record in edge.records] == [1, 1]


@given(st.binary(max_size=60), st.integers(0, len(PLAIN)), st.integers(0, 30))
def test_every_accepted_beacon_survives_a_round_trip(cut: bytes, at: int, length: int) -> None:
    try:
        beacon = decode_beacon(PLAIN[:at] + cut + PLAIN[at + length :])
    except DecodeError:
        return
    stored = encode_beacon(beacon)
    assert decode_beacon(stored) == beacon and encode_beacon(decode_beacon(stored)) == stored
