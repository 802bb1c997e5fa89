"""The capacity model: it scales a run's processor time by connections and by LPs per minute.

The cores of the edge, the broker, the heatmap worker and ClickHouse are assumed proportional to connections; those of
the generation worker, Redis and S3 to LPs per minute. For larger sizes this is an upper bound: batches fill up, and
the idle cost of a process is scaled too. Memory and disk are not in the model.
"""

import math
from collections.abc import Mapping
from typing import Any

PER_CONNECTION = ("edge", "heatmap", "kafka", "clickhouse")
PER_LP = ("generation", "redis", "s3")
# each of our processes uses one core; the verification plan adds instances at 70 % of it
FULL_CORE, INSTANCE_CORES = 0.9, 0.7
MACHINE_FULL = 0.95

Processes = Mapping[str, Mapping[str, Any]]


def capacity(connections: int, per_minute: float, processes: Processes) -> dict[str, Any]:
    """Return the cores per 1,000 connections and per 100 LPs/min, by process."""
    return {
        "per_1000_connections": {
            name: round(1_000 * process["cores"] / connections, 4)
            for name, process in processes.items()
            if _family(name) in PER_CONNECTION
        },
        "per_100_lps_a_minute": {
            name: round(100 * process["cores"] / per_minute, 4)
            for name, process in processes.items()
            if _family(name) in PER_LP and per_minute
        },
    }


def _family(name: str) -> str:
    return "kafka" if name.startswith("kafka") else name


def carried(model: Mapping[str, Mapping[str, float]], connections: int, per_minute: float) -> dict[str, float]:
    """Return the cores by process for a number of connections and of LPs per minute."""
    by_process = {name: cores * connections / 1_000 for name, cores in model["per_1000_connections"].items()}
    by_process |= {name: cores * per_minute / 100 for name, cores in model["per_100_lps_a_minute"].items()}
    return {name: round(cores, 2) for name, cores in by_process.items()}


def instances(cores: float) -> int:
    """Return the number of processes needed, each using 70 % of a core."""
    return max(1, math.ceil(cores / INSTANCE_CORES))


def ran_out(resources: Mapping[str, Any], cores: int) -> list[str]:
    """Return the exhausted resources: the machine's processor, or the core of a single process."""
    exhausted = []
    machine = resources["machine_cores"]
    if machine is not None and machine >= MACHINE_FULL * cores:
        exhausted.append("processor")
    exhausted += [
        f"{name}'s core"
        for name, process in resources["processes"].items()
        if process["cores"] >= FULL_CORE and (name in ("edge", "heatmap", "generation") or name.startswith("driver"))
    ]
    return exhausted
