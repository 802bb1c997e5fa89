"""`lpstream erase`: erase the data of pages or of a tenant, and list the data that remains."""

import asyncio
import json
import re
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from schemas.errors import LpstreamError
from schemas.generation import TENANT_PATTERN
from schemas.heatmap import LP_ID_PATTERN
from streams.local.console import DEFAULT_DATA, AsJson, Data, err, out, settings_for
from streams.operate.erasure import Erasing, Meant, meant_by
from streams.operate.erasure_stays import what_stays
from streams.runtime.settings import Settings
from streams.tiers.stores import Say

EPILOG = "This cannot be undone, and it does not ask: use --dry-run first. If it is interrupted, run it again."


def erase(
    lp: Annotated[list[str] | None, typer.Option("--lp", help="A page's id; may be given several times.")] = None,
    tenant: Annotated[str, typer.Option("--tenant", help="A tenant's id, for all its pages.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be erased, and erase nothing.")] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Erase pages, with pictures, copy, results and heatmaps, in every store and tier.

    List the data that remains, and until when.
    """
    _check(lp or [], tenant)
    settings = settings_for(data)
    target = meant_by(settings, lp or [], tenant)
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=err) as progress:
        task = progress.add_task("searching")
        report = asyncio.run(_run(settings, target, lambda line: progress.update(task, description=line), dry_run))
    report |= {"stays": [asdict(remaining) for remaining in what_stays(settings)]}
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        _show(report)
    if report["problems"]:
        raise LpstreamError("\n".join(report["problems"]))


def _check(lp_ids: list[str], tenant: str) -> None:
    if bool(lp_ids) == bool(tenant):
        raise LpstreamError("give either --lp or --tenant")
    for lp_id in lp_ids:
        if not re.fullmatch(LP_ID_PATTERN.strip("^$"), lp_id):
            raise LpstreamError(f"--lp {lp_id[:200]!r}: is not a valid page id")
    if tenant and not re.fullmatch(TENANT_PATTERN.strip("^$"), tenant):
        raise LpstreamError(f"--tenant {tenant[:200]!r}: is not a valid tenant id")


async def _run(settings: Settings, target: Meant, say: Say, dry_run: bool) -> dict[str, Any]:
    async with Erasing(settings, target, say) as run:
        contents = await run.look()
        if dry_run:
            return {"would_erase": contents.plain(), "waiting": [], "problems": []}
        report = await run.erase(contents)
        return {"erased": contents.plain(), "waiting": report.waiting, "problems": report.problems}


def _show(report: dict[str, Any]) -> None:
    name = "would_erase" if "would_erase" in report else "erased"
    table = Table(name.replace("_", " "), "number")
    for kind, value in report[name].items():
        table.add_row(kind.replace("_", " "), f"{len(value) if isinstance(value, list) else value:,}")
    out.print(table)
    for line in report["waiting"]:
        out.print(f"waiting: {line}", markup=False, highlight=False)
    stays = Table("store", "data", "until", title="Data that remains")
    for row in report["stays"]:
        stays.add_row(row["where"], row["what"], row["until"])
    out.print(stays)
