"""The command line `lpstream`. A call imports the module of its command only; `--help` imports none."""

import contextlib
import errno
import io
import logging
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, NoReturn

import click
import typer
from typer.core import TyperGroup

from schemas.errors import LpstreamError

# the import path of each command's function or group of commands, and its line of `lpstream --help`
COMMANDS = {
    "up": (
        "streams.cli.up:up",
        "Start the stack and all services on this machine, print the addresses, run until Ctrl-C.",
    ),
    "env": (
        "streams.cli.env:env",
        'Print the addresses and the token of a running stack, for `eval "$(lpstream env)"`.',
    ),
    "demo": (
        "streams.cli.demo:demo",
        "Send visits, compare acknowledged with counted events, draw maps, and let a page improve itself.",
    ),
    "edge": (
        "streams.cli.services:edge",
        "Run the edge: the public and the private listener, in LPSTREAM_EDGE_PROCESSES processes.",
    ),
    "worker": (
        "streams.cli.services:worker",
        "Run a worker of the pipeline; `all` runs all three, each in its own process.",
    ),
    "migrate": ("streams.cli.services:migrate", "Create topics, tables, views and the bucket; safe to run again."),
    "snippet": (
        "streams.cli.services:snippet",
        "Print the script tag of the tracking snippet, with the hash by which browsers check it.",
    ),
    "request": (
        "streams.cli.request:request",
        "Request one landing page or a variant of a page, follow its progress, print its result.",
    ),
    "upload": (
        "streams.cli.upload:upload",
        "Upload pictures and logos, or delete them; print the ids. Without arguments, list the tenant's ids.",
    ),
    "experiment": ("streams.cli.experiment:app", "Experiments: visitors of a page see different pages."),
    "autopilot": ("streams.cli.autopilot:app", "Autopilot: a page improves itself by variants and experiments."),
    "warm": ("streams.cli.warm:warm", "Write copy for frequent patterns in advance."),
    "providers": ("streams.cli.providers:app", "Model providers of LPSTREAM_LLM_PROVIDERS."),
    "sql": ("streams.cli.sql:sql", "Run one SQL query as the read-only analyst and print its rows."),
    "pages": ("streams.cli.pages:app", "Work on published pages."),
    "findings": (
        "streams.cli.findings:findings",
        "Print where visitors of a page meet a difficulty, the heaviest first.",
    ),
    "erase": (
        "streams.cli.erase:erase",
        "Erase pages, with pictures, copy, results and heatmaps, in every store and tier.",
    ),
    "restore": ("streams.cli.tier:restore", "Restore cold days into the views for some days."),
    "rebuild": (
        "streams.cli.rebuild:rebuild",
        "Rebuild the heatmap tables from the log's first record, then exchange them.",
    ),
    "bench": (
        "streams.cli.bench:bench",
        "Measure each figure against a reference that runs in the same minutes on this machine.",
    ),
    "cost": (
        "streams.cli.cost:cost",
        "Recommend the smallest layout for a load, and show a month's cost in yen beside other deployments.",
    ),
    "verify": (
        "streams.cli.verify:verify",
        "Run the verification plan: visitors, faults, measures, verdicts, a report in two languages.",
    ),
    "dlq": ("streams.cli.dlq:app", "Dead letters: records that could not be decoded."),
    "tier": (
        "streams.cli.tier:app",
        "Move old days to S3 and older ones to Glacier. The heatmap workers do this hourly.",
    ),
    "settings": ("streams.cli.settings:settings", "Print every setting with its default and its meaning, as Markdown."),
}

# errors of an output that takes no more: a full disk, a quota, a file's limit, a broken disk, a read-only disk
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
# libraries that log an error and raise it as well; the services' own logs still have both
NOISY = ("aiokafka", "clickhouse_connect")


class Commands(TyperGroup):
    """The group of all commands in `COMMANDS`."""

    _summaries_only = False

    def format_help(self, context: Any, formatter: Any) -> None:
        """Write the help, with the commands' summaries in place of the commands."""
        self._summaries_only = True
        super().format_help(context, formatter)

    def list_commands(self, _context: Any) -> list[str]:
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, _context: Any, name: str) -> Any:
        """Import the command and return it; None if there is no such command."""
        if name not in COMMANDS:
            return None
        path, summary = COMMANDS[name]
        if self._summaries_only:
            return click.Command(name, help=summary)
        path, _, attribute = path.partition(":")
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
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without Japanese shows escapes
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # here, because an error at the interpreter's end is a traceback
    except LpstreamError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the interpreter's own flush
        name = error.filename or "the output"
        _fail(f"cannot write {name}: {os.strerror(error.errno)}; free some space, or write elsewhere")


def _fail(message: str) -> NoReturn:
    """Print a message and exit with code 1. Print nothing if standard error cannot be written either.

    Commands in the message get the path of this program, because `lpstream` alone may not be found.
    """
    from streams.local.console import err, program

    message = message.replace("`lpstream ", f"`{program()} ")
    with contextlib.suppress(OSError):
        err.print(f"lpstream: {message}", style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
