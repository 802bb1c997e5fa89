"""Shared parts of the commands: common options, output, and the settings of the stack in use."""

import json
import re
import shlex
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from schemas.errors import LpstreamError, SettingError
from schemas.generation import TENANT_PATTERN
from schemas.heatmap import LP_ID_PATTERN
from streams.local import addresses
from streams.local.addresses import read_addresses, read_settings
from streams.runtime.settings import PREFIX, Settings, any_address_set, load_settings

WIDE = 200


def printable(text: str) -> str:
    """Return the text with escapes in place of characters that could control the terminal."""
    controls = {char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")}
    return text.translate({ord(char): char.encode("unicode_escape").decode() for char in controls})


class PlainConsole(Console):
    """A console that prints every text as it is, because visitors, models and files may have written it.

    It has no markup, no names of emoji and no control characters. Line breaks and tabs stay.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string or a cell of a table as rich's text."""
        plain = "".join(part if part in "\n\t" else printable(part) for part in re.split(r"([\n\t])", text))
        return super().render_str(plain, **(options | {"markup": False, "emoji": False}))


out = PlainConsole(width=None if sys.stdout.isatty() else WIDE)
err = PlainConsole(stderr=True)

Data = Annotated[Path, typer.Option("--data", help="Folder of the stack's data.", show_default=True)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DEFAULT_DATA = addresses.DEFAULT_DATA


# the pages that a command works on
Pages = Annotated[list[str] | None, typer.Option("--lp", help="A page's id; may be given several times.")]
OfTenant = Annotated[str, typer.Option("--tenant", help="A tenant's id, for all its pages.")]


@contextmanager
def spinner(first: str) -> Iterator[Callable[[str], None]]:
    """Show a line with a spinner while the block runs. Yield a function that replaces the line."""
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn(), console=err
    ) as progress:
        task = progress.add_task(first)
        yield lambda line: progress.update(task, description=line)


def check_ids(lp_ids: list[str], tenant: str = "", option: str = "--lp") -> None:
    """Raise LpstreamError with the option for an id of a page or of a tenant that is not valid."""
    for lp_id in lp_ids:
        if not re.fullmatch(LP_ID_PATTERN.strip("^$"), lp_id):
            raise LpstreamError(f"{option} {lp_id[:200]!r}: is not a valid page id")
    if tenant and not re.fullmatch(TENANT_PATTERN.strip("^$"), tenant):
        raise LpstreamError(f"--tenant {tenant[:200]!r}: is not a valid tenant id")


def _page_id(lp_id: str) -> str:
    check_ids([lp_id], option="page")
    return lp_id


PageId = Annotated[str, typer.Argument(help="The page's id.", metavar="LP", callback=_page_id)]


def program() -> str:
    """Return the path of this program, for command lines that a person pastes."""
    started = Path(sys.argv[0])
    return shlex.quote(str(started if started.name == "lpstream" else Path(sys.executable).with_name("lpstream")))


def say(line: str) -> None:
    """Print a status line to standard error."""
    err.print(line, highlight=False)


def writable_file(option: str, file: Path) -> Path:
    """Return a file after its folder was made. Raise LpstreamError if it cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.open("ab").close()
    except OSError as error:
        raise LpstreamError(f"{option} {file}: cannot be written: {error.strerror}; nothing was done") from error
    return file


def json_file(option: str, file: Path, empty: str = "") -> Any:
    """Return the content of a JSON file, of standard input for `-`. An empty file counts as `empty`.

    Raise LpstreamError if it cannot be read or is not JSON.
    """
    try:
        body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise LpstreamError(f"{option} {file}: cannot be read: {error.strerror}") from error
    try:
        return json.loads(body or empty)
    except (ValueError, RecursionError) as error:
        raise LpstreamError(f"{option} {file}: is not JSON: {error}") from error


def writable_folder(option: str, folder: Path) -> Path:
    """Return a folder after it was made. Raise LpstreamError if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise LpstreamError(f"{option} {folder}: cannot be written to: {error.strerror}; nothing was done") from error
    return folder


def analyst(data: Path) -> tuple[str, str, str, str | None]:
    """Return ClickHouse's URL, read-only user, password and CA file.

    They come from the settings if any address is set there, else from `doors.json`.
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
    """Return the settings if any address is set there, else those of the stack that runs in the folder."""
    if any_address_set():
        return load_settings()
    stored = read_settings(data)
    return load_settings(**{name.removeprefix(PREFIX).lower(): value for name, value in stored.items()})


def private_api(data: Path) -> tuple[str, str]:
    """Return the address of the private listener and the token for it."""
    settings = settings_for(data)
    token = settings.api_token.get_secret_value()
    if not token:
        raise SettingError(f"{PREFIX}API_TOKEN: is not set; set it to a token of your tenant for the private listener")
    return settings.api_base_url, token
