"""The model that carries a run to another size: processor time by process, for each connection and each LP.

What serves visitors (edge, broker, heatmap worker, ClickHouse) is taken to grow with connections, what makes pages
(generation worker, Redis, S3) with LPs a minute, each in proportion and from zero. That is an upper bound for larger
sizes: batches fill, and what a process costs idle is counted as if it grew. Memory and disk are not in it.
"""

import math
from collections.abc import Mapping
from typing import Any

PER_CONNECTION = ("edge", "heatmap", "kafka", "clickhouse")
PER_LP = ("generation", "redis", "s3")
# a process of ours uses one core; the document adds instances at 70 % of theirs
FULL_CORE, INSTANCE_CORES = 0.9, 0.7
MACHINE_FULL = 0.95

Processes = Mapping[str, Mapping[str, Any]]


def capacity(connections: int, per_minute: float, processes: Processes) -> dict[str, Any]:
    """Cores per 1,000 connections and per 100 LPs/min, by process."""
    return {
        "per_1000_connections": {
            name: round(1_000 * one["cores"] / connections, 4)
            for name, one in processes.items()
            if _family(name) in PER_CONNECTION
        },
        "per_100_lps_a_minute": {
            name: round(100 * one["cores"] / per_minute, 4)
            for name, one in processes.items()
            if _family(name) in PER_LP and per_minute
        },
    }


def _family(name: str) -> str:
    return "kafka" if name.startswith("kafka") else name


def carried(model: Mapping[str, Mapping[str, float]], connections: int, per_minute: float) -> dict[str, float]:
    """Cores by process at that size."""
    found = {name: cores * connections / 1_000 for name, cores in model["per_1000_connections"].items()}
    found |= {name: cores * per_minute / 100 for name, cores in model["per_100_lps_a_minute"].items()}
    return {name: round(cores, 2) for name, cores in found.items()}


def instances(cores: float) -> int:
    """How many processes of one core each, at 70 % of it."""
    return max(1, math.ceil(cores / INSTANCE_CORES))


def ran_out(resources: Mapping[str, Any], cores: int) -> list[str]:
    """What had nothing left: the machine's processor, or the one core of a process of ours."""
    found = []
    machine = resources["machine_cores"]
    if machine is not None and machine >= MACHINE_FULL * cores:
        found.append("processor")
    found += [
        f"{name}'s core"
        for name, one in resources["processes"].items()
        if one["cores"] >= FULL_CORE and (name in ("edge", "heatmap", "generation") or name.startswith("driver"))
    ]
    return found
