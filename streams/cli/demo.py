"""`lpstream demo`: run the pipeline once, end to end, on an embedded stack."""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.up import Kafka, show_processes
from streams.local.console import writable_folder
from streams.local.running import installation
from streams.proof.demo import run
from streams.proof.loop import SETTINGS


def demo(
    kafka: Kafka = "auto",
    visits: Annotated[int, typer.Option(min=1, help="Number of visits to send.")] = 3_000,
    target: Annotated[Path, typer.Option("--out", help="Folder of the output.")] = Path("out/demo"),
    data: Annotated[Path | None, typer.Option("--data", help="Folder of the stack; default: a temporary one.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the visitor model.")] = 1,
) -> None:
    """Send visits, compare acknowledged with counted events, draw maps, and let a page improve itself."""
    writable_folder("--out", target)
    with (
        tempfile.TemporaryDirectory(prefix="lpstream-") as folder,
        installation(data or Path(folder), kafka, overrides=SETTINGS) as (stack, services),
    ):
        show_processes(stack, services)
        asyncio.run(run(stack, services, target, visits=visits, seed=seed))
