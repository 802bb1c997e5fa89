"""AsyncAPI and OpenAPI documents.

Generated from the code, and valid by their specifications' schemas.
"""

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
from streams.edge.routes import PRIVATE, PUBLIC
from streams.proof.documents import as_json, documents

SCHEMA = AT.parent / "asyncapi-3.0.0.json"
BEACON = EXAMPLE_BEACON | {"t0": 1795451374000}


def read(file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "docs" / file).read_text("utf-8"))
    return found


@pytest.mark.parametrize("file", ["asyncapi.json", "openapi-public.json", "openapi-private.json"])
def test_the_documents_equal_the_generated_documents(file: str) -> None:
    written = (ROOT / "docs" / file).read_text("utf-8")
    assert written == as_json(documents()[file]), "run `python -m streams.proof.documents`"


@pytest.mark.parametrize("file", ["openapi-public.json", "openapi-private.json"])
def test_the_openapi_documents_are_valid(file: str) -> None:
    validate_openapi(read(file))


def test_an_invalid_openapi_document_is_detected() -> None:
    broken = read("openapi-public.json")
    del broken["paths"]["/lp/{lp_id}"]["get"]["responses"]
    broken["paths"]["/lp/{lp_id}"]["get"]["responses"] = {"two hundred": {}}
    with pytest.raises(OpenAPIValidationError):
        validate_openapi(broken)


def test_exactly_the_routes_are_documented() -> None:
    for file, routes in (("openapi-public.json", PUBLIC), ("openapi-private.json", PRIVATE)):
        documented = {(method.upper(), path) for path, methods in read(file)["paths"].items() for method in methods}
        assert documented == {(route.method, route.template) for route in routes}


def asyncapi_schema() -> Any:
    if not SCHEMA.exists():
        pytest.skip("AsyncAPI's schema is not on this machine: `make tools` fetches it from npm")
    return json.loads(SCHEMA.read_text("utf-8"))


def test_the_asyncapi_document_is_valid() -> None:
    jsonschema.Draft7Validator(asyncapi_schema()).validate(read("asyncapi.json"))


def test_an_invalid_asyncapi_document_is_detected() -> None:
    broken = read("asyncapi.json")
    broken["operations"]["receiveLpRequests"]["action"] = "ponder"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(asyncapi_schema()).validate(broken)


def test_every_topic_has_its_channel() -> None:
    channels = read("asyncapi.json")["channels"]
    assert {one["address"] for one in channels.values()} == {topic.name for topic in load_topics()}


def test_the_documented_schema_and_the_decoder_agree_on_beacons() -> None:
    document = read("asyncapi.json")
    schema = {"$ref": "#/components/schemas/Beacon", "components": document["components"]}
    validator = jsonschema.Draft202012Validator(schema)
    decode_beacon(json.dumps(BEACON).encode())
    validator.validate(BEACON)
    for wrong in ({"device": "watch"}, {"viewport_w": 0}, {"type": "z"}, {"dt": [-1, 0]}, {"rate": 0}):
        with pytest.raises(jsonschema.ValidationError):
            validator.validate(BEACON | wrong)
