"""The specification's autoscaling rule, evaluated by promtool."""

from pathlib import Path

import pytest
import yaml
from production_tools import ROOT, run, tool

RULES = ROOT / "infra" / "kubernetes" / "base" / "autoscaling-rules.yml"
INSTANCES = 6
# of the present number; the steps of the ScaledObjects limit the change
UP, STAY, DOWN = 100, 1, 0


def series(cpu: float, memory: float, connections: float) -> list[dict[str, str]]:
    """Return the usage series of six edges, each with one core, 512 MiB and 200 connections.

    Values in percent.
    """
    found = []
    for number in range(INSTANCES):
        pod = f'namespace="lpstream", container="edge", pod="edge-{number}"'
        memory_bytes = round(memory / 100 * 536870912)
        found += [
            {"series": f"container_cpu_usage_seconds_total{{{pod}}}", "values": f"0+{cpu / 100 * 15}x40"},
            {"series": f"container_spec_cpu_quota{{{pod}}}", "values": "100000x40"},
            {"series": f"container_spec_cpu_period{{{pod}}}", "values": "100000x40"},
            {"series": f"container_memory_working_set_bytes{{{pod}}}", "values": f"{memory_bytes}x40"},
            {"series": f"container_spec_memory_limit_bytes{{{pod}}}", "values": "536870912x40"},
            {"series": f'up{{job="lpstream-edge", pod="edge-{number}"}}', "values": "1x40"},
            {
                "series": f'lpstream_edge_connections{{listener="public", pod="edge-{number}"}}',
                "values": f"{connections * 2}x40",
            },
        ]
    return found


@pytest.mark.parametrize(
    ("cpu", "memory", "connections", "asked"),
    [
        (71, 50, 50, UP),
        (50, 81, 50, UP),
        (50, 50, 81, UP),
        (10, 10, 90, UP),
        (69, 79, 79, STAY),
        (29, 39, 31, STAY),
        (31, 10, 10, STAY),
        (29, 39, 29, DOWN),
    ],
)
def test_the_number_of_edges_follows_their_usage(
    tmp_path: Path, cpu: float, memory: float, connections: float, asked: int
) -> None:
    check(tmp_path, series(cpu, memory, connections), asked)


@pytest.mark.parametrize(
    ("missing", "cpu", "connections", "asked"),
    [
        ("container_", 10, 97, UP),
        ("container_", 10, 10, STAY),
        ("container_cpu", 10, 97, UP),
        ("container_memory", 10, 10, STAY),
        ("lpstream_edge", 90, 10, UP),
        ("lpstream_edge", 10, 10, STAY),
        ("", 90, 97, STAY),
    ],
)
def test_missing_series_remove_no_edge(
    tmp_path: Path, missing: str, cpu: float, connections: float, asked: int
) -> None:
    check(tmp_path, [item for item in series(cpu, 10, connections) if not item["series"].startswith(missing)], asked)


def test_nginx_scales_by_the_same_rule(tmp_path: Path) -> None:
    names = (
        ("lpstream-edge", "nginx"),
        ('"edge"', '"nginx"'),
        ('lpstream_edge_connections{listener="public", ', "nginx_connections_active{"),
    )
    found = []
    for item in series(10, 10, 100):
        for old, new in names:
            item["series"] = item["series"].replace(old, new)
        found.append(item)
    check(tmp_path, found, STAY, "nginx")  # 200 of 500 connections
    for asked, values in ((UP, "401x40"), (DOWN, "149x40")):
        for item in found:
            if item["series"].startswith("nginx"):
                item["values"] = values
        check(tmp_path, found, asked, "nginx")
    check(tmp_path, [item for item in found if not item["series"].startswith("container_")], STAY, "nginx")


def check(folder: Path, given: list[dict[str, str]], asked: int, tier: str = "edge") -> None:
    """Let promtool compute the rules from the series, and compare the autoscaler's number."""
    samples = [{"labels": f"lpstream:{tier}_replicas:ratio", "value": asked}]
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": given,
                "promql_expr_test": [
                    {"expr": f"lpstream:{tier}_replicas:ratio", "eval_time": "8m", "exp_samples": samples}
                ],
            }
        ],
    }
    file = folder / "test.yml"
    file.write_text(yaml.safe_dump(test), "utf-8")
    run(tool("promtool"), "test", "rules", file)
