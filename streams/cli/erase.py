"""`lpstream erase`: erase the data of pages or of a tenant, and list the data that remains."""

import asyncio
import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from schemas.errors import LpstreamError
from streams.local.console import DEFAULT_DATA, AsJson, Data, OfTenant, Pages, check_ids, out, settings_for, spinner
from streams.operate.erasure import Erasing, Meant, meant_by
from streams.operate.erasure_stays import what_stays
from streams.runtime.settings import Settings
from streams.tiers.stores import Say

EPILOG = "This cannot be undone, and it does not ask: use --dry-run first. If it is interrupted, run it again."


def erase(
    lp: Pages = None,
    tenant: OfTenant = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be erased, and erase nothing.")] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Erase pages, with pictures, copy, results and heatmaps, in every store and tier.

    List the data that remains, and until when.
    """
    if bool(lp) == bool(tenant):
        raise LpstreamError("give either --lp or --tenant")
    check_ids(lp or [], tenant)
    settings = settings_for(data)
    target = meant_by(settings, lp or [], tenant)
    with spinner("searching") as say_it:
        report = asyncio.run(_run(settings, target, say_it, dry_run))
    report |= {"stays": [asdict(remaining) for remaining in what_stays(settings)]}
    if as_json:
        typer.echo(json.dumps(report, ensure_ascii=False))
    else:
        _show(report)
    if report["problems"]:
        raise LpstreamError("\n".join(report["problems"]))


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
        out.print(f"waiting: {line}", highlight=False)
    stays = Table("store", "data", "until", title="Data that remains")
    for row in report["stays"]:
        stays.add_row(row["where"], row["what"], row["until"])
    out.print(stays)
