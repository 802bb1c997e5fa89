"""Grafana's two dashboards, built from short lists of panels: `python -m infra.monitoring.dashboards` writes the JSON.

Operators read Prometheus (`operators.py` of this folder lists the panels), analysts ClickHouse's views (`analysts.py`).
Grafana is told its data sources by uid: `prometheus` and `clickhouse`, see `grafana/provisioning/`.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
COLUMNS = 24  # of Grafana's grid
SCHEMA_VERSION = 39
PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
CLICKHOUSE = {"type": "grafana-clickhouse-datasource", "uid": "clickhouse"}
TABLE, TIME_SERIES = 1, 0  # formats of the ClickHouse data source

Kind = Literal["timeseries", "stat", "table", "barchart", "piechart"]


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `queries` are (PromQL, legend) for operators, (SQL, "") for analysts; `about` is its tooltip."""

    title: str
    queries: list[tuple[str, str]]
    about: str = ""
    kind: Kind = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A titled row of panels."""

    title: str
    panels: list[Panel]


def _prometheus(panel: Panel) -> list[dict[str, Any]]:
    return [
        {
            "refId": chr(ord("A") + at),
            "datasource": PROMETHEUS,
            "expr": expression,
            "legendFormat": legend or "__auto",
            "instant": panel.kind in ("stat", "table", "piechart"),
            "range": panel.kind in ("timeseries", "barchart"),
        }
        for at, (expression, legend) in enumerate(panel.queries)
    ]


def _clickhouse(panel: Panel) -> list[dict[str, Any]]:
    series = panel.kind == "timeseries"
    return [
        {
            "refId": chr(ord("A") + at),
            "datasource": CLICKHOUSE,
            "editorType": "sql",
            "queryType": "timeseries" if series else "table",
            "format": TIME_SERIES if series else TABLE,
            "rawSql": sql,
        }
        for at, (sql, _) in enumerate(panel.queries)
    ]


def _panels(rows: list[Row], source: dict[str, str]) -> list[dict[str, Any]]:
    """Rows one under another; panels of a row from left to right, wrapped at the grid's width."""
    found: list[dict[str, Any]] = []
    y = 0
    for row in rows:
        found.append(_row(row.title, len(found) + 1, y))
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            found.append(_panel(panel, source, len(found) + 1, x, y))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return found


def _row(title: str, number: int, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def _panel(panel: Panel, source: dict[str, str], number: int, x: int, y: int) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": source,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "options": panel.options,
        "targets": _prometheus(panel) if source is PROMETHEUS else _clickhouse(panel),
    }


def dashboard(
    uid: str, title: str, rows: list[Row], source: dict[str, str], variables: list[dict[str, Any]], time_from: str
) -> dict[str, Any]:
    """A dashboard as Grafana imports it."""
    return {
        "uid": uid,
        "title": title,
        "tags": ["lpstream"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "refresh": "30s" if source is PROMETHEUS else "",
        "time": {"from": time_from, "to": "now"},
        "templating": {"list": variables},
        "annotations": {"list": []},
        "panels": _panels(rows, source),
    }


def dashboards() -> dict[str, dict[str, Any]]:
    """Both, by file name."""
    from infra.monitoring import analysts, operators  # they are made of the classes above

    return {
        "operators.json": dashboard(
            "lpstream-operators", "lpstream: operators", operators.ROWS, PROMETHEUS, operators.VARIABLES, "now-6h"
        ),
        "analysts.json": dashboard(
            "lpstream-analysts", "lpstream: pages and visitors", analysts.ROWS, CLICKHOUSE, analysts.VARIABLES, "now-7d"
        ),
    }


def as_json(one: dict[str, Any]) -> str:
    """A dashboard's file."""
    return json.dumps(one, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for file, one in dashboards().items():
        (FOLDER / file).write_text(as_json(one), encoding="utf-8")
