"""Metrics.

Definitions and exports match, every metric is written, and labels stay in their closed sets.
"""

import ast
from pathlib import Path

from edge_listeners import running_edge
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from infra.monitoring.definitions import metric_definitions
from streams.edge.routes import PRIVATE, PUBLIC, STUDIO
from streams.runtime import metrics

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "processors", "infra", "streams")
METRICS = {name: metric for name, metric in vars(metrics).items() if isinstance(metric, Counter | Gauge | Histogram)}


def modules() -> list[Path]:
    return [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]


def name_of(metric: Counter | Gauge | Histogram) -> str:
    family = next(iter(metric.collect()))
    return family.name + ("_total" if family.type == "counter" else "")


def test_exported_and_defined_metrics_are_the_same() -> None:
    exported = {}
    for family in REGISTRY.collect():
        if family.name.startswith("lpstream_"):
            name = family.name + ("_total" if family.type == "counter" else "")
            exported[name] = (family.type, family.documentation)
    defined = {one.name: (one.kind, one.help) for one in metric_definitions().values()}
    assert exported == defined


def test_every_metric_is_written_somewhere() -> None:
    sources = [path.read_text(encoding="utf-8") for path in modules() if path.name != "metrics.py"]
    own = (ROOT / "streams" / "runtime" / "metrics.py").read_text(encoding="utf-8").split("@cache", 1)[1]
    unwritten = [
        name
        for name in METRICS
        if not any(f"metrics.{name}." in source for source in sources) and f"{name}.labels" not in own
    ]
    assert unwritten == []


def test_only_one_module_creates_metrics() -> None:
    makers = {
        str(path.relative_to(ROOT))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom)
        and node.module == "prometheus_client"
        and {alias.name for alias in node.names} & {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}
    }
    assert makers == {"streams/runtime/metrics.py"}


def literal_labels(source: str) -> list[tuple[str, int, str]]:
    """Return (metric's Python name, label index, value) of each `metrics.NAME.labels("value", …)`."""
    found = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(attr="labels", value=ast.Attribute(value=ast.Name(id="metrics"), attr=name))
            ):
                found += [
                    (name, at, argument.value)
                    for at, argument in enumerate(node.args)
                    if isinstance(argument, ast.Constant)
                ]
    return found


def test_label_values_are_in_their_closed_set() -> None:
    used = [one for path in modules() for one in literal_labels(path.read_text(encoding="utf-8"))]
    assert len(used) > 10
    for python_name, at, value in used:
        label, values = list(metric_definitions()[name_of(METRICS[python_name])].labels.items())[at]
        assert isinstance(values, str) or value in values, (python_name, label, value)


def stores_retried(source: str) -> set[str]:
    """Return the store of each `retry("store", …)` and `self._retry(epoch, "store", …)`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    retries = [call for call in calls if ast.unparse(call.func) in ("retry", "self._retry")]
    return {each.value for call in retries for each in call.args if isinstance(each, ast.Constant)}


def test_the_stores_of_retries_are_the_closed_set() -> None:
    paths = [path for path in modules() if path.parent.name == "heatmap"]
    sources = [path.read_text(encoding="utf-8") for path in paths]
    used = set.union(*map(stores_retried, sources))
    used |= {value for source in sources for name, _, value in literal_labels(source) if name == "RETRIES"}
    assert used == set(metric_definitions()["lpstream_heatmap_retries_total"].labels["store"])


def test_counters_with_closed_sets_start_at_zero() -> None:
    text = metrics.exposition().decode()
    assert 'lpstream_lp_budget_alerts_total{percent="100",scope="month"} 0.0' in text


def test_counters_have_a_series_with_the_time_of_their_creation() -> None:
    series = {line.split("{")[0].split(" ")[0] for line in metrics.exposition().decode().splitlines()}
    for one in metric_definitions().values():
        if one.kind == "counter" and (one.closed() or not one.labels):
            assert one.series() <= series, one.name


async def test_each_route_of_an_edge_counts_failures_from_zero() -> None:
    async with running_edge():
        text = metrics.exposition().decode()
    for listener, routes in (("public", PUBLIC), ("private", [*PRIVATE, *STUDIO])):
        for template in ("none", "preflight", *(route.template for route in routes)):
            for status in (500, 503):
                labels = f'listener="{listener}",route="{template}",status="{status}"'
                assert f"lpstream_edge_requests_total{{{labels}}} " in text, labels


def test_the_counters_of_failures_start_before_the_first_response() -> None:
    metrics.start_failures("public", ["/of-this-test"])
    labels = 'listener="public",route="/of-this-test"'
    for status in (500, 503):
        assert f'lpstream_edge_requests_total{{{labels},status="{status}"}} 0.0' in metrics.exposition().decode()


def test_metric_names_end_with_their_unit() -> None:
    for one in metric_definitions().values():
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name
        if one.unit == "seconds":
            assert one.name.endswith("_seconds"), one.name
        assert one.unit and one.help, one.name
