"""Rates count records and inflated bytes, for each visitor's address and each tenant."""

import gzip
import json
import math

import pytest
from edge_listeners import JSON, running_edge
from test_edge_contents import BEACON, PLAIN, rest

from infra.tenants import Tenants
from streams.edge.http.admission import Admission
from streams.edge.http.errors import HttpError
from streams.edge.http.rates import BURST_S, Rate
from streams.runtime.settings import Settings


def many(count: int) -> bytes:
    needed = {name: value for name, value in BEACON.items() if name not in ("fixed", "sections", "rate")}
    return rest(*[json.dumps({**needed, "seq": number}, separators=(",", ":")).encode() for number in range(count)])


def test_a_request_takes_as_many_tokens_as_its_cost() -> None:
    rate = Rate(10)
    assert rate.largest == 10 * BURST_S
    assert rate.wait(b"a", 0.0, 60) == 0.0
    assert rate.wait(b"a", 0.0, 60) == pytest.approx(2.0)
    assert rate.wait(b"a", 0.0, 40) == 0.0
    assert rate.wait(b"a", 9.0, 90) == 0.0


def test_a_cost_above_the_burst_never_passes() -> None:
    rate = Rate(10)
    assert rate.wait(b"a", 0.0, 101) > 0 and rate.wait(b"a", 1e6, 101) > 0
    assert Rate(0).largest == math.inf and Rate(0.01).largest == 1


def test_many_small_costs_add_up_to_the_burst() -> None:
    rate = Rate(3)
    assert [rate.wait(b"a", 1e6, 0.1) == 0.0 for _ in range(300)] == [True] * 300
    assert rate.wait(b"a", 1e6, 0.1) > 0


async def test_a_request_of_2900_beacons_costs_2900() -> None:
    async with running_edge(edge_client_byte_rate=0) as edge:
        status, answer = await edge.post("/topics/heatmap.events", gzip.compress(many(2_900)))
        assert status == 413 and "at most" in answer["message"], answer
        assert edge.records == []


async def test_a_request_above_the_burst_gets_413() -> None:
    """With a 429, the client would wait and retry for ever."""
    async with running_edge(edge_client_byte_rate=0) as edge:
        assert (await edge.post("/topics/heatmap.events", gzip.compress(many(1_001))))[0] == 413


async def test_records_of_an_address_add_up_over_requests() -> None:
    async with running_edge(edge_client_rate=10.0) as edge:
        statuses = [(await edge.post("/topics/heatmap.events", many(40)))[0] for _ in range(4)]
        assert statuses == [200, 200, 429, 429]
        assert len(edge.records) == 80
        assert (await edge.post("/topics/heatmap.events", many(100)))[0] == 429, (
            "429, not 413: the client may retry later"
        )


async def test_the_total_rate_counts_records_of_all_addresses() -> None:
    async with running_edge(edge_client_rate=0, edge_rate=10.0) as edge:
        assert [(await edge.post("/topics/heatmap.events", many(60)))[0] for _ in range(2)] == [200, 429]


async def test_rates_count_inflated_bytes() -> None:
    padded = gzip.compress(PLAIN + b" " * 60_000)
    async with running_edge(edge_client_byte_rate=16_384.0) as edge:
        statuses = [(await edge.post("/e/heatmap.events", padded, "text/plain"))[0] for _ in range(4)]
        assert statuses == [204, 204, 429, 429]
        wide = gzip.compress(PLAIN.join([b'{"records":[{"value":', b"}]}"]) + b" " * 200_000)
        assert (await edge.post("/topics/heatmap.events", wide, JSON))[0] == 413
        assert len(edge.records) == 2


async def test_the_ordinary_path_counts_bytes_as_the_quick_path() -> None:
    async with running_edge(edge_byte_rate=6_400.0, edge_client_byte_rate=0) as edge:
        headers = {"Content-Encoding": "gzip"}  # the quick path takes no gzip
        body = gzip.compress(PLAIN + b" " * 40_000)
        statuses = []
        for _ in range(2):
            async with edge.session.post(f"{edge.public}/e/heatmap.events", data=body, headers=headers) as answer:
                statuses.append(answer.status)
        assert statuses == [204, 429]


async def test_a_tenants_records_and_bytes_count_on_the_private_port() -> None:
    async with running_edge(edge_tenant_rate=10.0, edge_client_rate=1.0, proxy_topics=["other"]) as edge:
        body = rest(*[b"1"] * 50)
        statuses = [(await edge.post("/topics/other", body, private=True))[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        assert (await edge.post("/topics/other", rest(*[b"1"] * 101), private=True))[0] in (413, 429)
    async with running_edge(edge_tenant_byte_rate=1_024.0, proxy_topics=["other"]) as edge:
        body = rest(b'"' + b"x" * 6_000 + b'"')
        assert [(await edge.post("/topics/other", body, private=True))[0] for _ in range(2)] == [200, 429]


async def test_compressed_padding_stores_less_than_was_sent() -> None:
    body = gzip.compress(PLAIN[:-1] + b',"padding":"' + b"x" * 60_000 + b'"}', 9)
    sent = stored = 0
    async with running_edge() as edge:
        while sent < 61_440:
            await edge.post("/e/heatmap.events", body, "text/plain")
            sent += len(body)
        stored = sum(record.size for record in edge.records)
    assert stored < sent


def test_an_address_does_not_use_up_the_rate_of_another() -> None:
    values = {"edge_client_byte_rate": 100.0}
    one = Admission(Settings.model_construct(**{**Settings().model_dump(), **values}), Tenants([]))
    mine, other = (one.visitor({}, client) for client in (b"a", b"b"))  # type: ignore[arg-type]
    mine.pay_bytes(1_000)
    with pytest.raises(HttpError, match="bytes"):
        mine.pay_bytes(1)
    other.pay_bytes(1_000)
