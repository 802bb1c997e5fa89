"""The command line: `lpstream`. A command's module is imported when the command is called, which makes starts short."""

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from schemas.errors import LpstreamError

# in the order of `lpstream --help`: where each command's function or group of commands is
COMMANDS = {
    "up": "streams.cli.up:up",
    "demo": "streams.cli.demo:demo",
    "edge": "streams.cli.services:edge",
    "worker": "streams.cli.services:worker",
    "migrate": "streams.cli.services:migrate",
    "snippet": "streams.cli.services:snippet",
    "request": "streams.cli.request:request",
    "warm": "streams.cli.warm:warm",
    "sql": "streams.cli.sql:sql",
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
    """Commands by `COMMANDS`."""

    def list_commands(self, _context: Any) -> list[str]:
        """Their names."""
        return list(COMMANDS)

    def get_command(self, _context: Any, name: str) -> Any:
        """The command, imported; None when there is none of that name."""
        if name not in COMMANDS:
            return None
        place, _, attribute = COMMANDS[name].partition(":")
        module = import_module(place)
        found: typer.Typer | Callable[..., Any] = getattr(module, attribute)
        if isinstance(found, typer.Typer):
            group = found
        else:
            group = typer.Typer(add_completion=False)
            group.command(epilog=getattr(module, "EPILOG", None))(found)
        command = typer.main.get_command(group)
        command.name = name
        return command


app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def lpstream() -> None:
    """Event streaming for landing pages: heatmaps and page generation on Kafka, Faust and ClickHouse."""


def main() -> None:
    """Run a command; what goes wrong is one clear message and exit code 1."""
    try:
        app()
    except LpstreamError as error:
        from streams.local.console import err

        err.print(f"lpstream: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
