"""What commands share: where the stack is, how a line is said, how a command fails."""

import sys
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.console import Console

from schemas.errors import SettingError
from streams.local.addresses import read_addresses, read_settings
from streams.runtime.settings import PREFIX, Settings, any_address_set, load_settings

WIDE = 200
out = Console(width=None if sys.stdout.isatty() else WIDE)
err = Console(stderr=True)

Data = Annotated[Path, typer.Option("--data", help="Folder of the stack's data.", show_default=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DEFAULT_DATA = Path(".lpstream")


def say(line: str) -> None:
    """A line for the person who waits."""
    err.print(line, highlight=False, markup=False)


def analyst(data: Path) -> tuple[str, str, str, str | None]:
    """ClickHouse's address, user, password and certificates for reading.

    From the settings if any address is set, else the doors.
    """
    if any_address_set():
        settings = load_settings()
        return (
            settings.clickhouse_url,
            "analyst",
            settings.clickhouse_analyst_password.get_secret_value(),
            settings.ca_file,
        )
    parts = urlsplit(str(read_addresses(data)["clickhouse"]))
    return f"{parts.scheme}://{parts.hostname}:{parts.port}", parts.username or "", parts.password or "", None


def settings_for(data: Path) -> Settings:
    """The settings if any address is set in them, wholly; else those of the stack that runs on the folder."""
    if any_address_set():
        return load_settings()
    found = read_settings(data)
    return load_settings(**{name.removeprefix(PREFIX).lower(): value for name, value in found.items()})


def private_api(data: Path) -> tuple[str, str]:
    """Address and token of the private listener."""
    settings = settings_for(data)
    token = settings.api_token.get_secret_value()
    if not token:
        raise SettingError(f"{PREFIX}API_TOKEN: is not set; give a token of your tenant for the private listener")
    return settings.api_base_url, token
