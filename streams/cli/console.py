"""What commands share: where the stack is, how a line is said, how a command fails."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from streams.doors import read_doors
from streams.settings import any_address_set, load_settings

out = Console()
err = Console(stderr=True)

Data = Annotated[Path, typer.Option("--data", help="Folder of the stack's data.", show_default=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DEFAULT_DATA = Path(".lpstream")


def say(line: str) -> None:
    """A line for the person who waits."""
    err.print(line, highlight=False, markup=False)


def analyst(data: Path) -> tuple[str, str, str]:
    """ClickHouse's address, user and password for reading: from the settings if any address is set, else the doors."""
    if any_address_set():
        settings = load_settings()
        return settings.clickhouse_url, "analyst", settings.clickhouse_analyst_password.get_secret_value()
    parts = urlsplit(str(read_doors(data)["clickhouse"]))
    return f"{parts.scheme}://{parts.hostname}:{parts.port}", parts.username or "", parts.password or ""
