"""Prometheus rules: promtool accepts them, and each alert has a firing scenario and a runbook."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from production_tools import ROOT, run, tool

from infra.monitoring.definitions import metric_definitions

RULES = ROOT / "infra" / "monitoring" / "rules"
SCENARIOS = sorted((ROOT / "tests" / "production" / "rules").glob("*.yml"))
RUNBOOKS = ROOT / "docs" / "runbooks.md"
SERIES = re.compile(r"\blpstream_[a-z0-9_]+")
RECORDED = re.compile(r"\blpstream:[a-z0-9_:]+")


def rules(file: str) -> list[dict[str, Any]]:
    found = yaml.safe_load((RULES / file).read_text(encoding="utf-8"))
    return [rule for group in found["groups"] for rule in group["rules"]]


# for jobs that only Kubernetes has
OF_KUBERNETES = ROOT / "infra" / "kubernetes" / "base" / "alerts.yml"
EVERY_ALERT = [*rules(str(OF_KUBERNETES)), *rules("alerts.yml")]
ALERTS = {rule["alert"]: rule for rule in EVERY_ALERT}
RECORDINGS = {rule["record"]: rule["expr"] for file in ("recording.yml", "region.yml") for rule in rules(file)}


def test_promtool_accepts_the_rules() -> None:
    run(tool("promtool"), "check", "rules", "--lint-fatal", *sorted(RULES.glob("*.yml")), OF_KUBERNETES)


def test_promtool_detects_a_broken_rule(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yml"
    broken.write_text((RULES / "region.yml").read_text(encoding="utf-8").replace("vector(", "vector(("), "utf-8")
    with pytest.raises(AssertionError, match="parse error"):
        run(tool("promtool"), "check", "rules", broken)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_alerts_fire_exactly_as_the_scenario_says(scenario: Path) -> None:
    run(tool("promtool"), "test", "rules", scenario)


def test_every_alert_fires_in_a_scenario() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SCENARIOS)
    assert set(re.findall(r'alertname="(\w+)", alertstate="firing"', text)) == set(ALERTS)


def test_alerts_and_runbooks_match() -> None:
    sections = re.split(r"^### ", RUNBOOKS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    written = {section.splitlines()[0]: section for section in sections}
    assert set(written) == set(ALERTS)
    for name, section in written.items():
        words = re.findall(r"- \*\*(\w+)", section)
        assert words[0] == "Symptom" and "Check" in words, name
        assert "Fix" in words or "**Check and fix**" in section, name
    for rule in EVERY_ALERT:
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"


def test_every_alert_has_a_severity_and_annotations() -> None:
    assert {rule["labels"]["severity"] for rule in EVERY_ALERT} == {"page", "ticket", "info"}
    for rule in EVERY_ALERT:
        assert {"summary", "description", "runbook_url"} == set(rule["annotations"])


def test_rules_use_only_exported_metrics() -> None:
    series = {name for one in metric_definitions().values() for name in one.series()}
    for name, expression in [*((rule["alert"], rule["expr"]) for rule in EVERY_ALERT), *RECORDINGS.items()]:
        assert set(SERIES.findall(expression)) <= series, name
        assert set(RECORDED.findall(expression)) <= set(RECORDINGS), name


def test_an_alert_on_any_increase_counts_the_first_value_of_a_series() -> None:
    for name, rule in ALERTS.items():
        expression = rule["expr"]
        for metric in re.findall(r"increase\((\w+)_total", expression):
            # a threshold above 0 does not need the first value; the edge's processes export no time of creation
            threshold = int(expression.rpartition("> ")[2])
            assert threshold or f"time() - {metric}_created <" in expression, name
            assert threshold or not metric.startswith("lpstream_edge_"), name


def test_runbooks_name_only_existing_metrics() -> None:
    text = RUNBOOKS.read_text(encoding="utf-8")
    series = {name for one in metric_definitions().values() for name in one.series() | {one.name}}
    assert set(SERIES.findall(text)) <= series
    assert set(RECORDED.findall(text)) <= set(RECORDINGS)
