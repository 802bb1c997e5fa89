"""Orders of the studio are for the state that their page has shown, and change no other state."""

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from edge_listeners import RunningEdge
from test_autopilot import on
from test_autopilot_routes import hold
from test_experiment_routes import running
from test_studio_pages import PILOT, ask, last_order, studio_edge

from schemas.experiments import ExperimentCommand, ExperimentState
from schemas.generation import decode_model

PAGE, STOP = "/experiments/demo-a", "/experiments/demo-a/stop"


@pytest.fixture
async def edge() -> AsyncIterator[RunningEdge]:
    async with studio_edge() as one:
        yield one


async def form_of(edge: RunningEdge, sign: str) -> dict[str, str]:
    """Return the hidden fields of the page's form whose HTML has the sign."""
    _, html, _ = await ask(edge, PAGE)
    [form] = [one for one in re.findall("<form.*?</form>", html, re.DOTALL) if sign in one]
    return dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form))


def decided(state: ExperimentState) -> ExperimentState:
    change = {"status": "decided", "winner": "demo-b", "number": 1, "weights": [0.0, 1.0]}
    return state.model_copy(update=change)


def replaced(_: ExperimentState) -> ExperimentState:
    return running(epoch=2)


def ended(state: ExperimentState) -> ExperimentState:
    return state.model_copy(update={"status": "stopped", "number": 1, "weights": [1.0, 0.0]})


@pytest.mark.parametrize("after", [decided, replaced, ended])
@pytest.mark.parametrize(("lang", "words"), [("ja", "何も変更していません"), ("en", "Nothing was changed")])
async def test_an_old_page_ends_no_other_state(edge: RunningEdge, after: Any, lang: str, words: str) -> None:
    edge.services.experiments.take([state := running()])
    fields = await form_of(edge, STOP)
    edge.services.experiments.take([after(state)])
    status, html, _ = await ask(edge, f"{STOP}?lang={lang}", fields)
    assert (status, edge.records) == (409, []) and words in html and 'id="status"' in html


@pytest.mark.parametrize("fields", [{}, {"experiment_id": "x", "intent": "stop"}, {"intent": "<b>"}])
async def test_a_form_that_names_no_experiment_ends_none(edge: RunningEdge, fields: dict[str, str]) -> None:
    edge.services.experiments.take([running()])
    assert (await ask(edge, STOP, fields))[0] == 409 and edge.records == []


async def test_a_winner_is_taken_back_by_the_page_that_shows_it(edge: RunningEdge) -> None:
    edge.services.experiments.take([state := decided(running())])
    status, _, address = await ask(edge, STOP, await form_of(edge, STOP))
    assert status == 303 and f"?taking={state.experiment_id}&" in address
    assert decode_model(ExperimentCommand, edge.records[0].value or b"").takes_back == "demo-b"


async def test_a_second_click_leads_to_the_same_page(edge: RunningEdge) -> None:
    edge.services.experiments.take([state := running()])
    fields = await form_of(edge, STOP)
    answers = [await ask(edge, STOP, fields) for _ in range(2)]
    assert [status for status, _, _ in answers] == [303, 303] and len(edge.records) == 1
    assert all(f"?stopping={state.experiment_id}&" in address for _, _, address in answers)
    edge.services.experiments.take([decided(state)])
    _, html, _ = await ask(edge, answers[0][2].removeprefix("/studio"))
    assert "data-awaited" not in html, "the decision came first"


async def test_a_stop_of_another_person_is_waited_for(edge: RunningEdge) -> None:
    edge.services.experiments.take([state := decided(running())])
    fields = await form_of(edge, STOP)
    assert (await ask(edge, STOP, fields))[0] == 303
    other = fields | {"intent": "stop"}
    status, html, _ = await ask(edge, f"{STOP}?lang=ja", other)
    assert status == 409 and "別の操作を処理しています" in html and len(edge.records) == 1
    assert "not carried out" not in html and str(state.experiment_id) in html


async def test_saved_settings_do_not_undo_the_order_of_another_person(edge: RunningEdge) -> None:
    hold(edge, state := on(approval=True))
    saved = await form_of(edge, 'name="approval"')
    assert (await ask(edge, PILOT, saved))[0] == 303 and not last_order(edge).approval
    for change in ({"on": False}, {"command_id": uuid4()}, {"on": False, "command_id": uuid4()}):
        hold(edge, state.model_copy(update=change))
        status, html, _ = await ask(edge, f"{PILOT}?lang=ja", saved)
        assert status == 409 and "自動改善に別の操作がありました" in html and len(edge.records) == 1
    hold(edge, state.model_copy(update={"on": False}))
    switched = await form_of(edge, 'name="approval"')
    assert (await ask(edge, PILOT, switched))[0] == 303
    hold(edge, state)
    assert (await ask(edge, PILOT, switched))[0] == 409, "another person has switched it on"
    assert (await ask(edge, PILOT, {"autopilot": "off"}))[0] == 303, "off is off"


@pytest.mark.parametrize("other", [{"autopilot": "off"}, {"autopilot": "on", "approval": "on"}])
async def test_saved_settings_do_not_undo_an_order_on_its_way(edge: RunningEdge, other: dict[str, str]) -> None:
    hold(edge, state := on(approval=True))
    saved = await form_of(edge, 'name="approval"')
    seen = {"seen": saved["seen"]} if other["autopilot"] == "on" else {}
    assert (await ask(edge, PILOT, other | seen))[0] == 303
    sent = last_order(edge)
    status, html, _ = await ask(edge, f"{PILOT}?lang=ja", saved)
    assert status == 409 and "自動改善に別の操作がありました" in html and last_order(edge) == sent
    hold(edge, state.model_copy(update={"command_id": sent.command_id}))
    assert (await ask(edge, PILOT, await form_of(edge, 'name="approval"')))[0] == 303


@pytest.mark.parametrize("was_on_before", [False, True])
async def test_two_people_who_switch_autopilot_on_do_not_undo_each_other(
    edge: RunningEdge, was_on_before: bool
) -> None:
    if was_on_before:
        hold(edge, on(approval=True).model_copy(update={"on": False}))
    first = {"autopilot": "on", "approval": "on", "seen": ""}
    assert (await ask(edge, PILOT, first))[0] == 303
    sent = last_order(edge)
    status, html, _ = await ask(edge, f"{PILOT}?lang=ja", {"autopilot": "on", "seen": ""})
    assert status == 409 and "自動改善に別の操作がありました" in html
    assert (await ask(edge, PILOT, first))[0] == 303, "a double click is one order"
    assert last_order(edge) == sent and len(edge.records) == 1
