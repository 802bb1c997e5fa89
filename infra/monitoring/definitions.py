"""Metric definitions from `metrics.toml`: the name, type, unit and labels of each metric."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any, Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """A metric. `labels` maps each label to its values, or to a sentence that describes them.

    `across` is the prometheus_client mode that combines a gauge over the edge's processes.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: dict[str, tuple[str, ...] | str]
    buckets: tuple[float, ...] | None = None
    across: Literal["all", "livesum"] = "all"

    def closed(self) -> list[tuple[str, ...]]:
        """Return all combinations of label values, empty unless every label lists its values."""
        sets = [values for values in self.labels.values() if not isinstance(values, str)]
        return list(product(*sets)) if self.labels and len(sets) == len(self.labels) else []

    def series(self) -> set[str]:
        """Return the names of the series that a query may use."""
        if self.kind == "histogram":
            return {self.name + ending for ending in ("_bucket", "_sum", "_count")}
        # prometheus_client adds the time of creation, except for the processes of one edge
        created = {self.name.removesuffix("_total") + "_created"} if self.kind == "counter" else set()
        return {self.name} | created


@cache
def metric_definitions() -> dict[str, MetricDefinition]:
    """Return all metric definitions by name."""
    text = tomllib.loads(files("infra.monitoring").joinpath("metrics.toml").read_text(encoding="utf-8"))
    definitions = [_definition(entry) for entry in text["metric"]]
    return {definition.name: definition for definition in definitions}


def _definition(entry: dict[str, Any]) -> MetricDefinition:
    labels = {name: values if isinstance(values, str) else tuple(values) for name, values in entry["labels"].items()}
    buckets = tuple(entry["buckets"]) if "buckets" in entry else None
    return MetricDefinition(
        name=entry["name"],
        kind=entry["type"],
        unit=entry["unit"],
        help=entry["help"],
        labels=labels,
        buckets=buckets,
        across=entry.get("across", "all"),
    )
