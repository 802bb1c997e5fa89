"""`lpstream experiment`: start, show and stop an experiment of a page."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

import aiohttp
import typer
from rich.table import Table

from schemas.errors import LpstreamError, Retryable
from schemas.experiments import Goal
from streams.local.console import DEFAULT_DATA, AsJson, Data, PageId, out, private_api

app = typer.Typer(
    add_completion=False, help="Experiments: visitors of a page see different pages.", no_args_is_help=True
)
WITHIN_S, POLL_S, TIMEOUT_S = 20.0, 0.3, 10.0
Answer = dict[str, Any]


@app.callback()
def experiment() -> None:
    """Experiments: visitors of a page see different pages, and the best becomes the page."""


@app.command()
def start(
    lp_id: PageId,
    arm: Annotated[list[str], typer.Option("--arm", help="Id of another page to compare; up to five times.")],
    goal: Annotated[
        list[Goal] | None, typer.Option("--goal", help="Kind of goal that counts; may be repeated. Default: all.")
    ] = None,
    policy: Annotated[
        Literal["bandit", "fixed"], typer.Option(help="Whether better arms get more visitors, or all the same.")
    ] = "bandit",
    floor: Annotated[float, typer.Option(help="Smallest share of each arm.")] = 0.05,
    half_life_days: Annotated[float, typer.Option(help="Age in days at which a visit counts half.")] = 14.0,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Start an experiment, wait until it runs, print its state."""
    design = {
        "lp_id": lp_id,
        "arms": [lp_id, *arm],
        "policy": policy,
        "floor": floor,
        "half_life_days": half_life_days,
        **({"goals": [each.value for each in goal]} if goal else {}),
    }
    state = _after(data, "/experiments", design, lp_id)
    _print(state, as_json=as_json)
    if state["status"] != "running":
        raise LpstreamError(f"the experiment does not run: {state['reason']}")


@app.command()
def show(lp_id: PageId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Print the state of the page's experiment: weights, rates, and visits until a decision."""
    _print(asyncio.run(state_at(*private_api(data), f"/experiments/{lp_id}")), as_json=as_json)


@app.command()
def stop(lp_id: PageId, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Stop the page's experiment. While none runs, take back the winner: the page is itself again."""
    at = f"/experiments/{lp_id}"
    seen = asyncio.run(state_at(*private_api(data), at, missing=True))
    # without a running experiment, the stop is also for one whose start is on its way
    runs = seen.get("status") == "running"
    order = {"experiment_id": seen["experiment_id"], "intent": "stop"} if runs else None
    state = _after(data, f"{at}/stop", order, lp_id)
    _print(state, as_json=as_json)
    if state["status"] == "decided" and not as_json:
        out.print("the decision came before the stop, so the winner stays; another stop takes it back")


def _after(data: Data, path: str, body: Answer | None, lp_id: str) -> Answer:
    work = state_after(*private_api(data), path, body, f"/experiments/{lp_id}", _carried_out, "command")
    return asyncio.run(work)


def _carried_out(state: Answer, accepted: Answer) -> bool:
    refused = (state.get("refused") or {}).get("experiment_id") == accepted["experiment_id"]
    if refused:
        raise LpstreamError(f"the experiment was refused: {state['refused']['reason']}")
    if state.get("experiment_id") != accepted["experiment_id"]:
        return False
    if accepted["command"] == "start":
        return True
    stopped: bool = state["status"] == "stopped"
    taken = accepted.get("takes_back")
    if taken is None:  # a winner that was decided before the stop came stays
        return stopped or state["winner"] not in (None, state["lp_id"])
    return stopped and bool(taken != state.get("fallback"))


async def state_at(api: str, token: str, path: str, *, missing: bool = False) -> Answer:
    """Return the state at a path. If `missing`, return {} for 404. Raise LpstreamError with the message."""
    async with _session(token) as session:
        return await _asked(session, "GET", api + path, missing=missing)


async def state_after(
    api: str, token: str, path: str, body: Answer | None, at: str, follows: Callable[[Answer, Answer], bool], what: str
) -> Answer:
    """Post an order to a path, and return the state that follows from it.

    `at` is the path of the state. Raise Retryable if no optimizer carries the order out.
    """
    async with _session(token) as session:
        accepted = await _asked(session, "POST", api + path, body)
        until = time.monotonic() + WITHIN_S
        while time.monotonic() < until:
            await asyncio.sleep(POLL_S)
            state = await _asked(session, "GET", api + at, missing=True)
            if follows(state, accepted):
                return state
    raise Retryable(
        f"the optimizer has not carried out the {what} within {WITHIN_S:g} s; is `worker optimizer` running?"
    )


def _session(token: str) -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(TIMEOUT_S)
    return aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}, timeout=timeout)


async def _asked(
    session: aiohttp.ClientSession, method: str, url: str, body: Answer | None = None, *, missing: bool = False
) -> Answer:
    """Return the edge's answer. If `missing`, return {} for 404. Raise LpstreamError with its message."""
    try:
        async with session.request(method, url, json=body) as response:
            answer: Answer = await response.json()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Retryable(f"{url}: {type(error).__name__}: {error}") from error
    if response.status == 404 and missing:
        return {}
    if response.status >= 400:
        raise LpstreamError(f"{url}: {response.status}: {answer.get('message', '')}")
    return answer


def _print(state: Answer, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(state, ensure_ascii=False))
        return
    out.print(f"{state['lp_id']}: {state['status']}. {state['reason']}")
    if state["winner"]:
        out.print(f"winner: {state['winner']}")
    elif state["status"] == "stopped" and state.get("fallback"):
        out.print(f"visitors see the earlier winner: {state['fallback']}")
    elif state["visits_needed"]:  # 0 if only the week must end, as the reason says
        out.print(f"visits that a decision still needs: about {state['visits_needed']:,}")
    table = Table("arm", "weight", "pageviews", "with a goal", "rate", "from", "to")
    for place, arm in enumerate(state["arms"]):
        counts = [state[name][place] if state[name] else 0 for name in ("pageviews", "conversions")]
        rates = [f"{rate:.2%}" for rate in state["rates"][place]] if state["rates"] else ["", "", ""]
        table.add_row(arm, f"{state['weights'][place]:.1%}", *(f"{count:,}" for count in counts), *rates)
    out.print(table)
