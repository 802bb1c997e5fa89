"""`lpstream pages`: work on published pages."""

import asyncio
import json
import re
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from schemas.errors import LpstreamError
from schemas.generation import TENANT_PATTERN
from schemas.heatmap import LP_ID_PATTERN
from streams.local.console import DEFAULT_DATA, AsJson, Data, err, say, settings_for
from streams.operate.rerender import Rerender, Rerendered, Say
from streams.pictures.stored import stored_ids
from streams.runtime.settings import Settings
from streams.runtime.stores import open_objects

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Work on published pages.")
LATER = "caches keep the old pages for up to a day (nginx, CDN): purge them if the change cannot wait"


@app.callback()
def pages() -> None:
    """Work on published pages."""


@app.command()
def rerender(
    lp: Annotated[list[str] | None, typer.Option("--lp", help="A page's id; may be given several times.")] = None,
    tenant: Annotated[str, typer.Option("--tenant", help="A tenant's id, for all its pages.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show which pages would change, and write none.")] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Render published pages anew for LPSTREAM_PUBLIC_URL, with this release's templates.

    Without an option, all pages.
    """
    _check(lp or [], tenant)
    settings = settings_for(data)
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=err) as progress:
        task = progress.add_task("looking for pages")
        result = asyncio.run(
            _run(settings, lp or [], tenant, dry_run, lambda line: progress.update(task, description=line))
        )
    if as_json:
        typer.echo(json.dumps(result.plain(), ensure_ascii=False))
    else:
        _show(result, settings, dry_run)
    if result.problems:
        raise LpstreamError("\n".join(result.problems))


def _check(lp_ids: list[str], tenant: str) -> None:
    if lp_ids and tenant:
        raise LpstreamError("give --lp or --tenant, or neither for all pages")
    for lp_id in lp_ids:
        if not re.fullmatch(LP_ID_PATTERN.strip("^$"), lp_id):
            raise LpstreamError(f"--lp {lp_id[:200]!r}: is not a valid page id")
    if tenant and not re.fullmatch(TENANT_PATTERN.strip("^$"), tenant):
        raise LpstreamError(f"--tenant {tenant[:200]!r}: is not a valid tenant id")


async def _run(settings: Settings, lp_ids: list[str], tenant: str, dry_run: bool, say_it: Say) -> Rerendered:
    objects = open_objects(settings)
    chosen = lp_ids or await stored_ids(objects, f"{tenant}-" if tenant else "")
    result = await Rerender(objects, settings.page_base_url, dry_run=dry_run, say=say_it).run(chosen)
    if lp_ids and result.pages < len(set(lp_ids)):
        result.problems.append(f"--lp: {len(set(lp_ids)) - result.pages} of {len(set(lp_ids))} pages do not exist")
    return result


def _show(result: Rerendered, settings: Settings, dry_run: bool) -> None:
    done = "would change" if dry_run else "rendered anew"
    say(f"{len(result.changed)} of {result.pages} pages {done} for {settings.page_base_url}")
    if result.changed and not dry_run:
        say(LATER)
