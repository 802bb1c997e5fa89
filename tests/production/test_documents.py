"""AsyncAPI and OpenAPI documents: what the code says today, and sound by their specifications' own schemas."""

import json
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import validate as validate_openapi
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError
from production_tools import AT, ROOT

from infra.kafka.topics import load_topics
from schemas.heatmap import decode_beacon
from streams.cli.up import BEACON as EXAMPLE_BEACON
from streams.edge.server import PRIVATE, PUBLIC
from streams.proof.documents import as_json, documents

SCHEMA = AT.parent / "asyncapi-3.0.0.json"
BEACON = EXAMPLE_BEACON | {"t0": 1795451374000}


def read(file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs" / file).read_text("utf-8"))
    return found


@pytest.mark.parametrize("file", ["asyncapi.json", "openapi-public.json", "openapi-private.json"])
def test_the_documents_are_what_the_code_says(file: str) -> None:
    written = (ROOT / "docs" / file).read_text("utf-8")
    assert written == as_json(documents()[file]), "run `python -m streams.proof.documents`"


@pytest.mark.parametrize("file", ["openapi-public.json", "openapi-private.json"])
def test_openapi_is_sound(file: str) -> None:
    validate_openapi(read(file))


def test_an_unsound_openapi_document_is_seen() -> None:
    broken = read("openapi-public.json")
    del broken["paths"]["/lp/{lp_id}"]["get"]["responses"]
    broken["paths"]["/lp/{lp_id}"]["get"]["responses"] = {"two hundred": {}}
    with pytest.raises(OpenAPIValidationError):
        validate_openapi(broken)


def test_every_route_is_documented_and_no_other() -> None:
    for file, routes in (("openapi-public.json", PUBLIC), ("openapi-private.json", PRIVATE)):
        told = {(method.upper(), path) for path, methods in read(file)["paths"].items() for method in methods}
        assert told == {(route.method, route.template) for route in routes if not route.template.startswith("/studio")}


def asyncapi_schema() -> Any:
    if not SCHEMA.exists():
        pytest.skip("AsyncAPI's schema is not on this machine: `make tools` fetches it from npm")
    return json.loads(SCHEMA.read_text("utf-8"))


def test_asyncapi_is_sound() -> None:
    jsonschema.Draft7Validator(asyncapi_schema()).validate(read("asyncapi.json"))


def test_an_unsound_asyncapi_document_is_seen() -> None:
    broken = read("asyncapi.json")
    broken["operations"]["receiveLpRequests"]["action"] = "ponder"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(asyncapi_schema()).validate(broken)


def test_every_topic_has_its_channel() -> None:
    channels = read("asyncapi.json")["channels"]
    assert {one["address"] for one in channels.values()} == {topic.name for topic in load_topics()}


def test_a_beacon_that_is_taken_fits_the_document_and_one_that_is_not_does_not() -> None:
    document = read("asyncapi.json")
    schema = {"$ref": "#/components/schemas/Beacon", "components": document["components"]}
    judge = jsonschema.Draft202012Validator(schema)
    decode_beacon(json.dumps(BEACON).encode())
    judge.validate(BEACON)
    for wrong in ({"device": "watch"}, {"viewport_w": 0}, {"type": "z"}, {"dt": [-1, 0]}, {"rate": 0}):
        with pytest.raises(jsonschema.ValidationError):
            judge.validate(BEACON | wrong)
