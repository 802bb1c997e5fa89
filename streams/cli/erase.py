"""`lpstream erase`: all that is kept of pages or of a tenant, and a list of what stays."""

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

EPILOG = "It cannot be undone, and it asks nothing: look with --dry-run first. Cut off anywhere, run it again."


def erase(
    lp: Annotated[list[str] | None, typer.Option("--lp", help="A page's id; may be given several times.")] = None,
    tenant: Annotated[str, typer.Option("--tenant", help="A tenant's id, for all its pages.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be erased, and do nothing.")] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Erase pages, their pictures, copy, results and heatmaps, in every store and tier; list what stays until when."""
    _check(lp or [], tenant)
    settings = settings_for(data)
    meant = meant_by(settings, lp or [], tenant)
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=err) as progress:
        task = progress.add_task("looking")
        told = asyncio.run(_run(settings, meant, lambda line: progress.update(task, description=line), dry_run))
    told |= {"stays": [asdict(one) for one in what_stays(settings)]}
    if as_json:
        typer.echo(json.dumps(told, ensure_ascii=False))
    else:
        _show(told)
    if told["problems"]:
        raise LpstreamError("\n".join(told["problems"]))


def _check(lp_ids: list[str], tenant: str) -> None:
    if bool(lp_ids) == bool(tenant):
        raise LpstreamError("give either --lp or --tenant")
    for one in lp_ids:
        if not re.fullmatch(LP_ID_PATTERN.strip("^$"), one):
            raise LpstreamError(f"--lp {one[:200]!r}: is no id of a page")
    if tenant and not re.fullmatch(TENANT_PATTERN.strip("^$"), tenant):
        raise LpstreamError(f"--tenant {tenant[:200]!r}: is no id of a tenant")


async def _run(settings: Settings, meant: Meant, say: Say, dry_run: bool) -> dict[str, Any]:
    async with Erasing(settings, meant, say) as run:
        found = await run.look()
        if dry_run:
            return {"would_erase": found.plain(), "waiting": [], "problems": []}
        report = await run.erase(found)
        return {"erased": found.plain(), "waiting": report.waiting, "problems": report.problems}


def _show(told: dict[str, Any]) -> None:
    name = "would_erase" if "would_erase" in told else "erased"
    table = Table(name.replace("_", " "), "number")
    for what, value in told[name].items():
        table.add_row(what.replace("_", " "), f"{len(value) if isinstance(value, list) else value:,}")
    out.print(table)
    for line in told["waiting"]:
        out.print(f"waits: {line}", markup=False, highlight=False)
    stays = Table("stays in", "what", "until", title="What stays")
    for one in told["stays"]:
        stays.add_row(one["where"], one["what"], one["until"])
    out.print(stays)
