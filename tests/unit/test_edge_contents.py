"""What the doors store of what is posted: the checked model's own bytes, under a key and in a place of the door's."""

import base64
import gzip
import json
from typing import Any
from uuid import uuid4

import pytest
from doors import AVRO, BINARY, JSON, PARTITIONS, doors
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.producer import partition_of
from schemas.codec import encode_framed
from schemas.errors import DecodeError
from schemas.heatmap import decode_beacon, encode_beacon

BEACON: dict[str, Any] = {
    "schema": 1, "lp_id": "demo-page", "pageview_id": "2b1f5e4e-5d0a-4b8e-9a86-0b8a2fd6e0c1", "seq": 0,
    "device": "mobile", "viewport_w": 390, "viewport_h": 844, "page_w": 390, "page_h": 5200, "t0": 1795451374000,
    "depth": 0, "type": "sc", "dt": [0, 120], "x": [0, 120], "y": [0, 340], "dwell": [0, 0], "fixed": [],
    "sections": [["hero", 0, 820]], "rate": 1.0,
}  # fmt: skip
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
    """A body of the REST door."""
    more = b"".join(b"," + json.dumps(name).encode() + b":" + json.dumps(one).encode() for name, one in fields.items())
    return b'{"records":[' + b",".join(b'{"value":' + value + more + b"}" for value in values) + b"]}"


@pytest.mark.parametrize("name", INFLATED)
async def test_what_is_stored_of_a_beacon_is_the_beacon(name: str) -> None:
    body = INFLATED[name]
    async with doors() as one:
        assert (await one.post("/e/heatmap.events", body, "text/plain"))[0] == 204
        assert (await one.post("/e/heatmap.events", gzip.compress(body), "text/plain"))[0] == 204
        assert (await one.post("/topics/heatmap.events", rest(body)))[0] == 200
        assert (await one.post("/topics/heatmap.events", rest(body), private=True))[0] == 200
        assert {(record.value, record.key, record.partition) for record in one.kept} == {(STORED, KEY, None)}


@pytest.mark.parametrize("private", [False, True])
async def test_a_beacon_is_stored_as_json_from_every_format(private: bool) -> None:
    sections = [dict(zip(("name", "top", "bottom"), row, strict=True)) for row in BEACON["sections"]]
    avro = json.dumps({"value_schema_id": 1, "records": [{"value": {**BEACON, "sections": sections}}]}).encode()
    framed, bare = (base64.b64encode(value).decode() for value in (encode_framed("heatmap_beacon", BEACON), PLAIN))
    async with doors() as one:
        for body, kind in (
            (avro, AVRO),
            (rest(json.dumps(framed).encode()), BINARY),
            (rest(json.dumps(bare).encode()), BINARY),
        ):
            status, answer = await one.post("/topics/heatmap.events", body, kind, private=private)
            assert (status, answer["value_schema_id"]) == (200, 1 if kind == AVRO else None), answer
        assert [record.value for record in one.kept] == [STORED] * 3


async def test_a_request_for_a_page_is_stored_without_what_it_does_not_mean() -> None:
    plain = json.dumps(REQUEST).encode()
    padded = (
        plain[:-1] + b',"padding":"' + b"x" * 100_000 + b'","tone":"friendly"' + b',"quality":"fast"' * 1_000 + b"}"
    )
    async with doors() as one:
        for value in (plain, padded):
            assert (await one.post("/topics/lp.requests", rest(value, key="k" * 9_000), private=True))[0] == 200
        first, second = one.kept
        assert first == second and first.key == REQUEST["request_id"].encode()
        assert len(first.value or b"") < 1_000 and json.loads(first.value or b"")["business"]["name"] == "一"


@pytest.mark.parametrize("body", [b" " * 65_537, gzip.compress(PLAIN + b" " * 65_536)])
async def test_a_beacon_inflates_to_64_kib_at_most(body: bytes) -> None:
    async with doors() as one:
        for _ in range(2):
            status, answer = await one.post("/e/heatmap.events", body, "text/plain")
            assert status == 413 and "65536" in answer["message"]
        wide = rest(PLAIN, PLAIN[:-1] + b',"padding":"' + b"x" * 65_536 + b'"}')
        for private in (False, True):
            status, answer = await one.post("/topics/heatmap.events", wide, private=private)
            assert (status, answer["message"]) == (413, "records[1].value: is larger than 65536 bytes")
        assert one.kept == []


@pytest.mark.parametrize("kind", ["json", "binary"])
async def test_keys_are_bounded_in_length(kind: str) -> None:
    value = b"1" if kind == "json" else b'"MQ=="'
    key = "k" * 1_200 if kind == "json" else base64.b64encode(b"k" * 1_025).decode()
    async with doors(proxy_topics=["other"]) as one:
        status, answer = await one.post(
            "/topics/other", rest(value, key=key), JSON if kind == "json" else BINARY, private=True
        )
        assert (status, answer["message"]) == (422, "records[0].key: is longer than 1024 bytes")
        assert (await one.post("/topics/other", rest(b"1", key="k" * 1_022), private=True))[0] == 200


@pytest.mark.parametrize("private", [False, True])
async def test_a_beacon_counts_in_one_partition_alone(private: bool) -> None:
    async with doors() as one:
        told = []
        for number in range(PARTITIONS):
            told.append((await one.post("/topics/heatmap.events", rest(PLAIN, partition=number), private=private))[0])
            path = f"/topics/heatmap.events/partitions/{number}"
            told.append((await one.post(path, rest(PLAIN), private=private))[0])
            assert (await one.post("/topics/heatmap.events", rest(PLAIN, key=f"k{number}"), private=private))[0] == 200
        assert [at // 2 for at, status in enumerate(told) if status == 200] == [OWN, OWN]
        assert set(told) == {200, 400}
        assert {(record.key, record.place_by, record.partition) for record in one.kept} == {(KEY, KEY, None)}


async def test_a_request_for_a_page_has_its_own_partition_as_well() -> None:
    value = json.dumps(REQUEST).encode()
    own = partition_of(REQUEST["request_id"].encode(), PARTITIONS)
    async with doors() as one:
        for number in range(PARTITIONS):
            status, answer = await one.post("/topics/lp.requests", rest(value, partition=number), private=True)
            assert status == (200 if number == own else 400), answer
        assert [record.partition for record in one.kept] == [None]


async def test_a_partition_beside_another_in_the_path_is_refused() -> None:
    async with doors(proxy_topics=["other"]) as one:
        path = f"/topics/heatmap.events/partitions/{OWN}"
        status, answer = await one.post(path, rest(PLAIN, partition=OTHER))
        assert status == 400 and "records[0].partition" in answer["message"]
        path = "/topics/other/partitions/3"
        status, answer = await one.post(path, rest(b"1", partition=4), private=True)
        assert status == 400 and "records[0].partition" in answer["message"]
        assert (await one.post(path, rest(b"1", b"2", partition=3), private=True))[0] == 200
        assert [record.partition for record in one.kept] == [3, 3]


@given(st.binary(max_size=60), st.integers(0, len(PLAIN)), st.integers(0, 30))
def test_every_beacon_that_is_taken_can_be_stored_and_read_again(cut: bytes, at: int, length: int) -> None:
    try:
        beacon = decode_beacon(PLAIN[:at] + cut + PLAIN[at + length :])
    except DecodeError:
        return
    stored = encode_beacon(beacon)
    assert decode_beacon(stored) == beacon and encode_beacon(decode_beacon(stored)) == stored
