"""`lpstream env`: addresses and token of a running stack as shell variables."""

import json
import shlex
import sys
from pathlib import Path

import typer

from streams.local.addresses import read_addresses
from streams.local.console import DEFAULT_DATA, AsJson, Data

NAMES = {"EDGE": "edge", "API": "api", "TOKEN": "token", "KAFKA": "kafka", "CLICKHOUSE": "clickhouse"}


def env(data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Print the addresses and the token of a running stack, for `eval "$(lpstream env)"`.

    The shell then finds this `lpstream` without its path.
    """
    addresses = read_addresses(data)
    values = {name: str(addresses[key]) for name, key in NAMES.items()}
    if as_json:
        typer.echo(json.dumps(values))
        return
    for name, value in values.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
    typer.echo(f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH")
