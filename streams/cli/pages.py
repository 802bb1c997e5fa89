"""`lpstream pages`: work on published pages."""

import asyncio
import json
from typing import Annotated

import typer

from schemas.errors import LpstreamError
from streams.local.console import DEFAULT_DATA, AsJson, Data, OfTenant, Pages, check_ids, say, settings_for, spinner
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
    lp: Pages = None,
    tenant: OfTenant = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show which pages would change, and write none.")] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Render published pages anew for LPSTREAM_PUBLIC_URL, with this release's templates.

    Without an option, all pages.
    """
    if lp and tenant:
        raise LpstreamError("give --lp or --tenant, or neither for all pages")
    check_ids(lp or [], tenant)
    settings = settings_for(data)
    with spinner("looking for pages") as say_it:
        result = asyncio.run(_run(settings, lp or [], tenant, dry_run, say_it))
    if as_json:
        typer.echo(json.dumps(result.plain(), ensure_ascii=False))
    else:
        _show(result, settings, dry_run)
    if result.problems:
        raise LpstreamError("\n".join(result.problems))


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
