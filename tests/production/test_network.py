"""Network policies: what one side may send, the other side takes, and names are resolved."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from patience import PATIENCE_S
from production_tools import ROOT, built

BASE = ROOT / "infra" / "kubernetes" / "base"
COMPONENT = "app.kubernetes.io/component"
Manifest = dict[str, Any]


def policies() -> list[Manifest]:
    return list(yaml.safe_load_all((BASE / "network-policies.yaml").read_text("utf-8")))


def peers(direction: str) -> Iterator[tuple[str, str, int]]:
    """Yield who may send to whom at which port, of our own pods, as the policies of that direction say."""
    side = {"ingress": "from", "egress": "to"}[direction]
    for policy in policies():
        own = policy["spec"]["podSelector"]["matchLabels"].get(COMPONENT)
        for rule in policy["spec"].get(direction, []):
            for peer in rule[side]:
                other = peer.get("podSelector", {}).get("matchLabels", {}).get(COMPONENT)
                if own and other:
                    yield from ((other, own, port["port"]) for port in rule["ports"] if direction == "ingress")
                    yield from ((own, other, port["port"]) for port in rule["ports"] if direction == "egress")


def test_what_a_pod_may_send_its_peer_takes() -> None:
    assert set(peers("ingress")) == set(peers("egress"))


def test_prometheus_may_reach_the_pods_that_it_scrapes() -> None:
    ports = {}
    for item in built(BASE):
        if item["kind"] in ("Deployment", "StatefulSet"):
            template = item["spec"]["template"]
            for container in template["spec"]["containers"]:
                for port in container.get("ports", []):
                    ports[template["metadata"]["labels"][COMPONENT], port["name"]] = port["containerPort"]
    scraped = re.findall(r"regex: ([\w-]+);([\w-]+)", (BASE / "prometheus.yml").read_text("utf-8"))
    assert len(scraped) > 5
    for component, port in scraped:
        assert ("prometheus", component, ports[component, port]) in set(peers("egress")), component


def test_prometheus_may_reach_the_exporter_of_strimzi() -> None:
    # Strimzi labels the pod, and its one port is 9404
    label = "lpstream-kafka-exporter"
    assert f"regex: {label}\n" in (BASE / "prometheus.yml").read_text("utf-8")
    (kafka,) = [item for item in built(BASE) if item["kind"] == "Kafka"]
    assert label == f"{kafka['metadata']['name']}-kafka-exporter" and kafka["spec"]["kafkaExporter"]
    (policy,) = [item for item in policies() if item["metadata"]["name"] == "prometheus"]
    peer = {"podSelector": {"matchLabels": {"strimzi.io/name": label}}}
    assert {"to": [peer], "ports": [{"port": 9404}]} in policy["spec"]["egress"]


def test_names_are_resolved_on_nodes_with_a_dns_cache() -> None:
    # GKE's NodeLocal DNSCache and Cloud DNS answer on the node itself, where no selector of pods matches
    default = policies()[0]
    peers_of_dns = [peer for rule in default["spec"]["egress"] for peer in rule["to"]]
    blocks = {peer["ipBlock"]["cidr"] for peer in peers_of_dns if "ipBlock" in peer}
    assert blocks == {"169.254.20.10/32", "169.254.169.254/32"}


def test_haproxys_servers_have_full_names() -> None:
    # HAProxy's resolver takes only the name servers of resolv.conf, not its search domains
    servers = re.findall(r"^\s+server \S+ (\S+?):\d+", (BASE / "haproxy.cfg").read_text("utf-8"), re.MULTILINE)
    assert len(servers) == 3
    assert all(re.fullmatch(r"redis-\d\.redis-nodes\.lpstream\.svc\.cluster\.local", name) for name in servers)


def test_grafana_can_unpack_its_plugin() -> None:
    # pkg/plugins/repo/client.go of Grafana downloads to a temporary file
    (grafana,) = [
        item["spec"]["template"]["spec"]
        for item in built(BASE)
        if item["kind"] == "Deployment" and item["metadata"]["name"] == "grafana"
    ]
    (container,) = grafana["containers"]
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}  # noqa: S108 - of the container


def test_the_redis_of_compose_is_the_first_process(tmp_path: Path) -> None:
    # a shell as the first process ignores SIGTERM, and Docker would kill the server after 10 s
    compose = yaml.safe_load((ROOT / "infra" / "compose" / "compose.yml").read_text("utf-8"))
    *shell, script = compose["services"]["redis"]["command"]
    (tmp_path / "secret").write_text("pass-word", "utf-8")
    server = tmp_path / "valkey-server"
    server.write_text('#!/bin/sh\necho "$$ $@"\ncat "$1"\n', "utf-8")
    server.chmod(0o755)
    script = script.replace("$$", "$").replace("/tmp/", f"{tmp_path}/")  # noqa: S108 - the container's
    script = script.replace("/run/secrets/redis_password", str(tmp_path / "secret"))
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    started = subprocess.Popen([*shell, script], env=environment, stdout=subprocess.PIPE, text=True)
    arguments, configuration = started.communicate(timeout=PATIENCE_S)[0].splitlines()
    assert arguments.startswith(f"{started.pid} ") and "pass-word" not in arguments
    assert configuration == "requirepass pass-word"


@pytest.mark.parametrize("name", ["kafka-1", "kafka-2", "kafka-3"])
def test_a_brokers_probe_does_not_take_its_heap(name: str) -> None:
    compose = yaml.safe_load((ROOT / "infra" / "compose" / "compose.yml").read_text("utf-8"))
    probe = compose["services"][name]["healthcheck"]["test"][1]
    assert re.match(r"KAFKA_HEAP_OPTS=-Xmx\d{2,3}m ", probe), probe
