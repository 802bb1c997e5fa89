"""`lpstream upload`: upload pictures and logos that requests can name."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from schemas.errors import LpstreamError
from schemas.uploads import Upload
from streams.client import over_http
from streams.local.console import DEFAULT_DATA, AsJson, Data, out, private_api

EPILOG = (
    "JPEG, PNG, WebP or GIF. A request names the id as assets.picture or assets.logo. Deleting takes it from all pages."
)


def upload(
    files: Annotated[list[Path] | None, typer.Argument(help="Files to upload.", metavar="[FILE]...")] = None,
    delete: Annotated[
        list[str] | None, typer.Option("--delete", help="Id to delete; pages that show it lose it.")
    ] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Upload pictures and logos, or delete them; print the ids. Without arguments, list the tenant's ids."""
    bodies = {str(file): read(file, "FILE") for file in files or []}
    uploads, ids = asyncio.run(_run(*private_api(data), bodies, delete or []))
    if as_json:
        rows = {name: each.model_dump(mode="json") for name, each in uploads.items()}
        typer.echo(json.dumps({"uploaded": rows, "uploads": ids}))
        return
    table = Table("file", "id", "pixels")
    for name, each in uploads.items():
        table.add_row(name, each.upload, f"{each.width} x {each.height}")
    for upload_id in [] if uploads else ids:
        table.add_row("", upload_id, "")
    out.print(table)


def read(file: Path, name: str) -> bytes:
    """Return a file's bytes. Raise LpstreamError with the option's name if it cannot be read."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise LpstreamError(f"{name} {file}: cannot be read: {error.strerror}") from error


async def _run(
    api: str, token: str, bodies: dict[str, bytes], deleted: list[str]
) -> tuple[dict[str, Upload], list[str]]:
    async with over_http(api, token) as pages:
        uploads = {}
        for name, body in bodies.items():
            try:
                uploads[name] = await pages.upload(body)
            except LpstreamError as error:
                raise LpstreamError(f"{name}: {error}") from error
        for upload_id in deleted:
            await pages.delete_upload(upload_id)
        return uploads, await pages.uploads()
