"""The Avro codec.

Models match schemas, bad bytes raise DecodeError only, and old data stays readable.
"""

import copy
import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import msgspec
import pytest
from beacons import example_beacon
from fastavro.read import SchemaResolutionError
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec, generation, heatmap
from schemas.errors import DecodeError

AVRO = Path(codec.__file__).parent / "avro"
REQUEST_ID = UUID("2b1f5e4e-5d0a-4b8e-9a86-0b8a2fd6e0c1")
BEACON = example_beacon(fixed=[1], sections=[["hero", 0, 820], ["price", 820, 1640]], rate=0.5)
ATTEMPT = generation.Attempt(provider="p", model="m", outcome="ok", first_token_ms=1, total_ms=2, cost_micro_jpy=3)
MODELS: dict[str, generation.Model] = {
    "generation_request": generation.GenerationRequest(
        request_id=REQUEST_ID,
        tenant_id="t1",
        industry="飲食",
        purpose="集客",
        keywords=["ラーメン"],
        business=generation.Business(name="麺屋 一", phone="03-0000-0000"),
        facts=generation.Facts(prices=[generation.Price(label="並", yen=900)], hours="11-23"),
    ),
    "step": generation.Step(
        request_id=REQUEST_ID, step_id=REQUEST_ID, step=generation.StepName.COPY, deadline_ms=1, input={"a": [1, "あ"]}
    ),
    "step_result": generation.StepResult(
        request_id=REQUEST_ID,
        step_id=REQUEST_ID,
        step=generation.StepName.COPY,
        status="ok",
        output={"copy": {"x": None}},
        elapsed_ms=5,
        attempts=[ATTEMPT],
    ),
    "result": generation.Result(
        request_id=REQUEST_ID,
        tenant_id="t1",
        status="rejected",
        warnings=[generation.Warning_(code="c", detail="d")],
        error=generation.Failure(code="c", field=None, detail="d"),
        timings_ms=generation.Timings(validate_=1, copy_=2),
    ),
    "progress": generation.Progress(request_id=REQUEST_ID, percent=5, stage="copy", section="hero", at_ms=9),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_survives_an_avro_round_trip(name: str) -> None:
    message = MODELS[name]
    framed = codec.encode_framed(name, message.model_dump(mode="json"))
    assert codec.is_framed(framed)
    assert generation.model_from_object(type(message), codec.decode_framed(framed, name)) == message


def test_a_beacon_survives_an_avro_round_trip() -> None:
    framed = codec.encode_framed("heatmap_beacon", BEACON)
    assert codec.to_beacon(framed) == codec.to_beacon(json.dumps(BEACON).encode())


@pytest.mark.parametrize("name", [*MODELS, "heatmap_beacon"])
def test_model_and_avro_have_the_same_fields(name: str) -> None:
    avro = {field["name"] for field in codec.avro_schema(name)["fields"]}
    if name == "heatmap_beacon":
        # only browsers know which sections are new, and they send JSON
        model = {field.name for field in msgspec.structs.fields(heatmap.Beacon)} - {"new_sections", "elements"}
    else:
        model = {field.alias or key for key, field in type(MODELS[name]).model_fields.items()}
    if name == "generation_request":
        model -= {"variant"}  # its id and schema are fixed; only JSON has requests for variants
    assert avro == model


@given(st.binary(max_size=200))
def test_any_bytes_raise_only_decode_errors(data: bytes) -> None:
    for framed in (data, b"\x00\x00\x00\x00\x01" + data, b"\x00\x00\x00\x00\x02" + data):
        for decode in (codec.to_beacon, codec.decode_request):
            try:
                decode(framed)
            except DecodeError:
                continue


@pytest.mark.parametrize("cut", [1, 4, 5, 20, -1])
def test_truncated_and_trailing_bytes_are_refused(cut: int) -> None:
    framed = codec.encode_framed("heatmap_beacon", BEACON)
    with pytest.raises(DecodeError):
        codec.to_beacon(framed[:cut])
    with pytest.raises(DecodeError, match="after the Avro datum"):
        codec.to_beacon(framed + b"\x00")


def test_data_of_another_schema_is_refused_by_name() -> None:
    framed = codec.encode_framed("progress", MODELS["progress"].model_dump(mode="json"))
    with pytest.raises(DecodeError, match="heatmap_beacon has id 1"):
        codec.to_beacon(framed)


def write_then_read(writer: Any, reader: Any, datum: Any) -> Any:
    """Write the datum with one schema and read it with the other."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(copy.deepcopy(writer), named_schemas={}), datum)
    out.seek(0)
    return fastavro.schemaless_reader(
        out,
        fastavro.parse_schema(copy.deepcopy(writer), named_schemas={}),
        fastavro.parse_schema(copy.deepcopy(reader), named_schemas={}),
    )


def datum_of(name: str) -> Any:
    if name == "heatmap_beacon":
        return codec._to_avro(name, BEACON)
    return codec._to_avro(name, MODELS[name].model_dump(mode="json"))


RELEASED = sorted(AVRO.glob("released/*/*.avsc"))


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_data_of_every_released_schema_is_still_read(released: Path) -> None:
    old = json.loads(released.read_text(encoding="utf-8"))
    new = json.loads((AVRO / released.name).read_text(encoding="utf-8"))
    decoded = write_then_read(old, new, datum_of(released.stem))
    assert decoded["schema"] == 1


def test_an_incompatible_schema_change_is_detected() -> None:
    old = json.loads((AVRO / "progress.avsc").read_text(encoding="utf-8"))
    new = copy.deepcopy(old)
    new["fields"].append({"name": "added_without_default", "type": "string"})
    with pytest.raises(SchemaResolutionError, match="added_without_default"):
        write_then_read(old, new, datum_of("progress"))
