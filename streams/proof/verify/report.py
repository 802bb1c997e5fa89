"""The report of all scenarios run so far: JSON, Markdown, HTML with plots, the document's own tables in Japanese."""

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from streams.proof.verify.capacity import carried, instances
from streams.proof.verify.departures import SCALE_S, SHAPE
from streams.proof.verify.plots import Line, chart
from streams.proof.verify.scenarios import SCENARIOS
from streams.proof.verify.verdicts import Row, rows

SCHEMA = 1  # of the kept runs: those of another are left out of a report
RUNS, PICTURES = "runs", "pictures"
TEMPLATES = ("report.md", "report.ja.md", "report.html")
WORDS = {"pass": "pass", "fail": "FAIL", "not_run": "not run"}
JAPANESE = {"pass": "合格", "fail": "不合格", "not_run": "未実施"}

Run = Mapping[str, Any]


def keep(target: Path, run: Run) -> None:
    """Put one scenario's figures beside those of the others."""
    folder = target / RUNS
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"schema": SCHEMA, **run}, ensure_ascii=False, indent=1)
    (folder / f"{run['scenario']}.json").write_text(text + "\n", encoding="utf-8")


def kept(target: Path) -> dict[str, Run]:
    """By scenario, in the plan's order."""
    found = {}
    for name in SCENARIOS:
        path = target / RUNS / f"{name}.json"
        run = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if run.get("schema") == SCHEMA:
            found[name] = run
    return found


def write(target: Path) -> list[Row]:
    """All files anew, from what is kept; the rows of report.json."""
    runs = kept(target)
    told = rows(runs)
    text = json.dumps(told, ensure_ascii=False, indent=2)
    (target / "report.json").write_text(text + "\n", encoding="utf-8")
    pictures = {name: plots(run) for name, run in runs.items()}
    (target / PICTURES).mkdir(exist_ok=True)
    for name, drawn in pictures.items():
        for plot, svg in drawn.items():
            (target / PICTURES / f"{name}-{plot}.svg").write_text(svg, encoding="utf-8")
    for name in TEMPLATES:
        (target / name).write_text(render(name, runs, told, pictures), encoding="utf-8")
    return told


def render(
    name: str, runs: Mapping[str, Run], told: Sequence[Row], pictures: Mapping[str, Mapping[str, str]] | None = None
) -> str:
    """One of the templates, filled in."""
    environment = Environment(
        autoescape=name.endswith(".html"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters.update(figure=figure, share=share, size=scale_text, seconds=seconds, lasted=lasted)
    source = files("streams.proof.verify").joinpath(f"{name}.j2").read_text(encoding="utf-8")
    by_id = {row["id"]: row for row in told}
    checks = {f"{one.name}.{check.measure}": check for one in SCENARIOS.values() for check in one.checks}
    return environment.from_string(source).render(
        scenarios=SCENARIOS, runs=runs, rows=told, by_id=by_id, checks=checks, words=WORDS, japanese=JAPANESE,
        pictures=pictures or {},
        model={name: model_of(run) for name, run in runs.items()}, shape=SHAPE, scale_s=SCALE_S,
        best=best(runs),
    )  # fmt: skip


def best(runs: Mapping[str, Run]) -> Run | None:
    """The run that the document's general tables are filled from: the largest of its three loads at full size, else
    the largest of all."""
    loads = [runs[name] for name in ("limit", "peak", "normal") if name in runs]
    full = [one for one in loads if one["scale"] >= 1]
    return next(iter(full or sorted(loads, key=lambda one: -one["asked"]["connections"])), None)


def model_of(run: Run) -> dict[str, Any]:
    """The scenario's full size by the capacity model: cores by process, processes of one core, cores in all."""
    scenario = SCENARIOS[run["scenario"]]
    cores = carried(run["capacity"], scenario.connections, scenario.per_minute)
    ours = {name: instances(cores[name]) for name in ("edge", "heatmap", "generation") if name in cores}
    return {"cores": cores, "instances": ours, "total": round(sum(cores.values()), 2)}


def plots(run: Run) -> dict[str, str]:
    """SVG by name."""
    told, marks = run["series"], [(one["at_s"], one["text"].split(":")[0]) for one in run["faults"]]
    at = told["at"]
    within = SCENARIOS[run["scenario"]].within_s if told["lp_wait_s"] else None
    found = {
        "requests": chart(
            "Requests and errors", "per second",
            [Line(name, list(zip(at, told[name], strict=True))) for name in ("requests", "errors")], marks=marks,
        ),
        "beacons": chart(
            "Beacons, p95 of the answer", "ms", [Line("p95", list(zip(at, told["beacon_p95_ms"], strict=True)))],
            marks=marks,
        ),
        "connections": chart(
            "Open connections at the edge", "", [Line("connections", told["connections"])], marks=marks
        ),
        "cores": chart("Processor", "cores", _lines(told, "cores"), marks=marks),
        "memory": chart("Memory", "MB", _lines(told, "memory_mb"), marks=marks),
    }  # fmt: skip
    if told["lp_wait_s"]:
        waits = Line("wait", told["lp_wait_s"], dots=True)
        found["lps"] = chart("Landing pages, from asking to having", "s", [waits], marks=marks, limit=within)
    return found


def _lines(told: Run, name: str) -> list[Line]:
    at = told["sampled_at"]
    return [Line(process, list(zip(at, values, strict=True))) for process, values in told[name].items()]


# -- words of a table --------------------------------------------------------------------------------------


def figure(value: float | None, unit: str = "") -> str:
    """A number for a reader: shares as per cent, the others with three figures or as whole numbers."""
    if value is None:
        return "–"
    if unit == "share":
        return share(value)
    unit = {"ratio": "×"}.get(unit, unit)
    text = f"{value:,.0f}" if abs(value) >= 100 or float(value).is_integer() else f"{value:,.3g}"
    return f"{text} {unit}".strip()


def share(value: float | None) -> str:
    """Per cent, with as many decimals as it takes to tell 99.9 from 100."""
    if value is None:
        return "–"
    text = f"{100 * value:.2f}" if value >= 0.0001 or not value else f"{100 * value:.4f}"
    return text.rstrip("0").rstrip(".") + " %"


def seconds(value: float | None) -> str:
    """Seconds, with two decimals below ten."""
    return "–" if value is None else f"{value:.2f} s" if value < 10 else f"{value:,.1f} s"


def lasted(value: float) -> str:
    """A duration, in minutes when there are any."""
    return f"{value / 60:.3g} min" if value >= 60 else f"{value:.0f} s"


def scale_text(value: float) -> str:
    """A scale; the full size is said to be that."""
    return "full size" if value == 1 else f"scale {value:g}"
