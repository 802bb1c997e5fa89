"""`lpstream settings`: print the page of all settings."""

from pathlib import Path
from typing import Annotated

import typer

from streams.runtime.settings import settings_page


def settings(write: Annotated[Path | None, typer.Option("--write", help="Write the page to a file.")] = None) -> None:
    """Print every setting with its default and its meaning, as Markdown."""
    page = settings_page()
    if write is None:
        typer.echo(page, nl=False)
    else:
        write.write_text(page, encoding="utf-8")
