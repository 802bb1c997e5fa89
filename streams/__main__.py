"""The command line `lpstream`. Each command's module is imported when it is called, for fast starts."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

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
    "autopilot": "streams.cli.autopilot:app",
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


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def lpstream() -> None:
    """Event streaming for landing pages: heatmaps and page generation on Kafka, Faust and ClickHouse."""


def main() -> None:
    """Run a command; print an LpstreamError as one message and exit with code 1."""
    try:
        app()
    except LpstreamError as error:
        from streams.local.console import err

        err.print(f"lpstream: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
