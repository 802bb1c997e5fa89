"""The optimizer carries out autopilots, with stores in memory: kills, limits, people's commands."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from autopilot_steps import finding
from test_optimizer import Place

from infra.tenants import Tenants, TenantsFile
from processors.experiments.known import Known
from schemas.autopilot import AutopilotCommand, AutopilotState
from schemas.errors import DecodeError, Retryable
from schemas.experiments import EXPERIMENTS, ExperimentCommand
from schemas.generation import REQUESTS, Result, VariantRequest, decode_model, encode_model
from streams.experiments.autopilots import MOST_READ, Autopilots


@pytest.fixture
def place() -> Place:
    place = Place()
    place.sources.found = [finding()]
    return place


async def order(place: Place, command: str, lp_id: str = "demo-a", **change: Any) -> None:
    """Carry out an order as if it had come from the topic."""
    values = {
        "command": command, "command_id": str(uuid4()), "tenant_id": "demo", "lp_id": lp_id, "requested_ms": 1,
    }  # fmt: skip
    one = AutopilotCommand.model_validate(values | change)
    place.known.take(one.key, encode_model(one))
    await place.optimizer._carry_out([one])


def pilot(place: Place, lp_id: str = "demo-a") -> AutopilotState:
    return place.known.pilots[lp_id]


def requests(place: Place) -> list[VariantRequest]:
    return [decode_model(VariantRequest, value) for topic, _, value in place.log.committed if topic == REQUESTS]


def answer(place: Place, lp_id: str = "demo-a", status: Any = "completed") -> None:
    """Store the result of the variant that the page has asked for."""
    request_id = cast(UUID, pilot(place, lp_id).variant_request_id)
    place.sources.results[request_id] = Result(
        request_id=request_id, tenant_id="demo", status=status, lp_id="demo-v", preview_url="http://edge/preview"
    )


async def tested(place: Place) -> None:
    """Go on to the experiment of the variant."""
    await order(place, "on")
    await place.steer()
    answer(place)
    for _ in range(3):
        await place.steer()
    assert pilot(place).step == "testing"


def successor(place: Place, **change: Any) -> Place:
    """Return the optimizer that starts after this one, from what is on the topic."""
    known = Known()
    for topic, key, value in place.log.committed:
        if topic == EXPERIMENTS:
            known.take(key, value)
    known.commands, known.pilot_commands = dict(place.known.commands), dict(place.known.pilot_commands)
    after = Place(epoch=known.highest_epoch + 1, known=known, log=place.log)
    after.sources.found, after.sources.results = place.sources.found, place.sources.results
    return after


async def test_each_step_is_a_record_up_to_the_experiment(place: Place) -> None:
    await tested(place)
    records = [(key, value) for topic, key, value in place.log.committed if topic == EXPERIMENTS]
    steps = [decode_model(AutopilotState, value) for key, value in records if key == b"autopilot:demo-a"]
    assert [step.step for step in steps] == ["watching", "asked", "ready", "testing"]
    assert [step.number for step in steps] == [1, 2, 3, 4]
    [state] = place.log.states()
    assert (state.arms, state.status) == (["demo-a", "demo-v"], "running")
    assert state.experiment_id == pilot(place).experiment_id
    assert len(requests(place)) == 1 and place.view.pilots["demo-a"] == pilot(place)
    assert place.log.transactions == 4, "a step and what goes with it are one transaction"


async def test_a_step_that_was_not_committed_asks_with_the_same_id(place: Place) -> None:
    await order(place, "on")
    commit = place.log.transaction
    seen: list[UUID] = []

    @contextlib.asynccontextmanager
    async def dies() -> AsyncIterator[None]:
        async with commit():
            yield
            seen.extend(
                decode_model(VariantRequest, value).request_id for t, _, value in place.log._open if t == REQUESTS
            )
            place.log._open = []
            raise Retryable("the process dies")

    place.log.transaction = dies  # type: ignore[method-assign]
    with pytest.raises(Retryable):
        await place.steer()
    place.log.transaction = commit  # type: ignore[method-assign]
    after = successor(place)
    await after.optimizer._carry_out(after.known.orders)
    await after.steer()
    assert [request.request_id for request in requests(after)] == seen


async def test_an_autopilot_that_is_erased_meanwhile_takes_no_step(place: Place) -> None:
    await order(place, "on")
    before = list(place.log.committed)
    place.topic.erase("demo-a")
    await place.steer()
    assert place.log.committed == before and not place.known.has("demo-a")


async def test_an_optimizer_that_starts_at_any_step_repeats_none(place: Place) -> None:
    await order(place, "on")
    for _ in range(4):
        place = successor(place)
        await place.optimizer._carry_out(place.known.orders)
        await place.steer()
        if pilot(place).step == "asked":
            answer(place)
    assert pilot(place).step == "testing" and len(requests(place)) == 1 and len(place.log.states()) == 1


async def test_an_old_command_of_a_person_is_not_carried_out_again(place: Place) -> None:
    await place.order("start", old := uuid4())
    await place.order("stop", old)
    await tested(place)
    after = successor(place)
    await after.optimizer._carry_out(after.known.orders)
    assert after.known.states["demo-a"].experiment_id == pilot(after).experiment_id
    assert after.known.states["demo-a"].status == "running"


async def test_a_refused_command_of_a_person_is_not_carried_out_again(place: Place) -> None:
    await place.order("start", uuid4(), arms=["demo-a", "acme-b"])
    await tested(place)
    after = successor(place)
    await after.optimizer._carry_out(after.known.orders)
    assert after.known.states["demo-a"].status == "running"


@pytest.mark.parametrize(("missed", "on"), [(("reject", "on"), True), (("off", "approve"), False)])
async def test_no_order_is_lost_while_no_optimizer_runs(place: Place, missed: tuple[str, ...], on: bool) -> None:
    await order(place, "on", approval=True)
    await place.steer()
    answer(place)
    await place.steer()
    assert pilot(place).step == "waiting_approval"
    after = successor(place)
    for command in missed:
        one = AutopilotCommand.model_validate(
            {"command": command, "command_id": uuid4(), "tenant_id": "demo", "lp_id": "demo-a", "requested_ms": 1}
        )
        after.known.take(one.key, encode_model(one))
    await after.optimizer._carry_out(after.known.orders)
    assert (pilot(after).on, pilot(after).step) == (on, "resting")
    for _ in range(3):
        await after.steer()
    assert after.log.states() == [], "visitors do not see the variant"


async def test_a_round_without_a_verdict_leaves_the_earlier_winner(place: Place) -> None:
    await place.order("start", uuid4())
    place.counts.by_page = {"demo-a": (5_000, 50), "demo-b": (5_000, 500)}
    await place.optimizer._look()
    await tested(place)
    state = place.known.states["demo-a"]
    assert (state.arms, state.fallback) == (["demo-a", "demo-b", "demo-v"], "demo-b")
    await order(place, "off")
    state = place.known.states["demo-a"]
    assert (state.status, state.shown, state.weights) == ("stopped", "demo-b", [0, 1, 0])


async def test_a_person_s_commands_win(place: Place) -> None:
    await tested(place)
    own = cast(UUID, pilot(place).experiment_id)
    await place.order("stop", own)
    await place.order("start", theirs := uuid4(), arms=["demo-a", "demo-b"])
    assert (place.known.states["demo-a"].experiment_id, place.known.states["demo-a"].status) == (theirs, "running")
    for _ in range(3):
        await place.steer()
    assert pilot(place).step == "resting" and place.known.states["demo-a"].experiment_id == theirs


async def test_a_person_s_start_that_comes_with_autopilot_s_is_carried_out(place: Place) -> None:
    await place.order("start", old := uuid4())
    await place.order("stop", old)
    await order(place, "on")
    await place.steer()
    answer(place)
    await place.steer()
    stopped = place.known.states["demo-a"]
    fields = stopped.model_dump(include=set(ExperimentCommand.model_fields)) | {"experiment_id": (theirs := uuid4())}
    start = ExperimentCommand(**fields, command="start")
    place.known.take(start.key, encode_model(start))
    await place.steer()
    assert (pilot(place).step, place.known.states["demo-a"].after) == ("testing", old)
    await place.optimizer._carry_out(place.known.orders)
    assert place.known.states["demo-a"].experiment_id == theirs


async def test_a_person_s_start_replaces_the_running_experiment(place: Place) -> None:
    await tested(place)
    await place.order("start", theirs := uuid4(), arms=["demo-a", "demo-b"])
    await place.steer()
    assert place.known.states["demo-a"].experiment_id == theirs and pilot(place).step == "resting"


async def test_off_stops_the_experiment_in_one_transaction(place: Place) -> None:
    await tested(place)
    before = place.log.transactions
    await order(place, "off")
    assert place.log.transactions == before + 1
    assert not pilot(place).on and place.known.states["demo-a"].status == "stopped"
    assert "autopilot" in place.known.states["demo-a"].reason
    for _ in range(3):
        await place.steer()
    assert len(requests(place)) == 1 and len(place.log.states()) == 2


async def test_a_foreign_tenant_changes_nothing(place: Place) -> None:
    await order(place, "on")
    for tenant_id in ("acme", "nobody"):
        await order(place, "off", tenant_id=tenant_id)
    assert pilot(place).on
    await order(place, "on", lp_id="acme-x")
    assert "acme-x" not in place.known.pilots


async def test_stores_that_are_away_change_nothing(place: Place) -> None:
    await order(place, "on")
    place.sources.away = True
    await place.steer()
    assert pilot(place).step == "watching" and requests(place) == []
    place.sources.away = False
    place.optimizer._autopilots._read_at.clear()
    await place.steer()
    place.sources.away = True
    await place.steer()
    assert pilot(place).step == "asked"


async def test_a_store_that_is_away_is_asked_once_a_look(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "abc":
        await order(place, "on", lp_id=f"demo-{name}")
    tries: list[str] = []

    async def away(lp_id: str) -> bool:
        tries.append(lp_id)
        raise Retryable("S3 is away")

    monkeypatch.setattr(place.sources, "published", away)
    for looks in (1, 2, 3):
        await place.steer()
        assert len(tries) == looks
    assert set(tries) == {"demo-a", "demo-b", "demo-c"}


async def test_an_erased_page_has_no_autopilot(place: Place) -> None:
    await tested(place)
    for key in (b"autopilot:demo-a", b"autopilot-command:demo-a", b"demo-a"):
        place.known.take(key, None)
    await place.steer()
    assert place.known.pilots == {} and place.known.pilot_commands == {} and place.known.states == {}


async def test_an_unpublished_page_is_switched_off(place: Place) -> None:
    await order(place, "on")
    place.sources.gone.add("demo-a")
    await place.steer()
    assert not pilot(place).on and "not published" in pilot(place).reason and requests(place) == []


async def test_a_variant_that_is_gone_starts_nothing(place: Place) -> None:
    await order(place, "on")
    await place.steer()
    answer(place)
    place.sources.gone.add("demo-v")
    for _ in range(2):
        await place.steer()
    assert pilot(place).step == "resting" and place.log.states() == []


async def test_a_tenant_s_pages_share_its_cap(place: Place) -> None:
    few = Tenants(TenantsFile.model_validate({"tenant": [{"id": "demo", "week_variants": 2}]}).tenant)
    place.optimizer._autopilots = Autopilots(place.known, place.sources, few, 1)
    for name in "abcde":
        await order(place, "on", lp_id=f"demo-{name}")
    for _ in range(5):
        await place.steer()
    assert len(requests(place)) == 2
    waiting = [state for state in place.known.pilots.values() if state.step == "watching"]
    assert len(waiting) == 3 and all("week_variants" in state.reason for state in waiting)


async def test_a_look_reads_few_pages_and_each_in_its_turn(place: Place) -> None:
    place.sources.found = []
    for number in range(7):
        await order(place, "on", lp_id=f"demo-p{number}")
    await place.steer()
    assert len(place.sources.read) == MOST_READ
    for _ in range(20):
        await place.steer()
    assert set(place.sources.read) == {f"demo-p{number}" for number in range(7)}
    read = len(place.sources.read)
    await place.steer()
    assert len(place.sources.read) == read, "a page is read once an hour"


async def test_findings_are_those_of_the_page_that_visitors_see(place: Place) -> None:
    await place.order("start", uuid4())
    place.counts.by_page = {"demo-a": (5_000, 50), "demo-b": (5_000, 500)}
    await place.optimizer._look()
    assert place.known.states["demo-a"].winner == "demo-b"
    await order(place, "on")
    await place.steer()
    assert place.sources.read == ["demo-b"] and requests(place)[0].variant.of == "demo-b"


async def test_autopilots_are_shown_again_when_redis_is_back(place: Place) -> None:
    place.view.away = True
    await order(place, "on")
    assert place.view.pilots == {}
    place.view.away = False
    await place.optimizer._heal()
    assert place.view.pilots["demo-a"].on


async def test_an_error_of_one_page_stops_no_other(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        await order(place, "on", lp_id=f"demo-{name}")
    findings = place.sources.findings

    async def bad(lp_id: str) -> Any:
        return 1 / 0 if lp_id == "demo-a" else await findings(lp_id)

    monkeypatch.setattr(place.sources, "findings", bad)
    await place.steer()
    assert (pilot(place).step, pilot(place, "demo-b").step) == ("watching", "asked")


async def test_a_damaged_record_of_an_autopilot_is_passed_over() -> None:
    known, place = Known(), Place()
    await order(place, "on")
    known.take(b"autopilot:demo-a", encode_model(pilot(place)))
    newer = encode_model(pilot(place).model_copy(update={"number": 9}))
    for key, bad in ((b"autopilot:demo-a", b"{"), (b"autopilot:demo-b", newer), (b"demo-a", newer)):
        with pytest.raises(DecodeError):
            known.take(key, bad)
    assert known.pilots == {"demo-a": pilot(place)} and known.states == {}
