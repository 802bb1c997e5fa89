"""The command line: `lpstream`."""

import sys
from pathlib import Path

import typer

from schemas.errors import LpstreamError
from streams.cli.bench import bench
from streams.cli.console import err
from streams.cli.cost import cost
from streams.cli.demo import demo
from streams.cli.dlq import app as dlq
from streams.cli.rebuild import rebuild
from streams.cli.request import request
from streams.cli.services import edge, migrate, snippet, worker
from streams.cli.sql import sql
from streams.cli.tier import app as tier
from streams.cli.tier import restore
from streams.cli.up import up
from streams.cli.verify import EPILOG, verify
from streams.cli.warm import warm
from streams.settings import settings_page

app = typer.Typer(
    help="Event streaming for landing pages: heatmaps and page generation on Kafka, Faust and ClickHouse.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (up, demo, edge, worker, migrate, snippet, request, warm, sql, restore, rebuild, bench, cost):
    app.command()(command)
app.command(epilog=EPILOG)(verify)
app.add_typer(dlq, name="dlq")
app.add_typer(tier, name="tier")


@app.command()
def settings(
    write: Path | None = typer.Option(None, "--write", help="Write the page to a file."),  # noqa: B008 - typer's form
) -> None:
    """Print every setting, its default and what it means, as Markdown."""
    page = settings_page()
    if write is None:
        typer.echo(page)
    else:
        write.write_text(page, encoding="utf-8")


def main() -> None:
    """Run a command; what goes wrong is one clear message and exit code 1."""
    try:
        app()
    except LpstreamError as error:
        err.print(f"lpstream: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
