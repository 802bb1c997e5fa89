"""The specification's autoscaling rule, evaluated by promtool."""

from pathlib import Path

import pytest
import yaml
from production_tools import ROOT, run, tool

RULES = ROOT / "infra" / "kubernetes" / "base" / "autoscaling-rules.yml"
INSTANCES = 6
UP, STAY, DOWN = 2 * INSTANCES, INSTANCES, 0


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
    samples = [{"labels": "lpstream:edge_replicas:asked", "value": asked}]
    test = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": series(cpu, memory, connections),
                "promql_expr_test": [
                    {"expr": "lpstream:edge_replicas:asked", "eval_time": "8m", "exp_samples": samples}
                ],
            }
        ],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump(test), "utf-8")
    run(tool("promtool"), "test", "rules", file)
