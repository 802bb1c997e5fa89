"""`lpstream providers`: check the configured model providers."""

import asyncio
import json
from typing import Annotated

import typer
from rich.table import Table

from schemas.errors import LpstreamError, SettingError
from streams.generation.provider_check import Finding, check_providers
from streams.local.console import AsJson, out
from streams.runtime.settings import PREFIX, load_settings

app = typer.Typer(add_completion=False, help="Model providers of LPSTREAM_LLM_PROVIDERS.", no_args_is_help=True)
Name = Annotated[str | None, typer.Option("--name", help="Check only the provider of this name.")]


@app.callback()
def providers() -> None:
    """Check the model providers of LPSTREAM_LLM_PROVIDERS."""


@app.command()
def check(name: Name = None, as_json: AsJson = False) -> None:
    """Ask each configured model for one section; show its cost, its time and the settings to change.

    The calls cost money and are not in the ledger. Exit code: 0 if every model gave a valid section, otherwise 1.
    """
    settings = load_settings()
    chosen = [provider for provider in settings.llm_providers if name in (None, provider.name)]
    if not chosen:
        known = ", ".join(provider.name for provider in settings.llm_providers)
        reason = f"no provider {name}; configured: {known}" if known else "no provider is set (docs/generation.md)"
        raise SettingError(f"{PREFIX}LLM_PROVIDERS: {reason}")
    findings = asyncio.run(check_providers(settings.model_copy(update={"llm_providers": chosen})))
    if as_json:
        typer.echo(json.dumps([finding.model_dump() for finding in findings], ensure_ascii=False))
    else:
        out.print(_table(findings))
    if wrong := [finding for finding in findings if not finding.ok]:
        raise LpstreamError(f"{len(wrong)} of {len(findings)} models gave no valid section")


def _table(findings: list[Finding]) -> Table:
    table = Table("model", "outcome", "first token", "total", "tokens", "yen", "what to do")
    for found in findings:
        first = "-" if found.first_token_ms is None else f"{found.first_token_ms:,} ms"
        tokens = "-" if found.input_tokens is None else f"{found.input_tokens:,} + {found.output_tokens:,}"
        cost = "-" if found.cost_jpy is None else f"{found.cost_jpy:.3f}"
        said = [f"its words: {found.words}"] if found.words else []
        needed = [f"set {', '.join(found.settings)}"] if found.settings else []
        todo = "\n".join(filter(None, [found.meaning, *said, *needed, *found.notes])) or "nothing"
        name = f"{found.provider} {found.model} ({', '.join(found.tiers)})"
        table.add_row(name, found.outcome, first, f"{found.total_ms:,} ms", tokens, cost, todo)
    return table
