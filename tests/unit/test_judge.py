"""The judgement of a beacon: bytes and limits in, a record or a refusal out."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.tenants import Caller, Tenants, TenantsFile
from streams.edge.beacons.judge import Refusal, judge
from streams.edge.beacons.ordinary_path import refused
from streams.edge.beacons.sender import Record
from streams.runtime import metrics

OURS, THEIRS, OWN = "https://shop.example", "https://other.example", "https://lp.example"
BEACON: dict[str, Any] = {
    "schema": 1, "lp_id": "demo-page", "pageview_id": "2B1F5E4E-5d0a-4b8e-9a86-0b8a2fd6e0c1", "seq": 0,
    "device": "mobile", "viewport_w": 390, "viewport_h": 844, "page_w": 390, "page_h": 5200, "t0": 1795451374000,
    "depth": 0, "type": "sc", "dt": [0, 120], "x": [0, 120], "y": [0, 340], "dwell": [0, 0], "fixed": [],
    "sections": [["hero", 0, 820]], "rate": 1.0,
}  # fmt: skip
PLAIN = json.dumps(BEACON).encode()
LIMIT = len(PLAIN) + 20
FILE = {"tenant": [{"id": "demo", "origins": [OURS]}, {"id": "other", "origins": [THEIRS]}]}
TENANTS = Tenants(TenantsFile.model_validate(FILE).tenant, [OWN])
DEMO = TENANTS.named("demo")
assert DEMO is not None
CALLER = Caller(DEMO, "application")


def posted(**change: Any) -> bytes:
    return json.dumps(BEACON | change).encode()


@pytest.mark.parametrize("origin", [None, OURS, OWN])
def test_an_allowed_beacon_is_a_record_under_its_pageview(origin: str | None) -> None:
    decision = judge(PLAIN, LIMIT, TENANTS, origin)
    assert isinstance(decision, Record) and decision.partition is None and decision.headers is None
    assert decision.key == decision.place_by == BEACON["pageview_id"].lower().encode()
    assert json.loads(decision.value or b"") == BEACON


@pytest.mark.parametrize(
    ("body", "origin", "caller", "status", "field", "counted_as"),
    [
        (PLAIN.ljust(LIMIT + 1), None, None, 413, "", ""),
        (b"{", None, None, 422, "", ""),
        (posted(device="watch"), None, None, 422, "device", ""),
        (posted(lp_id="nobody-page"), OURS, None, 403, "lp_id", ""),
        (posted(), THEIRS, None, 403, "", "origin"),
        (posted(lp_id="other-1234"), None, CALLER, 403, "lp_id", ""),
    ],
)
def test_a_refusal_has_its_status_and_field(
    body: bytes, origin: str | None, caller: Caller | None, status: int, field: str, counted_as: str
) -> None:
    decision = judge(body, LIMIT, TENANTS, origin, caller)
    assert isinstance(decision, Refusal)
    assert (decision.status, decision.field, decision.counted_as) == (status, field, counted_as)


def test_the_origin_of_a_caller_with_a_token_does_not_count() -> None:
    assert isinstance(judge(PLAIN, LIMIT, TENANTS, THEIRS, CALLER), Record)


def test_only_the_handling_counts_a_refusal() -> None:
    count = metrics.REFUSED.labels("origin")._value.get
    before = count()
    refusal = judge(PLAIN, LIMIT, TENANTS, THEIRS)
    assert isinstance(refusal, Refusal) and count() == before
    refused(refusal)
    assert count() == before + 1


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        (Refusal(422, "dt", "is empty"), "records[0].value: dt: is empty"),
        (Refusal(422, "", "is not a JSON document"), "records[0].value: is not a JSON document"),
        (Refusal(413, "", "is larger than 9 bytes"), "records[0].value: is larger than 9 bytes"),
        (Refusal(403, "lp_id", "no tenant"), "lp_id: no tenant"),
    ],
)
def test_the_error_names_the_value_unless_the_page_is_at_fault(refusal: Refusal, message: str) -> None:
    assert refused(refusal, "records[0].value").message == message


@given(st.binary(max_size=200) | st.integers(0, len(PLAIN)).map(lambda at: PLAIN[:at] + b"\xff" + PLAIN[at:]))
def test_any_bytes_get_a_decision(body: bytes) -> None:
    assert isinstance(judge(body, 4_096, TENANTS, OURS), Record | Refusal)
