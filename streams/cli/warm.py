"""`lpstream warm`: write copy for frequent patterns in advance, or remove it from the cache."""

import asyncio
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from processors.pages.brief import copy_fields
from processors.pages.cache_keys import pattern_of
from schemas.errors import LpstreamError
from schemas.generation import GenerationRequest
from streams.generation.mix import Mix, Pattern
from streams.generation.services import CopyServices
from streams.generation.warming import OnProgress, Warming
from streams.local.console import DEFAULT_DATA, AsJson, Data, err, out, settings_for
from streams.runtime.settings import Settings


def warm(
    file: Annotated[
        Path | None,
        typer.Option("--file", help="TOML file of patterns. Default: streams/generation/request_mix.toml."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Number of patterns, the most frequent first.")] = 800,
    at_once: Annotated[int, typer.Option(min=1, max=200, help="Number of patterns to write in parallel.")] = 8,
    forget: Annotated[
        bool, typer.Option("--forget", help="Remove cached copy instead: all, or that of --industry and --purpose.")
    ] = False,
    industry: Annotated[str | None, typer.Option(help="Only patterns of this industry.")] = None,
    purpose: Annotated[str | None, typer.Option(help="Only patterns of this purpose.")] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Write copy for frequent patterns in advance.

    Patterns with fresh copy in the cache are skipped, so it is safe to run again.
    """
    patterns = [
        pattern
        for pattern in Mix.load(file).patterns()
        if (industry is None or pattern.industry == industry) and (purpose is None or pattern.purpose == purpose)
    ]
    if not patterns:
        raise LpstreamError("--industry, --purpose: no pattern of the file matches; give other values")
    settings = settings_for(data)
    figures: dict[str, float]
    if forget:
        everything = industry is None and purpose is None
        figures = {"forgotten": asyncio.run(_forget(settings, None if everything else patterns))}
    else:
        with Progress(console=err) as progress:
            task = progress.add_task("patterns", total=min(top, len(patterns)))
            figures = asyncio.run(
                _warm(settings, patterns[:top], at_once, lambda done, _: progress.update(task, completed=done))
            )
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        out.print(", ".join(f"{name} {value:g}" for name, value in figures.items()))


async def _warm(settings: Settings, patterns: list[Pattern], at_once: int, on_progress: OnProgress) -> dict[str, float]:
    services = CopyServices(settings)
    try:
        return (await Warming(services, on_progress).run(patterns, at_once)).as_dict()
    finally:
        await services.close()


async def _forget(settings: Settings, patterns: list[Pattern] | None) -> int:
    services = CopyServices(settings)
    try:
        if patterns is None:
            return await services.cache.forget()
        names = {pattern_of(copy_fields(GenerationRequest.model_validate(each.request(0)))) for each in patterns}
        return sum([await services.cache.forget(name) for name in sorted(names)])
    finally:
        await services.close()
