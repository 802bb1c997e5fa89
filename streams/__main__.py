"""The command line `lpstream`. Each command's module is imported when it is called, for fast starts."""

import io
import logging
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from schemas.errors import LpstreamError

# the import path of each command's function or group of commands, in the order of `lpstream --help`
COMMANDS = {
    "up": "streams.cli.up:up",
    "env": "streams.cli.env:env",
    "demo": "streams.cli.demo:demo",
    "edge": "streams.cli.services:edge",
    "worker": "streams.cli.services:worker",
    "migrate": "streams.cli.services:migrate",
    "snippet": "streams.cli.services:snippet",
    "request": "streams.cli.request:request",
    "upload": "streams.cli.upload:upload",
    "experiment": "streams.cli.experiment:app",
    "warm": "streams.cli.warm:warm",
    "providers": "streams.cli.providers:app",
    "sql": "streams.cli.sql:sql",
    "pages": "streams.cli.pages:app",
    "findings": "streams.cli.findings:findings",
    "erase": "streams.cli.erase:erase",
    "restore": "streams.cli.tier:restore",
    "rebuild": "streams.cli.rebuild:rebuild",
    "bench": "streams.cli.bench:bench",
    "cost": "streams.cli.cost:cost",
    "verify": "streams.cli.verify:verify",
    "dlq": "streams.cli.dlq:app",
    "tier": "streams.cli.tier:app",
    "settings": "streams.cli.settings:settings",
}

# libraries that log an error and raise it as well; the services' own logs still have both
NOISY = ("aiokafka", "clickhouse_connect")


class Commands(TyperGroup):
    """The group of all commands in `COMMANDS`."""

    def list_commands(self, _context: Any) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, _context: Any, name: str) -> Any:
        """Import the command and return it; None if there is no such command."""
        if name not in COMMANDS:
            return None
        path, _, attribute = COMMANDS[name].partition(":")
        module = import_module(path)
        target: typer.Typer | Callable[..., Any] = getattr(module, attribute)
        if isinstance(target, typer.Typer):
            group = target
        else:
            group = typer.Typer(add_completion=False)
            group.command(epilog=getattr(module, "EPILOG", None))(target)
        command = typer.main.get_command(group)
        command.name = name
        return command


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"lpstream {version('lpstream')}")
        raise typer.Exit


@app.callback()
def lpstream(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Event streaming for landing pages: heatmaps and page generation on Kafka, Faust and ClickHouse."""


def main() -> None:
    """Run a command; print an LpstreamError as one message and exit with code 1."""
    for library in NOISY:
        logging.getLogger(library).addHandler(logging.NullHandler())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without Japanese shows escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except LpstreamError as error:
        from streams.local.console import err

        err.print(f"lpstream: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
