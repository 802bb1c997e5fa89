"""`lpstream tier` and `lpstream restore`: move days between the tiers by hand."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from infra.tenants import Tenants
from schemas.errors import LpstreamError
from streams.local.console import DEFAULT_DATA, AsJson, Data, check_ids, out, settings_for, spinner
from streams.runtime.settings import Settings
from streams.tiers.run import Tiers, status
from streams.tiers.stores import Clock, Report

app = typer.Typer(
    add_completion=False,
    help="Move old days to S3 and older ones to Glacier. The heatmap workers do this hourly.",
    invoke_without_command=True,
)
WAIT_S = 60.0
Today = Annotated[
    datetime | None,
    typer.Option("--today", formats=["%Y-%m-%d"], help="Act as if this day were today (UTC); default: today."),
]
Work = Callable[[Tiers], Awaitable[Report | None]]


@app.callback()
def tier(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")] = False,
    today: Today = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Move days from ClickHouse to S3, and from S3 to Glacier, by their age.

    LPSTREAM_TIER_HOT_DAYS and LPSTREAM_TIER_WARM_DAYS set the ages.

    If it is interrupted, run it again: it finishes the moves that were begun; nothing is lost or counted twice.
    """
    if context.invoked_subcommand is not None:
        return
    settings, clock = settings_for(data), _clock(today)
    if dry_run:
        _show_plan(asyncio.run(Tiers(settings, clock).plan()), as_json)
    else:
        _run(settings, clock, lambda tiers: tiers.run(wait_s=WAIT_S), as_json)


@app.command()
def show(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show the days, rows and bytes of each tier."""
    rows = asyncio.run(status(settings_for(data)))
    if as_json:
        typer.echo(json.dumps(rows))
        return
    table = Table("tier", "days", "first", "last", "rows", "bytes")
    for row in rows:
        figures = f"{row['rows']:,}", f"{row['bytes']:,}"
        table.add_row(row["tier"], str(row["days"]), row["first"] or "", row["last"] or "", *figures)
    out.print(table)


@app.command()
def erase(
    lp_id: Annotated[list[str] | None, typer.Option("--lp-id", help="A page; may be given several times.")] = None,
    tenant: Annotated[str, typer.Option(help="A tenant of the tenants file: its pages by prefix and by lp_ids.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    today: Today = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Erase all heatmap data of pages or of a tenant until now, in every tier. This cannot be undone."""
    settings = settings_for(data)
    lp_ids, prefix = _selection(settings, lp_id or [], tenant)
    names = ", ".join([*lp_ids, *([f"{prefix}…"] if prefix else [])])
    if not yes and not typer.confirm(f"Erase all heatmaps of {names}?", err=True):
        raise LpstreamError("nothing was erased: the question was not answered with yes")
    _run(settings, _clock(today), lambda tiers: tiers.erase(lp_ids, prefix, wait_s=WAIT_S), as_json)


def restore(
    first: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First day, of LPSTREAM_TIMEZONE.")],
    last: Annotated[datetime, typer.Option("--to", formats=["%Y-%m-%d"], help="Last day, of LPSTREAM_TIMEZONE.")],
    days: Annotated[int, typer.Option(min=1, max=365, help="Number of days that they stay restored.")] = 7,
    today: Today = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Restore cold days into the views for some days.

    A day of LPSTREAM_TIMEZONE overlaps two UTC days, and both are restored.
    Glacier takes hours: run the command again until no day is waiting.
    """
    if last < first:
        raise LpstreamError("--to: is before --from")

    async def work(tiers: Tiers) -> Report | None:
        return await tiers.restore(first.date(), last.date(), days, wait_s=WAIT_S)

    _run(settings_for(data), _clock(today), work, as_json)


def _clock(today: datetime | None) -> Clock:
    return Clock.at(today.date() if today else None, datetime.now(UTC))


def _selection(settings: Settings, lp_ids: list[str], tenant: str) -> tuple[list[str], str]:
    """Return page ids and a prefix of page ids; raise LpstreamError unless exactly one option is given."""
    if bool(lp_ids) == bool(tenant):
        raise LpstreamError("give either --lp-id or --tenant")
    check_ids(lp_ids, option="--lp-id")
    if not tenant:
        return lp_ids, ""
    entry = Tenants.load(settings.tenants_file).named(tenant)
    if entry is None:
        raise LpstreamError(f"--tenant {tenant!r}: is not in {settings.tenants_file}")
    return [lp_id for lp_id in entry.lp_ids if lp_id != "*"], f"{entry.id}-"


def _run(settings: Settings, clock: Clock, work: Work, as_json: bool) -> None:
    with spinner("searching") as say_it:
        tiers = Tiers(settings, clock, say_it)
        report = asyncio.run(_awaited(work(tiers)))
    if report is None:
        raise LpstreamError(f"another run has held the lock for over {WAIT_S:g} s; try again when it has ended")
    if as_json:
        typer.echo(json.dumps(report.plain()))
    else:
        _show(report)
    if report.problems:
        raise LpstreamError("\n".join(report.problems))


async def _awaited(work: Awaitable[Report | None]) -> Report | None:
    return await work


def _show(report: Report) -> None:
    table = Table("done", "days", "objects", "rows", "bytes", title=f"{report.seconds:g} s")
    for action, rows in report.done.items():
        days = sorted({row["day"] for row in rows})
        period = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
        sums = (f"{sum(row[name] for row in rows):,}" for name in ("rows", "bytes"))
        table.add_row(action, period, str(len(rows)), *sums)
    if report.done:
        out.print(table)
    else:
        out.print("nothing to do: every day is in its tier")
    for line in report.waiting:
        out.print(f"waiting: {line}", highlight=False)


def _show_plan(plan: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(plan))
        return
    table = Table("would", "table", "day")
    for action in ("finish", "erase", "move", "chill", "expire"):
        for row in plan[action]:
            table.add_row(action, row["table"], row["day"])
    out.print(table)
    for line in plan["waiting"]:
        out.print(f"waiting: {line}", highlight=False)
