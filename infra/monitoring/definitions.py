"""Metric definitions from `metrics.toml`: what is exported, under which name, type, unit and labels."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product
from typing import Any, Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric. `labels` holds, by label, its closed set of values, or one sentence that says what set it is.

    `across` is how a gauge is put together over the edge's processes, as prometheus_client names it.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: dict[str, tuple[str, ...] | str]
    buckets: tuple[float, ...] | None = None
    across: Literal["all", "livesum"] = "all"

    def closed(self) -> list[tuple[str, ...]]:
        """All combinations of label values, where every label's values are listed; else none."""
        sets = [values for values in self.labels.values() if not isinstance(values, str)]
        return list(product(*sets)) if self.labels and len(sets) == len(self.labels) else []

    def series(self) -> set[str]:
        """Names of the series that a query may ask for."""
        endings = ("_bucket", "_sum", "_count") if self.kind == "histogram" else ("",)
        return {self.name + ending for ending in endings}


@cache
def metric_definitions() -> dict[str, MetricDefinition]:
    """All of them, by name."""
    text = tomllib.loads(files("infra.monitoring").joinpath("metrics.toml").read_text(encoding="utf-8"))
    found = [_definition(entry) for entry in text["metric"]]
    return {one.name: one for one in found}


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
