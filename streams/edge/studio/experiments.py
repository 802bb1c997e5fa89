"""The studio's page of an experiment: state, the arms' maps, forms, and the page's autopilot."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

from aiohttp import web

from processors.studio.experiments import LETTERS, arms_of, days_needed, drawing, reason
from schemas.experiments import ALL_GOALS, ExperimentState, StopOrder
from schemas.heatmap import Device
from streams.edge.http.errors import HttpError
from streams.edge.site.experiment_commands import begin, end, history_of, state_of
from streams.edge.site.maps import LONGEST
from streams.edge.studio import autopilot
from streams.edge.studio.arms import MOST_CHOSEN, Given, candidates, command_of, given
from streams.edge.studio.auth import Redirect, Visit
from streams.edge.studio.awaiting import AWAITED_S, LATE_S, address, named, since_s, uuid_of
from streams.edge.studio.directory import Page
from streams.edge.studio.figures import figure, kind_and_device, summaries_of, tops
from streams.edge.studio.home import LONGEST_SEARCH
from streams.edge.studio.maps import check_owner
from streams.edge.studio.places import tested_at
from streams.pictures.maps import MapKind, MapQuery

DAY_S, HOUR_S = 86_400, 3_600
WRONG = {409: "test_error_busy", 422: "test_error_arms"}
NO_EXPERIMENT = UUID(int=0)


async def show(visit: Visit, lp_id: str) -> web.Response:
    """Return the page of the experiment on a page, or the form that starts one."""
    check_owner(visit, lp_id)
    return await _page(visit, lp_id, visit.request.query)


async def start(visit: Visit, lp_id: str) -> web.Response:
    """Start an experiment by the posted form, or give the page's autopilot an order.

    The same form posted twice starts an experiment once.
    """
    check_owner(visit, lp_id)
    if autopilot.FIELD in visit.form:
        status, wrong = await autopilot.order(visit, lp_id)
        return await _page(visit, lp_id, {}, error=wrong, status=status)
    fields = given(visit.form)
    if not 1 <= len(fields.arms) <= MOST_CHOSEN:
        wrong = "test_error_many" if fields.arms else "test_error_none"
        return await _page(visit, lp_id, visit.form, error=wrong, status=422)
    experiment_id = str(uuid_of(visit.form.get("experiment_id", "")) or uuid4())
    visit.services.admission.tenant(visit.known.tenant).pay_records(1)
    try:
        await begin(visit.services, visit.known.caller, command_of(lp_id, fields, experiment_id))
    except HttpError as error:
        if error.status not in WRONG:
            raise
        return await _page(visit, lp_id, visit.form, error=WRONG[error.status], status=error.status)
    raise Redirect(address(lp_id, "asked", experiment_id))


async def stop(visit: Visit, lp_id: str) -> web.Response:
    """Stop the experiment that the form names, or take back its winner.

    If the page has another state by now, nothing is sent, and the page says so.
    """
    check_owner(visit, lp_id)
    experiment_id = uuid_of(visit.form.get("experiment_id", "")) or NO_EXPERIMENT
    order = StopOrder(
        experiment_id=experiment_id, intent="take_back" if visit.form.get("intent") == "take_back" else "stop"
    )
    try:
        command = await end(visit.services, visit.known.caller, lp_id, order)
    except HttpError as error:
        if error.status != 409:
            raise
        return await _page(visit, lp_id, {}, error="test_error_changed", status=409)
    raise Redirect(address(lp_id, "taking" if command.takes_back else "stopping", command.experiment_id))


async def _page(
    visit: Visit, lp_id: str, values: Mapping[str, str], *, error: str = "", status: int = 200
) -> web.Response:
    caller = visit.known.caller
    state: ExperimentState | None = None
    with contextlib.suppress(HttpError):
        state = await state_of(visit.services, caller, lp_id)
    page = await visit.services.directories.page(caller.tenant, lp_id)
    pilot = await autopilot.panel(visit, lp_id, page)
    pending = _pending(visit, state) or ("pilot_waiting" if pilot and pilot["pending"] else None)
    waiting = pending if since_s(visit) < AWAITED_S else None
    if pending and AWAITED_S <= since_s(visit) < LATE_S:
        error = "test_late"
    arms: dict[str, Any] = {} if state is None else await _running(visit, state)
    form = {} if (state and state.status == "running") or waiting else await _form(visit, lp_id, values, page, state)
    return visit.page(
        "experiment",
        status=status,
        lp_id=lp_id,
        business=page.name if page else "",
        state=state,
        waiting=waiting,
        error=visit.say(error) if error else "",
        refused=_refused(visit, state),
        pilot=pilot,
        **{"arms": [], "maps": [], "drawing": None} | arms,
        form=form,
    )


def _refused(visit: Visit, state: ExperimentState | None) -> str | None:
    """Return why the optimizer refused the start in the page's address, or None."""
    asked, refused = named(visit, "asked"), state.refused if state else None
    if refused is None or refused.experiment_id != asked:
        return None
    return reason(refused.reason, visit.language) or refused.reason


def _pending(visit: Visit, state: ExperimentState | None) -> str | None:
    """Return the word for an order in the page's address that is not carried out yet, or None."""
    asked, stopping, taking = (named(visit, name) for name in ("asked", "stopping", "taking"))
    if asked is not None and (state is None or state.experiment_id != asked) and _refused(visit, state) is None:
        return "test_starting"
    # a stop does not take back a winner that was decided before it
    decided = state is not None and state.status == "decided" and state.winner != state.lp_id
    if state is not None and state.experiment_id == stopping and state.status != "stopped" and not decided:
        return "test_stopping"
    if state is not None and state.experiment_id == taking and state.shown != state.lp_id:
        return "test_taking"
    return None


async def _running(visit: Visit, state: ExperimentState) -> dict[str, Any]:
    """Return the variables of an experiment that runs or has ended."""
    now_ms = int(time.time() * 1000)
    over_ms = now_ms if state.status == "running" else max(state.started_ms, state.decided_ms)
    points, maps, pages = await asyncio.gather(
        history_of(visit.services, state), _maps(visit, state, over_ms), _pages(visit, state)
    )
    days = days_needed(state, now_ms)
    return {
        "arms": list(zip(arms_of(state), pages, strict=True)),
        "drawing": drawing(points, over_ms // 1000, visit.zone),
        "started": visit.local(datetime.fromtimestamp(state.started_ms / 1000, UTC)),
        "over": visit.local(datetime.fromtimestamp(over_ms / 1000, UTC)),
        "reason": reason(state.reason, visit.language),
        "needed": _needed(visit, state, days),
        "winner": LETTERS[state.arms.index(state.winner)] if state.winner else None,
        "shown": LETTERS[state.arms.index(state.shown)],
        "counted": sum(state.pageviews),
        **maps,
    }


def _needed(visit: Visit, state: ExperimentState, days: float | None) -> str:
    """Return how many visits a decision still needs, and how long that takes at the pace so far.

    The text is empty if the decision only waits until a week is over: the reason says so.
    """
    if state.visits_needed is None:
        return visit.say("needed_unknown")
    if state.visits_needed == 0:
        return ""
    text = visit.say("needed", visits=f"{state.visits_needed:,}")
    if days is None:
        return text
    if days < 2:
        return f"{text} {visit.say('needed_hours', hours=max(1, round(24 * days)))}"
    return f"{text} {visit.say('needed_days', days=f'{days:,.0f}')}"


async def _pages(visit: Visit, state: ExperimentState) -> list[Page | None]:
    tenant = visit.known.caller.tenant
    return [await visit.services.directories.page(tenant, arm) for arm in state.arms]


# -- the arms' maps ----------------------------------------------------------------------------------------


async def _maps(visit: Visit, state: ExperimentState, over_ms: int) -> dict[str, Any]:
    """Return the maps of all arms on one scale, of the time of the experiment."""
    kind, device = kind_and_device(visit)
    tabs = [(one, visit.say(f"kind_{one}"), _tab(visit, kind=one)) for one in get_args(MapKind)]
    devices = [(one, visit.say(f"device_{one}"), _tab(visit, device=one)) for one in get_args(Device)]
    shared = {"kind": kind, "tabs": tabs, "devices": devices, "device": device, "maps": [], "maps_away": False}
    if not visit.known.may_look:
        return shared
    start, finish = _times(state, over_ms)
    asked = [MapQuery(arm, kind, device, start, finish, visit.language) for arm in state.arms]
    try:
        queries, summaries, _ = await summaries_of(visit, asked)
    except HttpError:
        return shared | {"maps_away": True}
    titles = [visit.say("arm_own" if at == 0 else "arm_other", letter=LETTERS[at]) for at in range(len(asked))]
    drawn = zip(titles, queries, summaries, tops(kind, summaries), strict=True)
    figures = [figure(visit, *each) for each in drawn] if any(each.pageviews for each in summaries) else []
    return shared | {"maps": figures, "device": summaries[0].device}


def _tab(visit: Visit, **change: str) -> str:
    return f"{visit.request.rel_url.update_query(change)}#maps" if visit.request.method == "GET" else "#maps"


def _times(state: ExperimentState, over_ms: int) -> tuple[datetime, datetime]:
    """Return the range of the maps, in steps, so that the cache finds them again."""
    step = HOUR_S if over_ms - state.started_ms > DAY_S * 1000 else 300
    finish = datetime.fromtimestamp((over_ms // 1000 // step + 1) * step, UTC)
    start = datetime.fromtimestamp(state.started_ms // 1000 // step * step, UTC)
    return max(start, finish - LONGEST + timedelta(days=1)), finish


# -- the form ----------------------------------------------------------------------------------------------


async def _form(
    visit: Visit, lp_id: str, values: Mapping[str, str], page: Page | None, state: ExperimentState | None
) -> dict[str, Any]:
    """Return the variables of the form, or the reason why there is no form."""
    if page is None or not visit.known.may_ask:
        return {"obstacle": "test_no_page" if page is None else "test_no_role", "other": None}
    if not page.published:
        return {"obstacle": "test_is_variant", "other": await tested_at(visit, lp_id)}
    for other in visit.services.experiments.states.values():
        if other.lp_id != lp_id and lp_id in other.bound:
            return {"obstacle": "test_is_arm", "other": other.lp_id}
    fields: Given = given(values)
    winner = state.shown if state is not None and state.shown != lp_id else None
    chosen = list(dict.fromkeys([*fields.arms, *([winner] if winner else [])]))
    text = values.get("q", "")[:LONGEST_SEARCH]
    return {
        "obstacle": None,
        "candidates": await candidates(visit, lp_id, state, chosen, text),
        "chosen": chosen,
        "winner": winner,
        "goals": [(goal.value, goal.value in fields.goals) for goal in ALL_GOALS],
        "policy": fields.policy,
        "text": text,
        "experiment_id": str(uuid4()),
        "zone": visit.zone,
    }
