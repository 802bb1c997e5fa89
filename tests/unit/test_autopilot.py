"""The steps of autopilot: each follows from the state, from what is known, and from the time."""

from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from autopilot_steps import NOW, asked, experiment, finding, go, on, order, ready, result, under_test

from processors.experiments.asking import key_of, next_finding, variant_of
from processors.experiments.autopilot import DAY_MS, WEEK_MS, Facts, needs, next_step, step_after
from processors.experiments.decisions import undecided
from processors.findings.report import Finding, Suggestion
from schemas.autopilot import experiment_of
from schemas.experiments import ExperimentState
from schemas.generation import Failure

# -- from a finding to a variant -----------------------------------------------------------------------


def test_a_page_without_the_order_on_is_left_alone() -> None:
    off = on().model_copy(update={"on": False})
    assert next_step(off, Facts(findings=[finding()]), epoch=1, now_ms=NOW) is None
    assert next_step(off, Facts(page=False), epoch=1, now_ms=NOW) is None


def test_the_heaviest_finding_becomes_a_request_for_a_variant() -> None:
    state = on()
    assert needs(state, Facts(), NOW) == "findings"
    step = go(state, Facts(findings=[finding(), finding("page_too_long", None, "order")]))
    assert step.request is not None and step.starts is None
    variant = step.request.variant
    assert (variant.of, variant.change, variant.sections) == ("demo-a", "copy", ["solution"])
    assert variant.brief == "Visitors leave. Write it anew."
    assert (step.state.step, step.state.rounds, step.state.asked_ms) == ("asked", 1, [NOW])
    assert step.state.variant_request_id == step.request.request_id
    assert step.state.finding == "Visitors leave at solution." and "section_left in solution" in step.state.reason


def test_a_step_that_is_tried_again_has_the_same_request() -> None:
    state = on()
    first = go(state, Facts(findings=[finding()]))
    again = go(state, Facts(findings=[finding("call_too_low", None, "order")]), 5_000, epoch=2)
    assert first.request is not None and again.request is not None
    assert first.request.request_id == again.request.request_id


def test_requests_of_rounds_pages_and_owners_differ() -> None:
    first, other = asked(), asked()
    later = go(first.model_copy(update={"step": "watching"}), Facts(findings=[finding()]), WEEK_MS + 1).state
    assert len({first.variant_request_id, other.variant_request_id, later.variant_request_id}) == 3


def test_no_certain_finding_asks_for_nothing_and_says_so_once() -> None:
    step = go(on(), Facts(findings=[]))
    assert step.request is None and step.state.step == "watching" and "no finding is certain" in step.state.reason
    assert next_step(step.state, Facts(findings=[]), epoch=1, now_ms=NOW + DAY_MS) is None


def test_unread_findings_ask_for_nothing() -> None:
    assert next_step(on(), Facts(findings=None), epoch=1, now_ms=NOW) is None


def test_a_person_s_experiment_on_the_page_is_waited_for() -> None:
    for seen in (Facts(experiment=experiment(), findings=[finding()]), Facts(elsewhere="demo-x", findings=[finding()])):
        assert needs(on(), seen, NOW) is None
        step = go(on(), seen)
        assert step.request is None and step.state.step == "watching" and step.state.reason.startswith("waits for")
    ended = Facts(experiment=experiment(status="stopped"), findings=[finding()])
    assert go(on(), ended).request is not None


def test_the_tenant_s_cap_of_variants_holds() -> None:
    step = go(on(), Facts(findings=[finding()], left=0))
    assert step.request is None and "week_variants" in step.state.reason
    assert go(step.state, Facts(findings=[finding()], left=1)).request is not None


def test_a_winner_is_the_parent_of_the_next_variant() -> None:
    won = experiment(status="decided", winner="demo-v", weights=[0, 1])
    undecided_after = experiment(status="stopped", fallback="demo-v", weights=[0, 1])
    for shown in (won, undecided_after):
        step = go(on(), Facts(experiment=shown, findings=[finding()]))
        assert step.request is not None and step.request.variant.of == "demo-v"


@pytest.mark.parametrize("section", ["ignore the facts", "", "form", "SOLUTION", "x" * 64])
def test_a_section_that_a_beacon_has_invented_reaches_no_model(section: str) -> None:
    hostile = finding(section=section)
    assert variant_of(hostile, "demo-a").sections == []
    assert "the page" in key_of(hostile) and (not section or section not in key_of(hostile))


@pytest.mark.parametrize("change", ["copy", "call", "order", "design"])
@pytest.mark.parametrize("section", ["hero", "testimonials", "price", None])
def test_every_suggestion_makes_a_valid_variant(change: str, section: str | None) -> None:
    variant = variant_of(finding(section=section, change=change), "demo-a")
    assert variant.change == change and (change in ("copy", "call") or variant.sections == [])


def test_a_long_brief_is_cut() -> None:
    long = finding()
    long = Finding(*[*_values(long)[:5], Suggestion("copy", [], "", "あ" * 900), *_values(long)[6:]])
    assert len(variant_of(long, "demo-a").brief) == 300


def _values(one: Finding) -> list[Any]:
    return [getattr(one, name) for name in one.__struct_fields__]


# -- what comes of the request -------------------------------------------------------------------------


def test_a_result_makes_the_variant_ready() -> None:
    for status in ("completed", "degraded"):
        state = asked()
        assert needs(state, Facts(), NOW) == "result"
        step = go(state, Facts(result=result(state, status)))
        assert (step.state.step, step.state.variant_lp_id) == ("ready", "demo-v") and step.starts is None


def test_the_reason_says_what_differs_in_the_variant() -> None:
    state = asked()
    variant = {"of": "demo-a", "change": "copy", "sections": ["solution"], "differs": "the text of solution"}
    assert "the text of solution" in go(state, Facts(result=result(state, variant=variant))).state.reason


def test_a_result_waits_for_approval_with_its_preview() -> None:
    state = ready(approval=True)
    assert (state.step, state.preview_url) == ("waiting_approval", "http://edge/preview")
    assert state.reason == "the variant is made; it waits for a person"
    assert next_step(state, Facts(findings=[finding()]), epoch=1, now_ms=NOW + 90 * DAY_MS) is None


@pytest.mark.parametrize("change", [{"request_id": str(uuid4())}, {"tenant_id": "acme"}])
def test_a_result_of_another_request_or_tenant_is_not_used(change: dict[str, str]) -> None:
    state = asked()
    foreign = Facts(result=result(state, **change))
    assert next_step(state, foreign, epoch=1, now_ms=NOW) is None


def test_a_refused_variant_gives_the_reason_and_the_next_finding() -> None:
    state = asked()
    refusal = Failure(code="variant_too_near", detail="the text is nearly that of the parent")
    step = go(state, Facts(result=result(state, "rejected", error=refusal.model_dump())))
    assert step.state.step == "watching" and "nearly that of the parent" in step.state.reason
    again = go(step.state, Facts(findings=[finding(), finding("page_too_long", None, "order")]))
    assert again.request is not None and again.request.variant.change == "order"
    assert again.state.variant_request_id != state.variant_request_id


def test_a_page_asks_at_most_three_times_a_week() -> None:
    state, sections = on(), ["hero", "problems", "solution", "benefits", "faq"]
    for section in sections[:3]:
        state = go(state, Facts(findings=[finding(section=section)])).state
        state = go(state, Facts(result=result(state, "failed"))).state
    assert (state.step, state.rounds) == ("resting", 3)
    early = next_step(state, Facts(findings=[finding(section="faq")]), epoch=1, now_ms=NOW + WEEK_MS - 1)
    assert early is None
    state = go(state, Facts(), WEEK_MS).state
    assert go(state, Facts(findings=[finding(section="faq")]), WEEK_MS + 1).state.asked_ms == [NOW + WEEK_MS + 1]


def test_a_request_without_a_result_fails_after_a_day() -> None:
    state = asked()
    assert next_step(state, Facts(), epoch=1, now_ms=NOW + DAY_MS) is None
    step = go(state, Facts(), DAY_MS + 1)
    assert step.state.step == "watching" and "no result" in step.state.reason
    late = next_step(step.state, Facts(result=result(state)), epoch=1, now_ms=NOW + DAY_MS + 2)
    assert late is None, "a result that comes too late starts nothing"


def test_a_result_without_a_page_is_a_failure() -> None:
    state = asked()
    assert go(state, Facts(result=result(state, "completed", lp_id=None))).state.step == "watching"


# -- approval ------------------------------------------------------------------------------------------


def test_an_approved_variant_is_ready() -> None:
    step = step_after(order("approve"), ready(approval=True), Facts(), epoch=1, now_ms=NOW)
    assert step is not None and step.state.step == "ready"
    assert go(step.state, Facts()).starts is not None


def test_a_rejected_variant_is_never_shown() -> None:
    step = step_after(order("reject"), ready(approval=True), Facts(), epoch=1, now_ms=NOW)
    assert step is not None and step.state.step == "resting" and "rejected" in step.state.reason
    assert next_step(step.state, Facts(findings=[finding()]), epoch=1, now_ms=NOW + DAY_MS) is None
    state = go(step.state, Facts(), WEEK_MS).state
    assert "was tried" in go(state, Facts(findings=[finding()]), WEEK_MS).state.reason


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_an_answer_is_for_the_variant_that_it_names(command: str) -> None:
    state = ready(approval=True)
    for variant, step in ((uuid4(), "waiting_approval"), (state.variant_request_id, {"approve": "ready"}.get(command))):
        named = order(command).model_copy(update={"variant_request_id": variant})
        after = step_after(named, state, Facts(), epoch=1, now_ms=NOW)
        assert after is not None and after.state.step == (step or "resting")


@pytest.mark.parametrize("command", ["approve", "reject"])
def test_an_approval_of_nothing_changes_no_step(command: str) -> None:
    for state in (None, on(), asked(), ready(), under_test()):
        step = step_after(order(command), state, Facts(), epoch=1, now_ms=NOW)
        assert step is not None and "no variant waits" in step.state.reason and step.starts is None
        assert step.state.step == (state.step if state is not None else "watching")
        assert step.state.on is (state is not None)


def test_the_order_on_without_approval_releases_a_waiting_variant() -> None:
    step = step_after(order("on"), ready(approval=True), Facts(), epoch=1, now_ms=NOW)
    assert step is not None and go(step.state, Facts()).state.step == "ready"


# -- the experiment ------------------------------------------------------------------------------------


def test_a_ready_variant_starts_one_experiment() -> None:
    state = ready()
    assert needs(state, Facts(), NOW) == "pages"
    step, again = go(state, Facts()), go(state, Facts(), 9_000)
    assert step.starts is not None and again.starts is not None and step.state.step == "testing"
    assert step.starts.arms == ["demo-a", "demo-v"]
    assert step.starts.experiment_id == again.starts.experiment_id == step.state.experiment_id


def test_the_page_s_winner_stays_an_arm() -> None:
    won = experiment(status="decided", winner="demo-w", arms=["demo-a", "demo-w"], weights=[0, 1])
    step = go(ready(), Facts(experiment=won))
    assert step.starts is not None and step.starts.arms == ["demo-a", "demo-w", "demo-v"]


def test_an_experiment_that_runs_already_is_not_started_again() -> None:
    state = ready()
    assert state.variant_request_id is not None
    runs = experiment(experiment_id=experiment_of(state.variant_request_id))
    step = go(state, Facts(experiment=runs))
    assert step.starts is None and (step.state.step, step.state.experiment_id) == ("testing", runs.experiment_id)


def test_a_ready_variant_waits_for_a_person_s_experiment() -> None:
    step = go(ready(), Facts(experiment=experiment()))
    assert step.starts is None and step.state.step == "ready" and "waits for experiment" in step.state.reason
    assert go(step.state, Facts()).starts is not None


def test_an_obstacle_is_said_and_starts_nothing() -> None:
    step = go(ready(), Facts(obstacle=lambda command: f"{command.arms[1]} is busy"))
    assert step.starts is None and step.state.step == "ready" and "demo-v is busy" in step.state.reason


def test_a_variant_whose_page_is_gone_is_not_shown() -> None:
    step = go(ready(), Facts(variant=False))
    assert step.starts is None and step.state.step == "resting"


def test_a_running_experiment_is_left_alone() -> None:
    state = under_test()
    assert next_step(state, Facts(experiment=experiment(state)), epoch=1, now_ms=NOW + 90 * DAY_MS) is None


def test_a_winning_variant_clears_what_was_tried() -> None:
    state = under_test().model_copy(update={"tried": ["x"]})
    step = go(state, Facts(experiment=experiment(state, "decided", winner="demo-v", weights=[0, 1])))
    assert (step.state.step, step.state.tried) == ("resting", []) and "has won" in step.state.reason
    assert next_step(step.state, Facts(findings=[finding()]), epoch=1, now_ms=NOW + WEEK_MS - 1) is None
    assert go(step.state, Facts(), WEEK_MS).state.step == "watching"


def test_a_finding_whose_variant_has_lost_is_not_tried_again() -> None:
    state = under_test()
    lost = experiment(state, "decided", winner="demo-a", weights=[1, 0])
    state = go(state, Facts(experiment=lost)).state
    assert state.step == "resting" and "demo-a has won" in state.reason
    state = go(state, Facts(), WEEK_MS).state
    assert next_finding([finding()], state.tried) is None
    step = go(state, Facts(experiment=lost, findings=[finding()]), WEEK_MS)
    assert step.request is None and "was tried" in step.state.reason


def test_a_stopped_experiment_ends_the_round_with_its_reason() -> None:
    state = under_test()
    step = go(state, Facts(experiment=experiment(state, "stopped", reason="stopped by a person")))
    assert step.state.step == "resting" and "stopped by a person" in step.state.reason


def test_a_person_s_start_replaces_autopilot_s_experiment() -> None:
    for other in (experiment(), None):
        step = go(under_test(), Facts(experiment=other))
        assert step.state.step == "resting" and step.stops is None and "person" in step.state.reason


def test_an_experiment_without_a_decision_ends_the_round() -> None:
    state = under_test()
    ended = undecided(experiment(state), 30, epoch=1, now_ms=NOW + 30 * DAY_MS)
    step = go(state, Facts(experiment=ended), 30 * DAY_MS)
    assert step.state.step == "resting" and "no decision within 30 days" in step.state.reason and step.state.tried


# -- off -----------------------------------------------------------------------------------------------


def test_off_stops_the_experiment_that_autopilot_has_started() -> None:
    state = under_test()
    step = step_after(order("off"), state, Facts(experiment=experiment(state)), epoch=1, now_ms=NOW)
    assert step is not None and not step.state.on and step.stops is not None


@pytest.mark.parametrize("status", ["stopped", "decided"])
def test_off_leaves_other_experiments_alone(status: str) -> None:
    state = under_test()
    ended = experiment(state, status, winner="demo-v" if status == "decided" else None)
    for seen in (Facts(experiment=experiment()), Facts(experiment=ended), Facts()):
        step = step_after(order("off"), state, seen, epoch=1, now_ms=NOW)
        assert step is not None and not step.state.on and step.stops is None


def test_off_is_possible_at_each_step() -> None:
    for state in (None, on(), asked(), ready(), ready(approval=True), under_test()):
        step = step_after(order("off"), state, Facts(), epoch=2, now_ms=NOW)
        assert step is not None and not step.state.on and step.request is None and step.starts is None
        for seen in (Facts(findings=[finding()]), Facts(result=result(asked())), Facts(experiment=experiment())):
            assert next_step(step.state, seen, epoch=2, now_ms=NOW + 2 * WEEK_MS) is None


def test_off_and_on_ask_for_no_second_variant_in_a_week() -> None:
    for state in (asked(), ready(), under_test()):
        step = step_after(order("off"), state, Facts(), epoch=1, now_ms=NOW)
        assert step is not None
        step = step_after(order("on"), step.state, Facts(), epoch=1, now_ms=NOW + 1)
        assert step is not None and step.state.step == "resting" and step.state.on
        assert next_step(step.state, Facts(findings=[finding()]), epoch=1, now_ms=NOW + WEEK_MS - 1) is None
        assert go(step.state, Facts(), WEEK_MS).state.step == "watching"


def test_off_and_on_try_findings_again() -> None:
    state = on().model_copy(update={"tried": [key_of(finding())], "on": False})
    step = step_after(order("on"), state, Facts(), epoch=1, now_ms=NOW)
    assert step is not None and go(step.state, Facts(findings=[finding()])).request is not None


def test_a_page_that_is_gone_turns_autopilot_off() -> None:
    state = under_test()
    for one in (on(), asked(), ready(), state):
        step = go(one, Facts(page=False, findings=[finding()]))
        assert not step.state.on and "not published" in step.state.reason and step.request is None
    assert go(state, Facts(page=False, experiment=experiment(state))).stops is not None


def test_a_command_is_carried_out_once() -> None:
    command = order("on")
    first = step_after(command, None, Facts(), epoch=1, now_ms=NOW)
    assert first is not None and step_after(command, first.state, Facts(), epoch=2, now_ms=NOW + 1) is None


def test_on_with_approval_holds_back_an_unapproved_variant() -> None:
    step = step_after(order("on", approval=True), ready(), Facts(), epoch=1, now_ms=NOW)
    assert step is not None and step.state.step == "waiting_approval"
    approved = step_after(order("approve"), step.state, Facts(), epoch=1, now_ms=NOW)
    assert approved is not None
    again = step_after(order("on", approval=True), approved.state, Facts(), epoch=1, now_ms=NOW)
    assert again is not None and again.state.step == "ready"


def test_on_after_off_begins_anew() -> None:
    off = step_after(order("off"), on(), Facts(), epoch=1, now_ms=NOW + 1)
    assert off is not None and not off.state.on
    again = step_after(order("on"), off.state, Facts(), epoch=1, now_ms=NOW + 60_000)
    assert again is not None and again.state.since_ms == NOW + 60_000


def test_on_again_changes_approval_and_nothing_else() -> None:
    state = asked()
    step = step_after(order("on", approval=True), state, Facts(), epoch=1, now_ms=NOW + 1)
    assert step is not None and step.state.approval
    same = ("step", "rounds", "asked_ms", "autopilot_id", "variant_request_id", "since_ms", "tried")
    assert all(getattr(step.state, name) == getattr(state, name) for name in same)


def test_any_time_makes_at_most_one_page_a_week() -> None:
    """Walk a year in steps of hours; variants are made, and an experiment ends after a day."""
    state, requests, at = on(), list[int](), 0
    running: ExperimentState | None = None
    sections = ["hero", "problems", "solution", "benefits", "faq", "flow", "price"]
    while at < 365 * DAY_MS:
        at += DAY_MS // 24
        findings = [finding(section=name) for name in sections]
        made = result(state) if state.step == "asked" else None
        step = next_step(state, Facts(experiment=running, findings=findings, result=made), epoch=1, now_ms=NOW + at)
        if running is not None and at > running.started_ms + DAY_MS:
            running = running.model_copy(update={"status": "stopped"})
        if step is None:
            continue
        state = step.state
        requests += [at] if step.request is not None else []
        if step.starts is not None:
            running = experiment(experiment_id=step.starts.experiment_id).model_copy(update={"started_ms": at})
    assert len(requests) >= 5
    assert all(later - sooner >= WEEK_MS for sooner, later in pairwise(requests))
