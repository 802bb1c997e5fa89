"""The optimizer with stores in memory: commands, looks, decisions, and stores that are away."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from infra.tenants import Tenants, TenantsFile
from processors.experiments.known import KINDS, Known
from processors.findings.report import Finding
from schemas.autopilot import AutopilotState
from schemas.errors import LpstreamError, Retryable
from schemas.experiments import EXPERIMENTS, ExperimentCommand, ExperimentState, result_id_of
from schemas.generation import RESULTS, Result, decode_model, encode_model
from streams.experiments import optimizer as module
from streams.experiments.optimizer import Optimizer
from streams.runtime.settings import Settings


class Log:
    """The topic in memory, with transactions."""

    def __init__(self) -> None:
        self.committed: list[tuple[str, bytes, bytes]] = []
        self.transactions = 0
        self._open: list[tuple[str, bytes, bytes]] = []

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        self._open = []
        yield
        self.committed += self._open
        self.transactions += 1

    async def send(self, topic: str, value: bytes, *, key: bytes) -> None:
        self._open.append((topic, key, value))

    def states(self, lp_id: str = "demo-a") -> list[ExperimentState]:
        key = lp_id.encode()
        return [decode_model(ExperimentState, value) for _, k, value in self.committed if k == key]


class Topic:
    """A reader of the topic in memory. It takes the records of `waiting` when the optimizer catches up."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.waiting: list[tuple[bytes, bytes | None]] = []

    async def catch_up(self) -> None:
        for key, value in self.waiting:
            self.known.take(key, value)
        self.waiting = []

    def erase(self, lp_id: str) -> None:
        """Append the empty records that `lpstream erase` writes."""
        self.waiting += [(f"{kind}{lp_id}".encode(), None) for kind in KINDS]


class View:
    """Redis in memory, present or away."""

    def __init__(self) -> None:
        self.states: dict[str, ExperimentState] = {}
        self.pilots: dict[str, AutopilotState] = {}
        self.away = False

    def _check(self) -> None:
        if self.away:
            raise Retryable("Redis is away")

    async def put(self, states: list[ExperimentState], _: Any = ()) -> None:
        self._check()
        self.states |= {state.lp_id: state for state in states}

    async def put_pilots(self, pilots: list[AutopilotState]) -> None:
        self._check()
        self.pilots |= {state.lp_id: state for state in pilots}

    async def size(self) -> int:
        self._check()
        return len(self.states)


class Counts:
    """ClickHouse in memory: rows of the query for counts."""

    def __init__(self) -> None:
        self.by_page: dict[str, tuple[int, int]] = {}
        self.away = False
        self.meanwhile: Callable[[], None] = lambda: None

    async def rows(self, _: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        if self.away:
            raise Retryable("ClickHouse is away")
        self.meanwhile()
        assert len(values["lp_ids"]) <= 50
        start_s = int(time.time()) // 60 * 60 - 60  # weights follow from minutes that have ended
        zeros = {f"{goal}_": 0 for goal in ("form", "tel", "mail", "outbound", "custom")}
        return [
            {
                "lp_id": lp_id,
                "start_s": start_s,
                "views": views,
                "converted": hits,
                **dict.fromkeys(("dead", "rage", "dead_squares", "rage_squares", "deep"), 0),
                **zeros,
            }
            for lp_id, (views, hits) in self.by_page.items()
            if lp_id in values["lp_ids"]
        ]


class Sources:
    """The stores of autopilot, in memory: missing pages, findings, and results by request."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.found: list[Finding] = []
        self.results: dict[UUID, Result] = {}
        self.read: list[str] = []
        self.away = False

    def _check(self) -> None:
        if self.away:
            raise Retryable("the store is away")

    async def published(self, lp_id: str) -> bool:
        self._check()
        return lp_id not in self.gone

    async def stored(self, lp_id: str) -> bool:
        return await self.published(lp_id)

    async def findings(self, lp_id: str) -> list[Finding]:
        self._check()
        self.read.append(lp_id)
        return self.found

    async def result(self, request_id: UUID) -> Result | None:
        self._check()
        return self.results.get(request_id)


class Place:
    """An optimizer with stores in memory."""

    def __init__(self, epoch: int = 1, known: Known | None = None, log: Log | None = None) -> None:
        self.known, self.log, self.view, self.counts = known or Known(), log or Log(), View(), Counts()
        self.sources, self.topic = Sources(), Topic(self.known)
        settings = Settings.model_construct(**{**Settings().model_dump(), "experiment_settle_s": 0})
        tenants = Tenants(TenantsFile.model_validate({"tenant": [{"id": "demo"}, {"id": "acme"}]}).tenant)

        async def check() -> None:
            """The lease is held."""

        self.optimizer = Optimizer(
            settings, tenants, cast(Any, self.view), cast(Any, self.counts), cast(Any, SimpleNamespace(check=check)),
            cast(Any, self.topic), cast(Any, self.log), self.sources, epoch,
        )  # fmt: skip

    async def steer(self) -> None:
        """Take the next step of each autopilot."""
        async for step in self.optimizer._autopilots.steps():
            await self.optimizer._take(step)

    async def order(self, command: str, experiment_id: UUID, **change: Any) -> None:
        """Carry out a command as if it had come from the topic."""
        values = {
            "command": command, "experiment_id": str(experiment_id), "tenant_id": "demo", "lp_id": "demo-a",
            "arms": ["demo-a", "demo-b"], "requested_ms": 1,
        }  # fmt: skip
        order = ExperimentCommand.model_validate(values | change)
        self.known.take(order.key, encode_model(order))
        await self.optimizer._carry_out([order])


@pytest.fixture
def place() -> Place:
    return Place()


async def test_a_start_is_written_shown_and_done_once(place: Place) -> None:
    first = uuid4()
    for _ in range(3):
        await place.order("start", first)
    assert [state.status for state in place.log.states()] == ["running"]
    assert place.view.states["demo-a"].weights == [0.5, 0.5]
    assert place.known.weights["demo-a"].points[0][1] == [0.5, 0.5]


async def test_a_stop_is_done_once(place: Place) -> None:
    first = uuid4()
    await place.order("start", first)
    for _ in range(3):
        await place.order("stop", first)
    assert [state.status for state in place.log.states()] == ["running", "stopped"]


async def test_a_stop_of_an_experiment_that_never_ran_is_known(place: Place) -> None:
    await place.order("stop", uuid4())
    await place.order("stop", place.log.states()[0].experiment_id)
    assert [state.status for state in place.log.states()] == ["stopped"]


async def test_a_new_start_ends_the_experiment_before(place: Place) -> None:
    first, second = uuid4(), uuid4()
    await place.order("start", first)
    await place.order("start", second)
    states = place.log.states()
    assert [(state.experiment_id, state.status) for state in states] == [
        (first, "running"),
        (first, "stopped"),
        (second, "running"),
    ]
    assert place.log.transactions == 2 and [state.order for state in states] == sorted(s.order for s in states)


async def test_an_arm_of_another_tenant_starts_nothing(place: Place) -> None:
    await place.order("start", uuid4(), arms=["demo-a", "acme-b"])
    [state] = place.log.states()
    assert (state.status, state.reason) == ("stopped", "not started: arms: acme-b is no page of tenant demo")


async def test_an_unknown_tenant_starts_nothing(place: Place) -> None:
    await place.order("start", uuid4(), tenant_id="nobody", lp_id="nobody-a", arms=["nobody-a", "nobody-b"])
    assert place.log.states("nobody-a")[0].status == "stopped"


async def test_a_look_writes_counts_and_weights_once(place: Place) -> None:
    await place.order("start", uuid4())
    place.counts.by_page = {"demo-a": (400, 10), "demo-b": (400, 20)}
    await place.optimizer._look()
    await place.optimizer._look()
    first, second = place.log.states()
    assert (second.pageviews, second.conversions, second.number) == ([400, 400], [10, 20], first.number + 1)
    assert second.weights[1] > 0.5 > second.weights[0] >= 0.05
    assert place.known.weights["demo-a"].points[-1][1] == second.weights


async def test_an_experiment_that_is_erased_during_a_look_is_not_written_again(place: Place) -> None:
    for lp_id in ("demo-a", "demo-x"):
        await place.order("start", uuid4(), lp_id=lp_id, arms=[lp_id, f"{lp_id}-2"])
    place.counts.by_page = dict.fromkeys(("demo-a", "demo-a-2", "demo-x", "demo-x-2"), (50, 5))
    place.view.states.clear()
    place.counts.meanwhile = lambda: place.topic.erase("demo-a")
    await place.optimizer._look()
    assert (len(place.log.states("demo-a")), len(place.log.states("demo-x"))) == (1, 2)
    assert not place.known.has("demo-a") and set(place.view.states) == {"demo-x"}


@pytest.mark.parametrize("command", ["start", "stop"])
async def test_an_order_for_a_page_that_is_erased_meanwhile_is_not_carried_out(place: Place, command: str) -> None:
    place.topic.erase("demo-a")
    await place.order(command, uuid4())
    assert (place.log.committed, place.log.transactions, place.view.states) == ([], 0, {})


async def test_a_clock_that_was_ahead_hides_no_weights(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.order("start", uuid4())
    place.counts.by_page = {"demo-a": (400, 10), "demo-b": (400, 20)}
    true_time = time.time
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "time", lambda: true_time() + 3_600)
        await place.optimizer._look()
    place.counts.by_page = {"demo-a": (600, 10), "demo-b": (800, 60)}
    await place.optimizer._look()
    assert len(place.log.states()) == 3
    assert place.known.weights["demo-a"].points[-1][0] <= true_time() + 1
    assert place.known.weights["demo-a"].points[-1][1] == place.log.states()[-1].weights


def test_a_clock_that_is_set_back_delays_no_look() -> None:
    assert [module._due(now, 120, 60) for now in (60, 119, 120, 500, 59, -3_600)] == [
        False,
        False,
        True,
        True,
        True,
        True,
    ]


async def test_a_clear_difference_is_decided_once_with_a_result(place: Place) -> None:
    first = uuid4()
    await place.order("start", first)
    place.counts.by_page = {"demo-a": (5_000, 50), "demo-b": (5_000, 500)}
    for _ in range(3):
        await place.optimizer._look()
    last = place.log.states()[-1]
    assert (last.status, last.winner) == ("decided", "demo-b")
    [result] = [decode_model(Result, value) for topic, _, value in place.log.committed if topic == RESULTS]
    assert result.experiment is not None
    assert (result.lp_id, result.experiment.experiment_id, result.experiment.winner) == ("demo-a", first, "demo-b")
    # an id that a tenant chooses hides no other result
    assert result.request_id == result_id_of(first, "demo-a") not in (first, result_id_of(first, "acme-a"))
    assert place.log.transactions == 2
    await place.order("stop", first)
    assert place.log.states()[-1].winner == "demo-b", "a stop that names no winner was sent before the decision"
    await place.order("stop", first, takes_back="demo-b")
    assert place.log.states()[-1].winner is None


async def test_a_refused_start_repeats_no_result(place: Place) -> None:
    await place.order("start", uuid4())
    place.counts.by_page = {"demo-a": (5_000, 50), "demo-b": (5_000, 500)}
    await place.optimizer._look()
    decided = place.log.states()[-1]
    await place.order("start", uuid4(), arms=["demo-a", "acme-b"])
    after = place.log.states()[-1]
    assert after.refused is not None and (after.status, after.decided_ms) == ("decided", decided.decided_ms)
    assert sum(topic == RESULTS for topic, _, _ in place.log.committed) == 1


async def test_the_arms_of_a_replaced_experiment_were_given_until_now(place: Place) -> None:
    await place.order("start", first := uuid4())
    quiet = place.known.states["demo-a"].model_copy(update={"decided_ms": 1, "started_ms": 1})
    place.known.states["demo-a"] = quiet
    await place.order("start", uuid4(), arms=["demo-a", "demo-b"])
    assert place.known.states["demo-a"].experiment_id != first
    assert place.known.states["demo-a"].held == ["demo-a", "demo-b"]


async def test_an_experiment_without_a_decision_ends_before_its_days_are_cold(place: Place) -> None:
    await place.order("start", uuid4())
    old = place.known.states["demo-a"]
    place.known.states["demo-a"] = old.model_copy(update={"started_ms": old.started_ms - 30 * 86_400_000})
    place.counts.away = True
    await place.optimizer._look()
    state = place.log.states()[-1]
    assert (state.status, state.reason) == ("stopped", "no decision within 30 days")


async def test_no_command_of_a_person_is_lost_while_no_optimizer_runs(place: Place) -> None:
    await place.order("start", uuid4())
    place.counts.by_page = {"demo-a": (5_000, 50), "demo-b": (5_000, 500)}
    await place.optimizer._look()
    decided = place.log.states()[-1]
    missed = [
        ExperimentCommand(**decided.model_dump(include=set(ExperimentCommand.model_fields)), **change)
        for change in ({"command": "stop", "takes_back": "demo-b"}, {"command": "start"})
    ]
    missed[1] = missed[1].model_copy(update={"experiment_id": (later := uuid4())})
    after = Place(epoch=2, known=place.known, log=place.log)
    for order in missed:
        after.known.take(order.key, encode_model(order))
    await after.optimizer._carry_out(after.known.orders)
    assert [state.status for state in after.log.states()[-2:]] == ["stopped", "running"]
    assert (after.known.states["demo-a"].experiment_id, after.known.states["demo-a"].fallback) == (later, None)


async def test_goals_without_visits_decide_nothing(place: Place) -> None:
    await place.order("start", uuid4())
    place.counts.by_page = {"demo-a": (20, 2), "demo-b": (20, 9_000)}
    await place.optimizer._look()
    assert place.log.states()[-1].conversions == [2, 20]
    assert place.log.states()[-1].status == "running"


async def test_nothing_is_learned_while_clickhouse_is_away(place: Place) -> None:
    await place.order("start", uuid4())
    place.counts.away = True
    await place.optimizer._look()
    assert len(place.log.states()) == 1


async def test_states_are_shown_again_when_redis_is_back(place: Place) -> None:
    await place.optimizer._heal()
    place.view.away = True
    await place.order("start", uuid4())
    await place.optimizer._heal()
    assert place.view.states == {}
    place.view.away = False
    await place.optimizer._heal()
    assert set(place.view.states) == {"demo-a"}


async def test_states_are_shown_again_after_redis_has_lost_them(place: Place) -> None:
    await place.order("start", uuid4())
    await place.optimizer._heal()
    place.view.states.clear()
    await place.optimizer._heal()
    assert set(place.view.states) == {"demo-a"}


async def test_an_optimizer_that_starts_goes_on_where_the_last_ended(place: Place) -> None:
    first = uuid4()
    await place.order("start", first)
    known = Known()
    for _, key, value in place.log.committed:
        known.take(key, value)
    known.commands = dict(place.known.commands)
    after = Place(epoch=known.highest_epoch + 1, known=known, log=place.log)
    await after.optimizer._carry_out(known.orders)
    assert len(after.log.states()) == 1
    after.counts.by_page = {"demo-a": (30, 1), "demo-b": (30, 1)}
    await after.optimizer._look()
    assert [(state.epoch, state.number) for state in after.log.states()] == [(1, 0), (2, 1)]


async def test_an_optimizer_ends_when_a_newer_one_writes(place: Place) -> None:
    await place.order("start", uuid4())
    newer = place.log.states()[0].model_copy(update={"epoch": 2, "number": 1})

    async def more(_: float) -> list[ExperimentState]:
        return [newer]

    place.optimizer._topic = cast(Any, SimpleNamespace(known=place.known, more=more, catch_up=place.topic.catch_up))
    with pytest.raises(LpstreamError, match="newer optimizer"):
        await place.optimizer.run()


async def test_a_failure_of_one_experiment_stops_no_other(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    await place.order("start", bad := uuid4())
    await place.order("start", uuid4(), lp_id="demo-x", arms=["demo-x", "demo-y"])
    learn = module.learn
    monkeypatch.setattr(
        module, "learn", lambda rules, evidence, seed: 1 / 0 if seed == bad.int else learn(rules, evidence, seed)
    )
    place.counts.by_page = dict.fromkeys(("demo-a", "demo-b", "demo-x", "demo-y"), (50, 5))
    await place.optimizer._look()
    assert (len(place.log.states()), len(place.log.states("demo-x"))) == (1, 2)


async def test_many_experiments_are_looked_at_in_parts(place: Place) -> None:
    for number in range(200):
        await place.order("start", uuid4(), lp_id=f"demo-p{number}", arms=[f"demo-p{number}", f"demo-q{number}"])
    place.counts.by_page = {f"demo-{letter}{number}": (20, 2) for letter in "pq" for number in range(200)}
    await place.optimizer._look()
    assert {len(place.log.states(f"demo-p{number}")) for number in range(200)} == {2}
    assert sum(topic == EXPERIMENTS for topic, _, _ in place.log.committed) == 600
