"""`lpstream bench`: figures against named references, as a table and `out/bench.json`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from schemas.errors import LpstreamError
from streams.cli.console import AsJson, out, say

Row = dict[str, Any]


def _fold(seconds: float) -> list[Row]:
    from streams.proof.bench_fold import compare

    return compare(seconds)


def _edge(seconds: float) -> list[Row]:
    from streams.proof.bench.edge import edge

    return edge(seconds, say=say)


def _edge_connections(seconds: float) -> list[Row]:
    from streams.proof.bench.edge import edge_connections

    return edge_connections(seconds, say=say)


PARTS: dict[str, Callable[[float], list[Row]]] = {
    "fold": _fold,
    "edge": _edge,
    "edge_connections": _edge_connections,
}


def bench(
    only: Annotated[str, typer.Option("--only", help="Ids, with commas; default: all.")] = "",
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each measurement takes, about.")] = 10.0,
    target: Annotated[Path, typer.Option("--out", help="Where the figures go; others in the file stay.")] = Path(
        "out/bench.json"
    ),
    as_json: AsJson = False,
) -> None:
    """Measure, each figure against a reference that runs in the same minutes on this machine."""
    wanted = [name.strip() for name in only.split(",")] if only else list(PARTS)
    if unknown := sorted(set(wanted) - PARTS.keys()):
        raise LpstreamError(f"--only {unknown[0]}: give ids of {', '.join(PARTS)}")
    rows: list[Row] = []
    for name in wanted:
        say(f"{name} …")
        rows += PARTS[name](seconds)
        _merge(target, rows)
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    table = Table("id", "reference", "value", "unit", "reference value", "ratio", title="Figures")
    for row in rows:
        figures = (
            f"{row[name]:,.3g}" if row[name] is not None else "" for name in ("value", "reference_value", "ratio")
        )
        value, reference_value, ratio = figures
        table.add_row(row["id"], row["reference"], value, row["unit"], reference_value, ratio)
    out.print(table)


def _merge(target: Path, rows: list[Row]) -> None:
    """Put rows into the file, instead of those with the same ids."""
    try:
        known: list[Row] = json.loads(target.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = []
    new = {row["id"] for row in rows}
    target.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps([row for row in known if row["id"] not in new] + rows, ensure_ascii=False, indent=2)
    target.write_text(text + "\n", encoding="utf-8")
