"""Kubernetes manifests.

Kustomize builds each region, schemas are valid, the specification's numbers are set.

`test_custom_resources.py` checks the shape of custom resources (KEDA, Strimzi, Altinity, ExternalDNS).
"""

import json
import re
from collections import Counter
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import boto3
import kubernetes_validate
import production_tools
import pytest
import yaml
from production_tools import ROOT, run, tool

from infra.kafka.topics import load_topics
from infra.prices import load_prices
from processors.cost import sizes
from processors.layout import Size
from streams.cli.cost import basis_of, make_report, options_of, work_of
from streams.runtime.settings import Settings

OVERLAYS = ROOT / "infra" / "kubernetes" / "overlays"
BASE = ROOT / "infra" / "kubernetes" / "base"
# Weight, connections, edges, nginx: the specification's 60/30/10 of 10,000, of 5 to 50, of 3 to 20.
REGIONS = {
    "asia-northeast1": (60, 6_000, (3, 30), (1, 12)),
    "us-west1": (30, 3_000, (1, 15), (1, 6)),
    "europe-west1": (10, 1_000, (1, 5), (1, 2)),
}
RECOMMENDED = "one-region"
CUSTOM = {
    "BackendConfig",
    "ClickHouseInstallation",
    "ClickHouseKeeperInstallation",
    "DNSEndpoint",
    "Kafka",
    "KafkaNodePool",
    "KafkaUser",
    "ScaledObject",
    "TriggerAuthentication",
}
OURS = ("edge", "studio", "heatmap", "generation", "optimizer", "migrate", "operate")
INGRESSES = ("lpstream", "studio")
Manifest = dict[str, Any]


def built(region: str) -> list[Manifest]:
    return production_tools.built(OVERLAYS / region)


def one(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    found = [item for item in manifests if item["kind"] == kind and item["metadata"]["name"] == name]
    assert len(found) == 1, (kind, name)
    return found[0]


def pods(manifests: list[Manifest]) -> dict[str, Manifest]:
    """Return pod specs by the name of their Deployment, StatefulSet or Job."""
    makers = ("Deployment", "StatefulSet", "Job")
    return {item["metadata"]["name"]: item["spec"]["template"]["spec"] for item in manifests if item["kind"] in makers}


def test_manifests_match_kubernetes_schemas() -> None:
    every = {json.dumps(item, sort_keys=True): item for region in (*REGIONS, RECOMMENDED) for item in built(region)}
    assert {item["kind"] for item in every.values()} > CUSTOM
    validated: Counter[str] = Counter()
    for item in every.values():
        if item["kind"] not in CUSTOM:
            kubernetes_validate.validate(item, "1.37", strict=True)
            validated[item["kind"]] += 1
    assert validated["NetworkPolicy"] >= 12 and validated["Deployment"] >= 5 and validated["StatefulSet"] >= 4


def test_a_misspelt_field_is_detected() -> None:
    item = json.loads(json.dumps(one(built("us-west1"), "Deployment", "edge")))
    item["spec"]["template"]["spec"]["containers"][0]["readinessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinessprobe"):
        kubernetes_validate.validate(item, "1.37", strict=True)


@pytest.mark.parametrize("region", REGIONS)
def test_a_region_has_its_share_of_the_load(region: str) -> None:
    weight, cap, edges, nginxes = REGIONS[region]
    manifests = built(region)
    answer = one(manifests, "DNSEndpoint", "lpstream")["spec"]["endpoints"][0]
    assert {"name": "aws/weight", "value": str(weight)} in answer["providerSpecific"]
    for name, (least, most) in (("edge", edges), ("nginx", nginxes)):
        scaled = one(manifests, "ScaledObject", name)["spec"]
        assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (least, most)
        assert "fallback" not in scaled, "KEDA has no fallback for the metric type Value"
    rules = next(item for item in manifests if item["metadata"]["name"].startswith("prometheus-rules"))
    assert f"vector({cap})" in rules["data"]["region.yml"]
    # An edge takes 200 connections, an nginx 500; the maximum counts reach the cap.
    assert edges[1] * 200 == nginxes[1] * 500 == cap


def test_the_regions_add_up_to_the_specification() -> None:
    assert sum(weight for weight, *_ in REGIONS.values()) == 100
    assert sum(cap for _, cap, *_ in REGIONS.values()) == 10_000
    assert [sum(edges[at] for _, _, edges, _ in REGIONS.values()) for at in (0, 1)] == [5, 50]
    assert [sum(nginxes[at] for *_, nginxes in REGIONS.values()) for at in (0, 1)] == [3, 20]


@pytest.mark.parametrize("region", (*REGIONS, RECOMMENDED))
def test_the_bucket_is_in_a_region_of_its_provider(region: str) -> None:
    settings = one(built(region), "ConfigMap", "settings")["data"]
    assert "LPSTREAM_S3_ENDPOINT_URL" not in settings  # so the store is AWS S3
    assert settings["LPSTREAM_S3_REGION"] in boto3.session.Session().get_available_regions("s3")


@pytest.mark.parametrize("region", (*REGIONS, RECOMMENDED))
def test_every_name_that_leads_to_a_region_is_created(region: str) -> None:
    manifests = built(region)
    (endpoint,) = one(manifests, "DNSEndpoint", "lpstream")["spec"]["endpoints"]
    # ExternalDNS gives the hosts of an Ingress the address of its load balancer
    hosts = {name: {rule["host"] for rule in one(manifests, "Ingress", name)["spec"]["rules"]} for name in INGRESSES}
    assert set(endpoint["targets"]) == hosts["lpstream"]
    settings = one(manifests, "ConfigMap", "settings")["data"]
    assert urlsplit(settings["LPSTREAM_PUBLIC_URL"]).hostname in {endpoint["dnsName"], *hosts["lpstream"]}
    assert {urlsplit(settings["LPSTREAM_API_URL"]).hostname} == hosts["studio"]


@pytest.mark.parametrize("region", REGIONS)
def test_a_failed_region_leaves_dns(region: str) -> None:
    (endpoint,) = one(built(region), "DNSEndpoint", "lpstream")["spec"]["endpoints"]
    (check,) = (item["value"] for item in endpoint["providerSpecific"] if item["name"] == "aws/health-check-id")
    assert UUID(check) and endpoint["recordTTL"] == 60


def test_operators_have_a_pod_for_the_commands_of_the_runbooks() -> None:
    manifests = built("us-west1")
    assert one(manifests, "Deployment", "operate")["spec"]["replicas"] == 0
    (container,) = pods(manifests)["operate"]["containers"]
    env = {item["name"]: item.get("value") for item in container["env"]}
    assert env["LPSTREAM_CLICKHOUSE_URL"] == "http://clickhouse-write:8123"
    # `lpstream warm` and `lpstream providers check` call the models
    assert container["envFrom"] == pods(manifests)["generation"]["containers"][0]["envFrom"]
    assert amount(container["resources"]["limits"]["memory"]) >= 2 * 2**30


def test_scaling_adds_two_and_removes_one_after_300_s() -> None:
    for name in ("edge", "nginx"):
        scaled = one(built("us-west1"), "ScaledObject", name)["spec"]
        steps = scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
        assert steps["scaleUp"]["policies"] == [{"type": "Pods", "value": 2, "periodSeconds": 60}]
        assert steps["scaleDown"]["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 300}]
        assert steps["scaleDown"]["stabilizationWindowSeconds"] == 300
        (trigger,) = scaled["triggers"]
        assert trigger["metadata"]["query"] == f"lpstream:{name}_replicas:ratio"
        # With Value, the HPA compares with the Deployment's own number, which pods of a rollout do not change
        assert (trigger["metricType"], trigger["metadata"]["threshold"]) == ("Value", "1")
        # KEDA's default takes an empty answer as 0, and the autoscaler would remove pods
        assert trigger["metadata"]["ignoreNullValues"] == "false"


def test_connections_per_instance_match_the_specification() -> None:
    edge = pods(built("us-west1"))["edge"]["containers"][0]
    assert {"name": "LPSTREAM_EDGE_MAX_CONNECTIONS", "value": "200"} in edge["env"]
    assert {"name": "LPSTREAM_EDGE_PROCESSES", "value": "1"} in edge["env"]
    assert "limit_conn instance 500;" in (ROOT / "infra" / "nginx" / "nginx.conf").read_text("utf-8")


def test_probes_run_every_5_s_and_connections_drain_for_30_s() -> None:
    manifests = built("us-west1")
    for name, spec in pods(manifests).items():
        for container in spec["containers"]:
            for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
                assert container.get(probe, {"periodSeconds": 5})["periodSeconds"] == 5, (name, probe)
            if name not in ("migrate", "operate") and container["name"] != "exporter":
                assert {"readinessProbe", "livenessProbe"} <= set(container), name
    balancer = one(manifests, "BackendConfig", "lpstream")["spec"]
    assert balancer["healthCheck"]["checkIntervalSec"] == 5
    assert balancer["connectionDraining"] == {"drainingTimeoutSec": 30}
    edge, nginx = pods(manifests)["edge"], pods(manifests)["nginx"]
    assert {"name": "LPSTREAM_EDGE_DRAIN_S", "value": "30"} in edge["containers"][0]["env"]
    assert nginx["containers"][0]["lifecycle"]["preStop"] == {"sleep": {"seconds": 30}}
    for spec in (edge, nginx):
        # 30 s of draining, then the process's own limit (streams/edge/processes.py: 15 s)
        assert spec["terminationGracePeriodSeconds"] >= 30 + 15


def test_the_cdn_caches_files_for_an_hour_to_a_day() -> None:
    cdn = one(built("us-west1"), "BackendConfig", "lpstream")["spec"]["cdn"]
    assert (cdn["defaultTtl"], cdn["maxTtl"]) == (3_600, 86_400)
    assert cdn["serveWhileStale"] == 0, "a page from before an experiment is served for an hour at most"


def test_redis_has_three_nodes_of_16_gb_with_an_append_only_file() -> None:
    redis = one(built("us-west1"), "StatefulSet", "redis")["spec"]
    assert redis["replicas"] == 3
    assert redis["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "16Gi"
    assert "appendonly yes" in (BASE / "redis.conf").read_text("utf-8").splitlines()


def test_clickhouse_has_three_readers_and_a_writer() -> None:
    manifests = built("us-west1")
    store = one(manifests, "ClickHouseInstallation", "clickhouse")["spec"]
    replicas = store["configuration"]["clusters"][0]["layout"]["shards"][0]["replicas"]
    assert Counter(item["templates"]["podTemplate"] for item in replicas) == {"writer": 1, "reader": 3}
    roles = {item["name"]: item["metadata"]["labels"]["lpstream/role"] for item in store["templates"]["podTemplates"]}
    for service, template in (("clickhouse-write", "writer"), ("clickhouse-read", "reader")):
        assert one(manifests, "Service", service)["spec"]["selector"]["lpstream/role"] == roles[template]
    assert set(store["configuration"]["files"]) == {
        "config.d/production.xml",
        "config.d/regions.xml",
        "users.d/analyst.xml",
        "users.d/writer.xml",
    }
    assert store["configuration"]["zookeeper"]["nodes"]
    assert one(manifests, "ConfigMap", "settings")["data"]["LPSTREAM_CLICKHOUSE_REPLICATED"] == "true"


def test_kafka_has_three_replicas_and_two_in_sync() -> None:
    manifests = built("us-west1")
    assert one(manifests, "KafkaNodePool", "nodes")["spec"]["replicas"] == 3
    config = one(manifests, "Kafka", "lpstream")["spec"]["kafka"]["config"]
    assert (config["default.replication.factor"], config["min.insync.replicas"]) == (3, 2)
    assert config["unclean.leader.election.enable"] is False
    assert config["broker.session.timeout.ms"] / 1_000 < Settings.model_fields["produce_timeout_s"].default
    settings = one(manifests, "ConfigMap", "settings")["data"]
    assert settings["LPSTREAM_KAFKA_REPLICATION_FACTOR"] == "3"
    assert settings["LPSTREAM_KAFKA_MIN_INSYNC_REPLICAS"] == "2"


def test_workers_scale_by_the_lag_of_their_group() -> None:
    partitions = {spec.name: spec.partitions for spec in load_topics()}
    for name in ("heatmap", "generation"):
        scaled = one(built("us-west1"), "ScaledObject", name)["spec"]
        assert scaled["triggers"][0]["metadata"]["consumerGroup"] == f"lpstream-{name}"
        assert scaled["maxReplicaCount"] == partitions[scaled["triggers"][0]["metadata"]["topic"]]


def test_every_pod_has_limits_and_no_privileges() -> None:
    for name, spec in pods(built("us-west1")).items():
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        for container in spec["containers"]:
            assert {"cpu", "memory"} == set(container["resources"]["limits"]) == set(container["resources"]["requests"])
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, name
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}, name
            assert container["securityContext"]["allowPrivilegeEscalation"] is False, name
            assert not container["image"].endswith(":latest") and ":" in container["image"], name


def test_pods_have_network_policies_and_disruption_budgets() -> None:
    manifests = built("us-west1")
    policies = {
        item["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component")
        for item in manifests
        if item["kind"] == "NetworkPolicy"
    }
    budgets = {
        item["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        for item in manifests
        if item["kind"] == "PodDisruptionBudget"
    }
    made = {
        item["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"]
        for item in manifests
        if item["kind"] in ("Deployment", "StatefulSet", "Job")
    }
    assert made <= policies
    assert {"edge", "nginx", "heatmap", "generation", "redis", "redis-primary", "clickhouse"} <= budgets


def test_the_manifests_contain_only_known_settings() -> None:
    known = {f"LPSTREAM_{name.upper()}" for name in Settings.model_fields}
    manifests = built("us-west1")
    used = set(one(manifests, "ConfigMap", "settings")["data"])
    for name in OURS:
        used |= {item["name"] for item in pods(manifests)[name]["containers"][0].get("env", [])}
    assert {name for name in used if name not in known and name.removesuffix("_FILE") not in known} == set()
    assert "LPSTREAM_CLICKHOUSE_URL" in used


def test_images_equal_those_of_the_compose_file() -> None:
    compose = yaml.safe_load((ROOT / "infra" / "compose" / "compose.yml").read_text("utf-8"))
    there = {item["image"].split(":")[0]: item["image"] for item in compose["services"].values()}
    here = {
        c["image"].split("example/lpstream/")[-1]
        for spec in pods(built("us-west1")).values()
        for c in spec["containers"]
    }
    assert {there.get(image.split(":")[0], image) for image in here} == here


def test_promtool_accepts_the_configuration_of_a_region(tmp_path: Any) -> None:
    for name in ("prometheus", "prometheus-rules"):
        for item in built("europe-west1"):
            if item["kind"] == "ConfigMap" and re.fullmatch(rf"{name}-[a-z0-9]{{10}}", item["metadata"]["name"]):
                for file, text in item["data"].items():
                    (tmp_path / file).write_text(text, "utf-8")
    config = (tmp_path / "prometheus.yml").read_text("utf-8")
    run(tool("promtool"), "check", "config", "--syntax-only", _without_secrets(tmp_path, config))
    rules = [tmp_path / f"{name}.yml" for name in ("recording", "alerts", "kubernetes", "region", "autoscaling")]
    run(tool("promtool"), "check", "rules", *rules)


def _without_secrets(folder: Any, text: str) -> Any:
    """Write a config that promtool can check: with a token file, and without Kubernetes discovery.

    promtool needs the credentials files, and Debian's build lacks Kubernetes discovery.
    """
    config = yaml.safe_load(text)
    (folder / "token").write_text("t", "utf-8")
    for job in config["scrape_configs"]:
        assert job.pop("kubernetes_sd_configs")
        if "authorization" in job:
            job["authorization"]["credentials_file"] = str(folder / "token")
    file = folder / "checked.yml"
    file.write_text(yaml.safe_dump(config), "utf-8")
    return file


def instances(manifests: list[Manifest]) -> dict[str, Size]:
    """Return the number of instances and the requests of each part, Kafka's and ClickHouse's included.

    A Deployment with no pods, which operators scale up for a command, is no part.
    """
    found = {}
    for item in manifests:
        if item["kind"] in ("Deployment", "StatefulSet") and item["spec"].get("replicas") != 0:
            containers = item["spec"]["template"]["spec"]["containers"]
            claims = item["spec"].get("volumeClaimTemplates", [])
            found[item["metadata"]["name"]] = size_of(item["spec"].get("replicas", 1), containers, claims)
    for item in manifests:
        if item["kind"] == "ScaledObject":
            name = item["metadata"]["name"]
            found[name] = replace(found[name], count=item["spec"]["minReplicaCount"])
    pool = one(manifests, "KafkaNodePool", "nodes")["spec"]
    disk = amount(pool["storage"]["volumes"][0]["size"]) / 2**30
    requests = pool["resources"]["requests"]
    found["kafka"] = Size(pool["replicas"], amount(requests["cpu"]), amount(requests["memory"]) / 2**30, disk)
    for kind, name in (("ClickHouseInstallation", "clickhouse"), ("ClickHouseKeeperInstallation", "keeper")):
        spec = one(manifests, kind, name)["spec"]
        layout = spec["configuration"]["clusters"][0]["layout"]
        count = len(layout["shards"][0]["replicas"]) if "shards" in layout else layout["replicasCount"]
        templates = spec["templates"]
        found[name] = size_of(
            count, templates["podTemplates"][0]["spec"]["containers"], templates["volumeClaimTemplates"]
        )
    return found


def size_of(count: int, containers: list[Manifest], claims: list[Manifest]) -> Size:
    requests = [item["resources"]["requests"] for item in containers]
    disk = sum(amount(item["spec"]["resources"]["requests"]["storage"]) for item in claims)
    vcpu, memory = (sum(amount(item[name]) for item in requests) for name in ("cpu", "memory"))
    return Size(count, vcpu, memory / 2**30, disk / 2**30)


def rounded(size: Size) -> tuple[float, ...]:
    return tuple(round(number, 5) for number in (size.count, size.vcpu, size.gb, size.disk_gb))


def test_the_manifests_have_the_recommended_layout() -> None:
    file = load_prices().content
    priced = sizes(basis_of(file), options_of(file)[0], work_of(file, "plan"))
    found = instances(built(RECOMMENDED))
    assert set(found) == set(priced) - {"operators"}
    for name, size in found.items():
        assert rounded(size) == rounded(priced[name]), name


def test_the_plans_sizes_match_the_manifests() -> None:
    found = instances(built("us-west1"))
    for name, part in load_prices().content.plan.items():
        if name != "operators":
            assert rounded(found[name]) == rounded(Size(part.count, part.vcpu, part.gb, part.disk_gb)), name


def test_only_stateless_parts_run_on_spot_machines() -> None:
    file = load_prices().content
    priced = sizes(basis_of(file), options_of(file)[0], work_of(file, "plan"))
    for name, spec in pods(built(RECOMMENDED)).items():
        arch = "arm64" if name in priced and priced[name].arm else "amd64"
        assert spec["nodeSelector"]["kubernetes.io/arch"] == arch, name
        spot = spec["nodeSelector"].get("cloud.google.com/gke-spot") == "true"
        assert spot is (name in priced and priced[name].machine == "spot"), name
        assert spot is bool(spec.get("tolerations")), name


def test_the_overlays_say_what_they_cost() -> None:
    months = {
        row["option"]: row
        for row in make_report(load_prices().content, work_of(load_prices().content, "plan"))["months"]
    }
    plan = (BASE.parent / "plan-sizes" / "kustomization.yaml").read_text("utf-8")
    ours = (OVERLAYS / RECOMMENDED / "kustomization.yaml").read_text("utf-8")
    page = (ROOT / "docs" / "production.md").read_text("utf-8")
    for name, text in (
        ("plan's sizes, one region", plan),
        ("plan's sizes, three regions", plan),
        ("recommended: one region, pages in three", ours),
    ):
        yen = f"¥{months[name]['infrastructure_yen']:,.0f}"
        assert yen in text and yen in page, name


def test_the_recommended_region_takes_all_connections() -> None:
    rules = next(item for item in built(RECOMMENDED) if item["metadata"]["name"].startswith("prometheus-rules"))
    assert "vector(10000)" in rules["data"]["region.yml"]


def amount(text: str) -> float:
    """Return a Kubernetes quantity as a number."""
    for unit, factor in (("Gi", 2.0**30), ("Mi", 2.0**20), ("m", 0.001)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)
