"""Values that were small on the wire and are large when a worker reads them."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest
from beacons import example_beacon
from page_requests import least

from processors.heatmap.decode import decode
from schemas.bounds import MOST_DATUM, MOST_ITEMS, MOST_MESSAGE, MOST_RECORD
from schemas.codec import BEACON, REQUEST, decode_framed, decode_request, encode_framed, to_beacon
from schemas.errors import DecodeError
from schemas.experiments import MOST_ARMS, MOST_POINTS, ExperimentState, PastWeights
from schemas.generation import (
    GenerationRequest,
    Progress,
    Result,
    Step,
    StepResult,
    decode_model,
    encode_model,
)
from schemas.heatmap import MAX_EVENTS, MAX_SECTIONS
from streams.generation.requests import identified
from streams.operate.dead_letters import PAGE_OF

ID = UUID("2b1f5e4e-5d0a-4b8e-9a86-0b8a2fd6e0c1")
REQUEST_BODY = encode_model(least("飲食"))
MODELS = (Step, StepResult, Result, Progress, PastWeights, ExperimentState)


def padded(value: bytes, size: int) -> bytes:
    """Return JSON of this size: spaces mean nothing."""
    return value + b" " * (size - len(value))


def with_lists(value: bytes, lists: int) -> bytes:
    """Return a JSON object with an unknown field of empty lists."""
    return value[:-1] + b',"zz":[' + b"[]," * (lists - 1) + b"[]]}"


def framed_sections(count: int) -> bytes:
    """Return a framed beacon with sections that take three bytes each."""
    value = encode_framed(BEACON, example_beacon(sections=[["s", 1, 2]]))
    number, length = count << 1, bytearray()
    while number > 127:
        length.append(number & 127 | 128)
        number >>= 7
    length.append(number)
    return value.replace(b"\x02\x02s\x02\x04\x00", bytes(length) + b"\0\0\0" * count + b"\0")


TOO_LARGE: dict[str, tuple[Callable[[bytes], object], bytes, str]] = {
    "beacon": (to_beacon, padded(msgspec.json.encode(example_beacon()), MOST_RECORD + 1), "1,048,577 bytes"),
    "framed beacon": (to_beacon, framed_sections(MOST_DATUM // 3), "at most 524,288"),
    "request": (decode_request, padded(REQUEST_BODY, MOST_RECORD + 1), "1,048,577 bytes"),
    "framed request": (decode_request, encode_framed(REQUEST, json.loads(REQUEST_BODY)) + bytes(MOST_DATUM), "524,288"),
    "request of lists": (decode_request, with_lists(REQUEST_BODY, MOST_ITEMS), "lists, objects and commas"),
    "variant of lists": (decode_request, b'{"variant":[' + b"[]," * MOST_ITEMS + b"[]]}", "lists, objects and commas"),
    "request of brackets": (decode_request, b"[" * (MOST_ITEMS + 1), "lists, objects and commas"),
    "request of fields": (decode_request, b'{"a":0' + b',"b":0' * MOST_ITEMS + b"}", "lists, objects and commas"),
    **{
        f"{model.__name__} of {name}": (lambda value, model=model: decode_model(model, value), value, text)  # type: ignore[misc]
        for model in MODELS
        for name, value, text in (
            ("bytes", padded(b"{}", MOST_MESSAGE + 1), "2,097,153 bytes"),
            ("objects", b'{"attempts":[' + b"{}," * MOST_ITEMS + b"{}]}", "lists, objects and commas"),
        )
    },
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_an_inflated_value_is_refused_before_it_is_decoded(name: str) -> None:
    decoder, value, text = TOO_LARGE[name]
    with pytest.raises(DecodeError, match=text) as raised:
        decoder(value)
    assert raised.value.field == "", "only the size was looked at"


@pytest.mark.parametrize("topic", PAGE_OF)
def test_a_replay_refuses_an_inflated_letter(topic: str) -> None:
    with pytest.raises(DecodeError, match="bytes, at most"):
        PAGE_OF[topic](padded(b"{}", MOST_MESSAGE + 1))


def test_an_inflated_beacon_is_rejected_alone() -> None:
    good = msgspec.json.encode(example_beacon())
    values = [good, padded(good, MOST_RECORD + 1), b"", framed_sections(MOST_DATUM), good]
    found = decode(values, [example_beacon()["t0"]] * len(values))
    assert found.positions.tolist() == [0, 4]
    assert [bad.index for bad in found.rejected] == [1, 3]
    assert all("bytes, at most" in bad.detail for bad in found.rejected)


def test_the_ids_of_an_inflated_request_are_not_read() -> None:
    assert identified(padded(b'{"request_id":"x"}', MOST_RECORD)) is not None
    assert identified(padded(b'{"request_id":"x"}', MOST_RECORD + 1)) is None


def test_a_framed_beacon_of_many_sections_names_the_field() -> None:
    value = framed_sections(MOST_DATUM // 3 - 100)
    assert len(decode_framed(value, BEACON)["sections"]) == MAX_SECTIONS + 1
    with pytest.raises(DecodeError) as raised:
        to_beacon(value)
    assert raised.value.field == "sections"


def largest_beacon() -> dict[str, Any]:
    """Return the beacon with the largest valid datum."""
    names = [f"{at:0>3}" + "😀" * 61 for at in range(MAX_EVENTS)]
    far = [2**53 - 1] * MAX_EVENTS
    sections = [[name, -far[0], far[0]] for name in names[:MAX_SECTIONS]]
    return example_beacon(
        lp_id="a" * 128, type="c" * MAX_EVENTS, dt=[59_999] * MAX_EVENTS, x=far, y=far, dwell=[60_000] * MAX_EVENTS,
        fixed=list(range(MAX_EVENTS)), sections=sections, new_sections=names[:MAX_SECTIONS], elements=names,
        page_h=900,
    )  # fmt: skip


def largest_request() -> GenerationRequest:
    """Return a valid request of the most bytes: each text is as long as allowed.

    Each of its characters has four bytes.
    """
    line, text = "😀" * 200, "😀" * 1_000
    treatment = {"name": line, "content": text, "cost": line, "risks": text, "period": line}
    facts = {
        "prices": [{"label": line, "text": "😀" * 60}] * 50,
        "testimonials": [{"text": text, "author": line}] * 20,
        "licences": [line] * 20,
        "treatments": [treatment] * 10,
    }
    return least("医療", facts=facts, keywords=["😀" * 50] * 20)


def test_the_largest_honest_values_are_read() -> None:
    beacon = largest_beacon()
    assert to_beacon(padded(msgspec.json.encode(beacon), MOST_RECORD)) == to_beacon(msgspec.json.encode(beacon))
    assert to_beacon(encode_framed(BEACON, beacon)).sections == to_beacon(msgspec.json.encode(beacon)).sections
    assert decode_request(padded(REQUEST_BODY, MOST_RECORD)) == decode_request(REQUEST_BODY)
    request = largest_request()
    assert decode_request(encode_framed(REQUEST, json.loads(encode_model(request)))) == request
    points = [(2_000_000_000, [1 / MOST_ARMS] * MOST_ARMS)] * MOST_POINTS
    past = PastWeights(experiment_id=ID, lp_id="a" * 128, points=points)
    assert decode_model(PastWeights, encode_model(past)) == past
    step = Step(request_id=ID, step_id=ID, step="copy", deadline_ms=1, input={"plan": "あ" * 600_000})  # type: ignore[arg-type]
    assert decode_model(Step, encode_model(step)) == step
