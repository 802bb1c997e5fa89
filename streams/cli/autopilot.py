"""`lpstream autopilot`: a page that improves itself, by variants and experiments."""

import asyncio
import json
from typing import Annotated

import typer

from schemas.errors import LpstreamError
from streams.cli.experiment import Answer, state_after, state_at
from streams.local.console import DEFAULT_DATA, AsJson, Data, PageId, out, private_api

app = typer.Typer(
    add_completion=False, help="Autopilot: a page improves itself by variants and experiments.", no_args_is_help=True
)


@app.callback()
def autopilot() -> None:
    """Autopilot: findings lead to a variant, an experiment tests it, and the winner becomes the page."""


@app.command()
def on(
    lp_id: PageId,
    approval: Annotated[
        bool, typer.Option("--approval", help="A person must approve each variant before visitors see it.")
    ] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Switch autopilot on: at most one variant a week, each tested in an experiment."""
    _order(lp_id, "on", data, as_json=as_json, approval=approval)


@app.command()
def off(lp_id: PageId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Switch autopilot off, and stop the experiment that it has started."""
    _order(lp_id, "off", data, as_json=as_json)


@app.command()
def approve(lp_id: PageId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Let visitors see the variant that waits for approval."""
    _order(lp_id, "approve", data, as_json=as_json)


@app.command()
def reject(lp_id: PageId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Drop the variant that waits for approval. Autopilot rests for a week."""
    _order(lp_id, "reject", data, as_json=as_json)


@app.command()
def show(lp_id: PageId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Print the step of the page's autopilot, and why."""
    _print(asyncio.run(state_at(*private_api(data), f"/autopilot/{lp_id}")), as_json=as_json)


def _order(lp_id: str, command: str, data: Data, *, as_json: bool, approval: bool = False) -> None:
    path, body = f"/autopilot/{lp_id}", {"command": command, "approval": approval}
    state = asyncio.run(state_after(*private_api(data), path, body, path, _carried_out, "order"))
    _print(state, as_json=as_json)
    if command == "on" and not state["on"]:
        raise LpstreamError(f"autopilot is off: {state['reason']}")


def _carried_out(state: Answer, accepted: Answer) -> bool:
    return bool(state.get("command_id") == accepted["command_id"])


def _print(state: Answer, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(state, ensure_ascii=False))
        return
    switch = f"on, {state['step']}" if state["on"] else "off"
    out.print(f"{state['lp_id']}: {switch}. {state['reason']}")
    rows = (("finding", "finding"), ("variant", "variant_lp_id"), ("preview", "preview_url"))
    for name, field in (*rows, ("experiment", "experiment_id")):
        if state[field]:
            out.print(f"{name}: {state[field]}")
