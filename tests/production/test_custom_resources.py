"""Custom resources of the manifests, against the schemas of their operators.

`crds.json.gz` has the schemas of Strimzi, Altinity's operator, KEDA and ExternalDNS without their descriptions (Apache
License 2.0), and for each its repository, commit and file. GKE's BackendConfig has no schema file.
"""

import gzip
import json
from collections import Counter
from functools import cache
from typing import Any

import jsonschema
import pytest
from production_tools import ROOT
from test_kubernetes import CUSTOM, RECOMMENDED, REGIONS, Manifest, built, one

WITHOUT_SCHEMA = {"BackendConfig"}


@cache
def schemas() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(
        gzip.decompress((ROOT / "tests/production/crds.json.gz").read_bytes())
    )
    return {kind: item | {"schema": closed(item["schema"])} for kind, item in found.items()}


def closed(schema: Any) -> Any:
    """Return the schema with unknown fields refused, as the API server warns of them."""
    if not isinstance(schema, dict):
        return schema
    found = {
        name: value for name, value in schema.items() if name not in ("properties", "items", "additionalProperties")
    }
    for name in ("items", "additionalProperties"):
        if name in schema:
            found[name] = closed(schema[name])
    if "properties" in schema:
        found["properties"] = {name: closed(value) for name, value in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            found.setdefault("additionalProperties", False)
    return found


def check(manifest: Manifest) -> None:
    known = schemas()[manifest["kind"]]
    assert manifest["apiVersion"] == known["apiVersion"]
    rest = {name: value for name, value in manifest.items() if name not in ("apiVersion", "kind", "metadata")}
    schema = known["schema"] | {"required": [name for name in known["schema"].get("required", ()) if name in ("spec",)]}
    jsonschema.validate(rest, schema)


def test_custom_resources_match_their_operators_schemas() -> None:
    every = {json.dumps(item, sort_keys=True): item for region in (*REGIONS, RECOMMENDED) for item in built(region)}
    checked: Counter[str] = Counter()
    for item in every.values():
        if item["kind"] in schemas():
            check(item)
            checked[item["kind"]] += 1
    assert set(checked) == CUSTOM - WITHOUT_SCHEMA
    assert checked["ScaledObject"] >= 4


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        ("ScaledObject", "edge", ("spec", "minReplicaCounts"), 1),
        ("KafkaNodePool", "nodes", ("spec", "replicas"), "three"),
        ("Kafka", "lpstream", ("spec", "kafka", "listener"), []),
        ("ClickHouseInstallation", "clickhouse", ("spec", "configuration", "cluster"), []),
    ],
)
def test_a_wrong_field_of_a_custom_resource_is_detected(
    kind: str, name: str, path: tuple[str, ...], value: object
) -> None:
    item = json.loads(json.dumps(one(built("us-west1"), kind, name)))
    place = item
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(item)
