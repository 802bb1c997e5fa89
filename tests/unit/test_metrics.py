"""Metrics: what is exported is defined, what is defined is exported and written, and no label leaves its set."""

import ast
from pathlib import Path

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from infra.monitoring.definitions import metric_definitions
from streams.runtime import metrics

ROOT = Path(__file__).parents[2]
ROOMS = ("schemas", "processors", "infra", "streams")
MADE = {name: made for name, made in vars(metrics).items() if isinstance(made, Counter | Gauge | Histogram)}


def modules() -> list[Path]:
    return [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]


def name_of(made: Counter | Gauge | Histogram) -> str:
    family = next(iter(made.collect()))
    return family.name + ("_total" if family.type == "counter" else "")


def test_what_is_exported_is_defined_and_what_is_defined_is_exported() -> None:
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
        for name in MADE
        if not any(f"metrics.{name}." in source for source in sources) and f"{name}.labels" not in own
    ]
    assert unwritten == []


def test_metrics_are_made_in_one_module_only() -> None:
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
    """(metric's Python name, place of the label, value) of each `metrics.NAME.labels("value", …)`."""
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


def test_no_label_leaves_its_closed_set() -> None:
    used = [one for path in modules() for one in literal_labels(path.read_text(encoding="utf-8"))]
    assert len(used) > 10
    for python_name, at, value in used:
        label, values = list(metric_definitions()[name_of(MADE[python_name])].labels.items())[at]
        assert isinstance(values, str) or value in values, (python_name, label, value)


def test_a_counter_of_a_closed_set_is_there_before_its_first_increment() -> None:
    text = metrics.exposition().decode()
    assert 'lpstream_lp_budget_alerts_total{percent="100",scope="month"} 0.0' in text


def test_names_tell_their_unit() -> None:
    for one in metric_definitions().values():
        assert one.name.endswith("_total") == (one.kind == "counter"), one.name
        if one.unit == "seconds":
            assert one.name.endswith("_seconds"), one.name
        assert one.unit and one.help, one.name
