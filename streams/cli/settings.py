"""`lpstream settings`: print the page of all settings."""

from pathlib import Path
from typing import Annotated

import typer
from pydantic import SecretStr

from streams.local.console import writable_file
from streams.runtime.settings import PREFIX, Settings

HEADER = f"""# Settings

Every process reads `{PREFIX}*` from its environment once, when it starts. If a value is wrong, the process ends
and names the setting and the reason. It also ends if two settings contradict each other, such as two equal ports.
`{PREFIX}<NAME>_FILE` names a file that holds the value of a secret; an empty file is an error.
A variable that resembles a setting and is none is ignored, with a warning that names the setting.

`lpstream settings --write docs/settings.md` makes this page.

"""


def settings_page() -> str:
    """Return a Markdown page that lists the name, default and meaning of each setting."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = "" if field.annotation is SecretStr or field.default is None else f"`{field.default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {field.description} |")
    return HEADER + "\n".join(rows) + "\n"


def settings(write: Annotated[Path | None, typer.Option("--write", help="Write the page to a file.")] = None) -> None:
    """Print every setting with its default and its meaning, as Markdown."""
    page = settings_page()
    if write is None:
        typer.echo(page, nl=False)
    else:
        writable_file("--write", write).write_text(page, encoding="utf-8")
