"""Grafana's dashboards: complete, with existing metrics and data sources only."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from production_tools import ROOT, run, tool

from infra.monitoring.definitions import metric_definitions

GRAFANA = ROOT / "infra" / "monitoring" / "grafana"
FOLDER = GRAFANA / "dashboards"
FILES = ("operators.json", "analysts.json")
COLUMNS = 24  # the width of Grafana's grid
KNOWN_OTHERS = {"up", "process_cpu_seconds_total", "process_resident_memory_bytes"}
WORDS = re.compile(r"\b(?:lpstream_[a-z0-9_]+|process_[a-z_]+|up(?=\{))")
RECORDED = re.compile(r"\blpstream:[a-z0-9_:]+")


def read(file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / file).read_text(encoding="utf-8"))
    return found


def expressions() -> list[str]:
    return [target["expr"] for panel in read("operators.json")["panels"] for target in panel.get("targets", [])]


@pytest.mark.parametrize("file", FILES)
def test_a_dashboard_has_the_fields_that_grafana_requires(file: str) -> None:
    found = read(file)
    assert found["uid"] and found["title"] and found["schemaVersion"] >= 39
    panels = found["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["type"] == "row" or panel["targets"], panel["title"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= COLUMNS
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, f"{panel['title']} overlaps another panel"
        taken |= cells


def test_the_operators_dashboard_shows_every_metric() -> None:
    shown = {word for expression in expressions() for word in WORDS.findall(expression)}
    defined = {name for one in metric_definitions().values() for name in one.series()}
    assert shown - defined - KNOWN_OTHERS == set()
    rules = (ROOT / "infra" / "monitoring" / "rules" / "recording.yml").read_text(encoding="utf-8")
    recorded = {word for expression in expressions() for word in RECORDED.findall(expression)}
    assert recorded <= set(RECORDED.findall(rules)) | {"lpstream:region_connections:cap"}
    behind_records = set(WORDS.findall("".join(line for line in rules.splitlines() if "record:" not in line)))
    missing = {one.name for one in metric_definitions().values() if not one.series() & (shown | behind_records)}
    assert missing == set(), "no panel shows these metrics"


def test_promtool_parses_every_panel(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{at}", "expr": expression.replace("$window", "5m")}
        for at, expression in enumerate(expressions())
    ]
    assert len(rules) > 50
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    run(tool("promtool"), "check", "rules", file)


def test_grafana_has_the_data_sources_that_panels_use() -> None:
    file = GRAFANA / "provisioning" / "datasources" / "lpstream.yaml"
    sources = {one["uid"]: one for one in yaml.safe_load(file.read_text(encoding="utf-8"))["datasources"]}
    for file in FILES:
        dashboard = read(file)
        # a variable finds the source also where a person has added it, under an uid of Grafana's
        kinds = {uid: one["type"] for uid, one in sources.items()} | {
            f"${{{one['name']}}}": one["query"]
            for one in dashboard["templating"]["list"]
            if one["type"] == "datasource" and one["query"] in {source["type"] for source in sources.values()}
        }
        targets = [target["datasource"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
        assert targets and all(kinds[one["uid"]] == one["type"] for one in targets)
    assert sources["clickhouse"]["jsonData"]["username"] == "analyst"
