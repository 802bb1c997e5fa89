"""The report of all scenarios run so far: JSON, Markdown, HTML with plots, Japanese tables."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from schemas.errors import LpstreamError
from streams.proof.verify.capacity import carried, instances
from streams.proof.verify.departures import SCALE_S, SHAPE
from streams.proof.verify.plots import Line, chart
from streams.proof.verify.scenarios import SCENARIOS
from streams.proof.verify.verdicts import Row, rows

SCHEMA = 1  # of the stored runs; the report leaves out runs of another schema
RUNS, PICTURES = "runs", "pictures"
TEMPLATES = ("report.md", "report.ja.md", "report.html")
WORDS = {"pass": "pass", "fail": "FAIL", "not_run": "not run"}
JAPANESE = {"pass": "合格", "fail": "不合格", "not_run": "未実施"}

Run = Mapping[str, Any]


def keep(target: Path, run: Run) -> None:
    """Store one scenario's figures in `runs/<scenario>.json`."""
    folder = target / RUNS
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"schema": SCHEMA, **run}, ensure_ascii=False, indent=1)
    (folder / f"{run['scenario']}.json").write_text(text + "\n", encoding="utf-8")


def kept(target: Path) -> dict[str, Run]:
    """Return the stored runs by scenario, in the plan's order."""
    runs = {}
    for name in SCENARIOS:
        path = target / RUNS / f"{name}.json"
        run = _read(path) if path.exists() else {}
        if run.get("schema") == SCHEMA:
            runs[name] = run
    return runs


def _read(path: Path) -> Run:
    try:
        run: Run = json.loads(path.read_bytes())
        if isinstance(run, dict):
            return run
    except (OSError, ValueError, RecursionError) as error:
        raise LpstreamError(f"{path}: is not a run of `lpstream verify`; delete the file") from error
    raise LpstreamError(f"{path}: is not a run of `lpstream verify`; delete the file")


def write(target: Path) -> list[Row]:
    """Write all files of the report from the stored runs. Return the rows of report.json."""
    runs = kept(target)
    verdicts = rows(runs)
    text = json.dumps(verdicts, ensure_ascii=False, indent=2)
    (target / "report.json").write_text(text + "\n", encoding="utf-8")
    pictures = {name: plots(run) for name, run in runs.items()}
    (target / PICTURES).mkdir(exist_ok=True)
    for name, drawn in pictures.items():
        for plot, svg in drawn.items():
            (target / PICTURES / f"{name}-{plot}.svg").write_text(svg, encoding="utf-8")
    for name in TEMPLATES:
        (target / name).write_text(render(name, runs, verdicts, pictures), encoding="utf-8")
    return verdicts


def render(
    name: str, runs: Mapping[str, Run], verdicts: Sequence[Row], pictures: Mapping[str, Mapping[str, str]] | None = None
) -> str:
    """Render one of the templates."""
    environment = Environment(
        autoescape=name.endswith(".html"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters.update(figure=figure, share=share, size=scale_text, seconds=seconds, lasted=lasted)
    source = files("streams.proof.verify").joinpath(f"{name}.j2").read_text(encoding="utf-8")
    by_id = {row["id"]: row for row in verdicts}
    checks = {f"{scenario.name}.{check.measure}": check for scenario in SCENARIOS.values() for check in scenario.checks}
    return environment.from_string(source).render(
        scenarios=SCENARIOS, runs=runs, rows=verdicts, by_id=by_id, checks=checks, words=WORDS, japanese=JAPANESE,
        pictures=pictures or {},
        model={name: model_of(run) for name, run in runs.items()}, shape=SHAPE, scale_s=SCALE_S,
        best=best(runs),
    )  # fmt: skip


def best(runs: Mapping[str, Run]) -> Run | None:
    """Return the run for the plan's general tables, of the scenarios limit, peak and normal.

    It is the largest run at full size, else the run with the most connections.
    """
    loads = [runs[name] for name in ("limit", "peak", "normal") if name in runs]
    full = [run for run in loads if run["scale"] >= 1]
    return next(iter(full or sorted(loads, key=lambda run: -run["asked"]["connections"])), None)


def model_of(run: Run) -> dict[str, Any]:
    """Return the capacity model at the scenario's full size.

    The result has the cores by process, the number of instances of our processes, and the cores in total.
    """
    scenario = SCENARIOS[run["scenario"]]
    cores = carried(run["capacity"], scenario.connections, scenario.per_minute)
    ours = {name: instances(cores[name]) for name in ("edge", "heatmap", "generation") if name in cores}
    return {"cores": cores, "instances": ours, "total": round(sum(cores.values()), 2)}


def plots(run: Run) -> dict[str, str]:
    """Return the plots of a run as SVG, by name."""
    series, marks = run["series"], [(fault["at_s"], fault["text"].split(":")[0]) for fault in run["faults"]]
    at = series["at"]
    within = SCENARIOS[run["scenario"]].within_s if series["lp_wait_s"] else None
    charts = {
        "requests": chart(
            "Requests and errors", "per second",
            [Line(name, list(zip(at, series[name], strict=True))) for name in ("requests", "errors")], marks=marks,
        ),
        "beacons": chart(
            "Beacons, p95 response time", "ms", [Line("p95", list(zip(at, series["beacon_p95_ms"], strict=True)))],
            marks=marks,
        ),
        "connections": chart(
            "Open connections at the edge", "", [Line("connections", series["connections"])], marks=marks
        ),
        "cores": chart("Processor", "cores", _lines(series, "cores"), marks=marks),
        "memory": chart("Memory", "MB", _lines(series, "memory_mb"), marks=marks),
    }  # fmt: skip
    if series["lp_wait_s"]:
        waits = Line("wait", series["lp_wait_s"], dots=True)
        charts["lps"] = chart("Landing pages, from request to result", "s", [waits], marks=marks, limit=within)
    return charts


def _lines(series: Run, name: str) -> list[Line]:
    at = series["sampled_at"]
    return [Line(process, list(zip(at, values, strict=True))) for process, values in series[name].items()]


# -- filters of the templates ------------------------------------------------------------------------------


def figure(value: float | None, unit: str = "") -> str:
    """Format a number: a share as per cent, others with three significant digits or as whole numbers."""
    if value is None:
        return "–"
    if unit == "share":
        return share(value)
    unit = {"ratio": "×"}.get(unit, unit)
    text = f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:,.3g}"
    return f"{text} {unit}".strip()


def share(value: float | None) -> str:
    """Format a share as per cent, with enough decimals to distinguish 99.9 from 100."""
    if value is None:
        return "–"
    text = f"{100 * value:.2f}" if value >= 0.0001 or not value else f"{100 * value:.4f}"
    return text.rstrip("0").rstrip(".") + " %"


def seconds(value: float | None) -> str:
    """Format seconds, with two decimals below ten."""
    return "–" if value is None else f"{value:.2f} s" if value < 10 else f"{value:,.1f} s"


def lasted(value: float) -> str:
    """Format a duration, in minutes from 60 s on."""
    return f"{value / 60:.3g} min" if value >= 60 else f"{value:.0f} s"


def scale_text(value: float) -> str:
    """Format a scale; 1 is "full size"."""
    return "full size" if value == 1 else f"scale {value:g}"
