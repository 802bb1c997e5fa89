"""Alerts reach people.

Prometheus knows the Alertmanager of both layouts, and its receiver reads the operator's file.
"""

from typing import Any

import yaml
from production_tools import ROOT
from test_documented_steps import PAGE
from test_image import compose
from test_kubernetes import one, pods
from test_network import BASE, built

CONFIG = ROOT / "infra" / "monitoring" / "alertmanager.yml"
ADDRESS_FILE = "/run/secrets/alerts/url"


def read(path: Any) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text("utf-8"))
    return found


def targets(path: Any) -> list[str]:
    managers = read(path)["alerting"]["alertmanagers"]
    return [target for one in managers for config in one["static_configs"] for target in config["targets"]]


def test_prometheus_sends_alerts_to_the_alertmanager_of_its_layout() -> None:
    assert targets(ROOT / "infra" / "monitoring" / "prometheus.yml") == ["alertmanager:9093"]
    assert "alertmanager" in compose()["services"]
    # beside Prometheus in one pod, so no network policy is between them
    assert targets(BASE / "prometheus.yml") == ["localhost:9093"]
    containers = {item["name"]: item for item in pods(built(BASE))["prometheus"]["containers"]}
    assert {"name": "alerts", "containerPort": 9093} in containers["alertmanager"]["ports"]


def test_pages_and_tickets_are_sent_and_info_is_not() -> None:
    config = read(CONFIG)
    receivers = {item["name"]: item for item in config["receivers"]}
    assert receivers[config["route"]["receiver"]]["webhook_configs"] == [{"url_file": ADDRESS_FILE}]
    (info,) = [route for route in config["route"]["routes"] if route["matchers"] == ['severity="info"']]
    assert receivers[info["receiver"]] == {"name": info["receiver"]}


def test_the_address_comes_from_a_file_of_the_operator() -> None:
    folder = ADDRESS_FILE.removesuffix("/url")
    pod = pods(built(BASE))["prometheus"]
    (container,) = [item for item in pod["containers"] if item["name"] == "alertmanager"]
    (name,) = [mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == folder]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == name]
    assert volume["secret"]["secretName"] == "alerts"
    assert volume["secret"]["optional"] is True, "Prometheus starts without it"
    service = compose()["services"]["alertmanager"]
    assert service["secrets"] == [{"source": "alerts_url", "target": ADDRESS_FILE}]
    for place, path in (("compose", service["volumes"]), ("kubernetes", one(built(BASE), "StatefulSet", "prometheus"))):
        assert "alertmanager" in str(path)
        assert 'once alerts_url ""' in (ROOT / "infra" / place / "prepare").read_text("utf-8")


def test_prometheus_is_reached_while_its_alertmanager_does_not_start() -> None:
    manifests = built(BASE)
    assert {"prometheus", "alertmanager"} <= {item["name"] for item in pods(manifests)["prometheus"]["containers"]}
    assert one(manifests, "Service", "prometheus")["spec"]["publishNotReadyAddresses"] is True


def test_the_documented_check_runs_the_alertmanager_of_both_layouts() -> None:
    (container,) = [item for item in pods(built(BASE))["prometheus"]["containers"] if item["name"] == "alertmanager"]
    [command] = [line for line in PAGE.splitlines() if "docker run" in line and line.startswith("    ")]
    assert container["image"] == compose()["services"]["alertmanager"]["image"]
    assert f" {container['image']} check-config /config/{CONFIG.name}" in command
    assert f"$PWD/{CONFIG.parent.relative_to(ROOT)}:/config" in command
