"""`lpstream rebuild`: rebuild the heatmap tables from the log."""

import asyncio
import json

import typer
from rich.progress import Progress

from streams.local.console import DEFAULT_DATA, AsJson, Data, err, out, say, settings_for
from streams.operate.rebuild import Rebuild
from streams.runtime.gc_tuning import tune_collector


def rebuild(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Rebuild the heatmap tables from the log's first record, then exchange them.

    Traffic and workers continue meanwhile.
    """
    settings = settings_for(data)
    tune_collector()
    with Progress(console=err) as progress:
        task = progress.add_task("records", total=None)
        run = Rebuild(settings, say, lambda read, total: progress.update(task, completed=read, total=total))
        figures = asyncio.run(run.run())
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        records, pace, passes = figures["records"], figures["records_per_second"], figures["passes"]
        out.print(
            f"rebuilt from {records:,} records in {figures['seconds']} s ({passes} passes, {pace:,} records/s);"
            f" {figures['days_kept']} older days kept"
        )
