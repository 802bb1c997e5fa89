"""`lpstream autopilot`: a page that improves itself, by variants and experiments."""

import asyncio
import json
import time
from typing import Annotated

import typer

from schemas.errors import LpstreamError, Retryable
from streams.cli.experiment import LOOK_S, WITHIN_S, Answer, LpId, asked, session_of
from streams.local.console import DEFAULT_DATA, AsJson, Data, out, private_api

app = typer.Typer(
    add_completion=False, help="Autopilot: a page improves itself by variants and experiments.", no_args_is_help=True
)


@app.callback()
def autopilot() -> None:
    """Autopilot: findings lead to a variant, an experiment tests it, and the winner becomes the page."""


@app.command()
def on(
    lp_id: LpId,
    approval: Annotated[
        bool, typer.Option("--approval", help="A person must approve each variant before visitors see it.")
    ] = False,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Switch autopilot on: at most one variant a week, each tested in an experiment."""
    _order(lp_id, "on", data, as_json=as_json, approval=approval)


@app.command()
def off(lp_id: LpId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Switch autopilot off, and stop the experiment that it has started."""
    _order(lp_id, "off", data, as_json=as_json)


@app.command()
def approve(lp_id: LpId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Let visitors see the variant that waits for approval."""
    _order(lp_id, "approve", data, as_json=as_json)


@app.command()
def reject(lp_id: LpId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Drop the variant that waits for approval. Autopilot rests for a week."""
    _order(lp_id, "reject", data, as_json=as_json)


@app.command()
def show(lp_id: LpId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Print the step of the page's autopilot, and why."""

    async def work(api: str, token: str) -> Answer:
        async with session_of(token) as session:
            return await asked(session, "GET", f"{api}/autopilot/{lp_id}")

    _print(asyncio.run(work(*private_api(data))), as_json=as_json)


def _order(lp_id: str, command: str, data: Data, *, as_json: bool, approval: bool = False) -> None:
    body = {"command": command, "approval": approval}
    state = asyncio.run(_after(*private_api(data), lp_id, body))
    _print(state, as_json=as_json)
    if command == "on" and not state["on"]:
        raise LpstreamError(f"autopilot is off: {state['reason']}")


async def _after(api: str, token: str, lp_id: str, body: Answer) -> Answer:
    """Post an order, and return the state after it. Raise Retryable if no optimizer carries it out."""
    path = f"{api}/autopilot/{lp_id}"
    async with session_of(token) as session:
        accepted = await asked(session, "POST", path, body)
        until = time.monotonic() + WITHIN_S
        while time.monotonic() < until:
            await asyncio.sleep(LOOK_S)
            state = await asked(session, "GET", path, missing=True)
            if state.get("command_id") == accepted["command_id"]:
                return state
    raise Retryable(
        f"the optimizer has not carried out the order within {WITHIN_S:g} s; is `worker optimizer` running?"
    )


def _print(state: Answer, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(state, ensure_ascii=False))
        return
    switch = f"on, {state['step']}" if state["on"] else "off"
    out.print(f"{state['lp_id']}: {switch}. {state['reason']}", markup=False)
    rows = (("finding", "finding"), ("variant", "variant_lp_id"), ("preview", "preview_url"))
    for name, field in (*rows, ("experiment", "experiment_id")):
        if state[field]:
            out.print(f"{name}: {state[field]}", markup=False)
