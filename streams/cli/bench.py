"""The command `lpstream bench`: measure figures and their references; write `out/bench.json`."""

import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from schemas.errors import LpstreamError
from streams.local.console import AsJson, json_file, out, say, writable_file

Row = dict[str, Any]
ROUNDS = 3
# by id: the module of streams.proof.bench, its function, and the function's arguments besides `rounds` and `say`
PARTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "machine": ("machine", "machine", {}),
    "fold": ("fold", "fold", {}),
    "drain_1": ("drain", "drain", {"size": 1}),
    "drain_10": ("drain", "drain", {"size": 10}),
    "drain_100": ("drain", "drain", {"size": 100}),
    "rebuild": ("rebuild", "rebuild", {}),
    "latency": ("latency", "latency", {}),
    "scale_out": ("scale_out", "scale_out", {}),
    "tiers": ("tiers", "forty_days", {}),
    "bytes_at_rest": ("at_rest", "bytes_at_rest", {}),
    "kit": ("kit", "kit_times", {}),
    "bandit": ("bandit", "bandit", {}),
    "picture_cold": ("picture", "picture", {"which": "picture_cold"}),
    "picture_cached": ("picture", "picture", {"which": "picture_cached"}),
    "findings": ("findings", "findings", {}),
    "edge": ("edge", "edge", {}),
    "edge_cost": ("edge", "edge_cost", {}),
    "edge_connections": ("edge", "edge_connections", {}),
    "experiment_serving": ("experiment_serving", "serving", {}),
    "lp_total": ("pages", "total", {}),
    "lp_own": ("pages", "own", {}),
    "lp_mix": ("pages", "mix", {}),
    "lp_cpu": ("pages", "processor", {}),
    "cache_l1": ("page_cache", "layer", {"layer": "l1"}),
    "cache_l2": ("page_cache", "layer", {"layer": "l2"}),
    "cache_l3": ("page_cache", "layer", {"layer": "l3"}),
}


def bench(
    only: Annotated[str, typer.Option("--only", help="Ids, separated by commas; default: all.")] = "",
    rounds: Annotated[
        int, typer.Option(min=1, help="Measurements of each figure, alternating with its reference; the median counts.")
    ] = ROUNDS,
    target: Annotated[Path, typer.Option("--out", help="File of the figures; other figures in it are kept.")] = Path(
        "out/bench.json"
    ),
    as_json: AsJson = False,
) -> None:
    """Measure each figure against a reference that runs in the same minutes on this machine."""
    names = [name.strip() for name in only.split(",")] if only else list(PARTS)
    if unknown := sorted(set(names) - PARTS.keys()):
        raise LpstreamError(f"--only {unknown[0]}: unknown; give ids of {', '.join(PARTS)}")
    writable_file("--out", target)
    _written(target)  # a file of another kind is refused before minutes of work
    rows: list[Row] = []
    for name in names:
        say(f"{name} …")
        rows += _measure(name, rounds)
        _merge(target, rows)
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    table = Table("id", "reference", "value", "unit", "reference value", "ratio", title="Figures")
    for row in rows:
        figures = (_shown(row[name]) for name in ("value", "reference_value", "ratio"))
        value, reference_value, ratio = figures
        table.add_row(row["id"], row["reference"], value, row["unit"], reference_value, ratio)
    out.print(table)
    say(f"written to {target}")


def _measure(name: str, rounds: int) -> list[Row]:
    module, function, arguments = PARTS[name]
    work: Callable[..., list[Row]] = getattr(import_module(f"streams.proof.bench.{module}"), function)
    return work(**arguments, rounds=rounds, say=say)


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"


def _merge(target: Path, rows: list[Row]) -> None:
    """Write rows to the file; they replace rows with the same ids."""
    new_ids = {row["id"] for row in rows}
    old = [row for row in _written(target) if row["id"] not in new_ids]
    text = json.dumps(old + rows, ensure_ascii=False, indent=2)
    target.write_text(text + "\n", encoding="utf-8")


def _written(target: Path) -> list[Row]:
    """Return the rows in the file. Raise LpstreamError if the file holds something else."""
    rows = json_file("--out", target, "[]")
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "id" in row for row in rows):
        raise LpstreamError(f"--out {target}: holds no figures of `lpstream bench`; give another file")
    return rows
