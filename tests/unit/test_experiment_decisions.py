"""The next state of an experiment, after a command or a look."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from processors.experiments.decisions import (
    begun,
    busy,
    handled,
    learned,
    obstacle,
    refused,
    rules_of,
    stopped,
    stopped_by_person,
    undecided,
    under_way,
)
from processors.experiments.known import Known
from processors.experiments.shapes import Evidence, Learned
from processors.heatmap.tiers import TierRule
from schemas.errors import DecodeError
from schemas.experiments import MOST_SEEN, ExperimentCommand, ExperimentState
from schemas.generation import encode_model

NOW = 1_795_451_375_000
DAY_MS = 86_400_000
FIRST, SECOND = uuid4(), uuid4()


def command(command: str = "start", experiment_id: UUID = FIRST, **change: Any) -> ExperimentCommand:
    values = {
        "command": command, "experiment_id": str(experiment_id), "tenant_id": "demo", "lp_id": "demo-a",
        "arms": ["demo-a", "demo-b"], "requested_ms": NOW,
    }  # fmt: skip
    return ExperimentCommand.model_validate(values | change)


def running(experiment_id: UUID = FIRST, **change: Any) -> ExperimentState:
    return begun(command(experiment_id=experiment_id, **change), None, epoch=1, now_ms=NOW, settle_s=0)


def evidence(pageviews: list[int], conversions: list[int]) -> Evidence:
    rows = [np.array([each], np.int64) for each in (pageviews, conversions, [0, 0], [0, 0])]
    return Evidence(np.array([0], np.int64), *rows, np.array([[0.5, 0.5]]))


def look(verdict: Any = "running", winner: int | None = None, weights: tuple[float, ...] = (0.3, 0.7)) -> Learned:
    return Learned(weights, ((0.1, 0.05, 0.2), (0.2, 0.1, 0.3)), verdict, winner, "because", 40)


def test_an_experiment_begins_with_equal_shares() -> None:
    state = begun(command(arms=["demo-a", "demo-b", "demo-c"]), None, epoch=4, now_ms=NOW, settle_s=3_600)
    assert state.weights == pytest.approx([1 / 3] * 3)
    assert (state.status, state.epoch, state.number) == ("running", 4, 0)
    assert state.counted_from_ms - state.started_ms == 3_600_000


def test_the_next_experiment_of_a_page_is_newer_than_the_last() -> None:
    last = stopped(running(), "stopped", epoch=1, now_ms=NOW)
    state = begun(command(experiment_id=SECOND), last, epoch=1, now_ms=NOW - 5, settle_s=0)
    assert state.order > last.order
    assert state.held == ["demo-a", "demo-b"]


def test_cookies_of_an_experiment_long_ago_are_gone() -> None:
    last = stopped(running(), "stopped", epoch=1, now_ms=NOW)
    state = begun(command(experiment_id=SECOND), last, epoch=1, now_ms=NOW + 31 * 86_400_000, settle_s=0)
    assert state.held == []


def test_arms_of_all_experiments_of_the_last_month_may_be_in_cookies() -> None:
    first = stopped(running(), "stopped", epoch=1, now_ms=NOW)
    other = begun(command(experiment_id=SECOND, arms=["demo-a", "demo-c"]), first, epoch=1, now_ms=NOW, settle_s=0)
    other = stopped(other, "stopped", epoch=1, now_ms=NOW + 3 * DAY_MS)
    for days, held in ((7, ["demo-a", "demo-b"]), (31, ["demo-a"]), (34, [])):
        again = begun(command(experiment_id=uuid4()), other, epoch=1, now_ms=NOW + days * DAY_MS, settle_s=0)
        assert again.held == held, days
    old = other.model_copy(update={"seen_ms": {}})  # as a release before wrote it
    assert begun(command(), old, epoch=1, now_ms=NOW + 7 * DAY_MS, settle_s=0).held == ["demo-a"]


def test_a_refused_experiment_gave_no_arm_to_any_visitor() -> None:
    never = refused(command(), None, "arms: taken", epoch=1, now_ms=NOW)
    assert begun(command(experiment_id=SECOND), never, epoch=1, now_ms=NOW, settle_s=0).held == []


def test_the_arms_of_cookies_are_bounded() -> None:
    state = running()
    for at in range(40):
        start = command(experiment_id=uuid4(), arms=["demo-a", f"demo-{at}", f"demo-{at}-x"])
        state = begun(start, state, epoch=1, now_ms=NOW + at * 1_000, settle_s=0)
    assert len(state.seen_ms) == MOST_SEEN and {"demo-a", "demo-38"} <= state.seen_ms.keys()


def test_a_command_is_carried_out_once() -> None:
    state = running()
    assert not handled(command(), None)
    assert handled(command(), state)
    assert not handled(command("stop"), state)
    assert handled(command("stop"), stopped(state, "stopped", epoch=1, now_ms=NOW))
    assert not handled(command(experiment_id=SECOND), state)


def test_a_stop_of_another_experiment_stops_nothing() -> None:
    assert handled(command("stop", SECOND), running())


def test_a_refused_start_is_not_tried_again() -> None:
    state = refused(command(experiment_id=SECOND), running(), "arms: taken", epoch=1, now_ms=NOW)
    assert (state.experiment_id, state.status) == (FIRST, "running")
    assert handled(command(experiment_id=SECOND), state)
    first = refused(command(), None, "arms: taken", epoch=1, now_ms=NOW)
    assert (first.status, first.reason) == ("stopped", "not started: arms: taken")
    assert handled(command(), first)


def test_a_refusal_decides_nothing() -> None:
    for before in (running(), stopped(running(), "stopped", epoch=1, now_ms=NOW), won()):
        after = refused(command(experiment_id=SECOND), before, "arms: taken", epoch=1, now_ms=NOW + DAY_MS)
        assert (after.status, after.decided_ms, after.winner) == (before.status, before.decided_ms, before.winner)


def test_an_arm_of_another_tenant_is_no_arm() -> None:
    why = obstacle(command(arms=["demo-a", "acme-b"]), {}, lambda tenant, lp_id: lp_id.startswith(f"{tenant}-"))
    assert why == "arms: acme-b is no page of tenant demo"


def test_an_arm_is_part_of_one_experiment_only() -> None:
    states = {"demo-x": running(lp_id="demo-x", arms=["demo-x", "demo-b"])}
    assert busy(["demo-a", "demo-b"], states, "demo-a") == ("demo-b", "demo-x")
    assert "demo-b is part of the experiment on demo-x" in (obstacle(command(), states, lambda *_: True) or "")
    states["demo-x"] = stopped(states["demo-x"], "stopped", epoch=1, now_ms=NOW)
    assert obstacle(command(), states, lambda *_: True) is None


def test_a_look_moves_the_weights() -> None:
    state = learned(running(), evidence([10, 12], [1, 2]), look(), epoch=2, now_ms=NOW + 60_000)
    assert state is not None
    assert (state.weights, state.number, state.epoch, state.status) == ([0.3, 0.7], 1, 2, "running")
    assert (state.pageviews, state.conversions, state.visits_needed) == ([10, 12], [1, 2], 40)
    ended = stopped(state, "stopped by a person", epoch=2, now_ms=NOW + 60_000)
    assert (ended.pageviews, ended.visits_needed) == ([10, 12], None)


def test_a_look_that_says_nothing_new_is_no_state() -> None:
    state = learned(running(), evidence([10, 12], [1, 2]), look(), epoch=1, now_ms=NOW)
    assert state is not None
    assert learned(state, evidence([10, 12], [1, 2]), look(), epoch=1, now_ms=NOW) is None


def test_weights_of_any_rounding_have_the_sum_one() -> None:
    thirds = Evidence(np.zeros(0, np.int64), *(np.zeros((0, 3), np.int64) for _ in range(4)), np.zeros((0, 3)))
    begin = running(arms=["demo-a", "demo-b", "demo-c"])
    outcome = Learned((1 / 3,) * 3, ((0.0, 0.0, 1.0),) * 3, "running", None, "", None)
    state = learned(begin, thirds, outcome, epoch=1, now_ms=NOW)
    assert state is not None and sum(state.weights) == pytest.approx(1)


def test_a_winner_ends_the_experiment() -> None:
    state = learned(running(), evidence([10, 12], [1, 2]), look("winner", 1), epoch=1, now_ms=NOW)
    assert state is not None
    assert (state.status, state.winner, state.weights, state.reason) == ("decided", "demo-b", [0.0, 1.0], "because")


@pytest.mark.parametrize("verdict", ["mismatch", "guard"])
def test_a_mismatch_or_a_guard_stops_without_a_winner(verdict: str) -> None:
    state = learned(running(), evidence([10, 12], [1, 2]), look(verdict), epoch=1, now_ms=NOW)
    assert state is not None
    assert (state.status, state.winner, state.weights) == ("stopped", None, [1.0, 0.0])
    assert state.reason == f"stopped ({verdict}): because" and state.pageviews == [10, 12]


def test_a_stop_takes_back_a_winner() -> None:
    decided = learned(running(), evidence([10, 12], [1, 2]), look("winner", 1), epoch=1, now_ms=NOW)
    assert decided is not None
    assert stopped(decided, "stopped by a person", epoch=1, now_ms=NOW).winner is None


def won(winner: str = "demo-w") -> ExperimentState:
    """Return a decided experiment of demo-a whose second arm has won."""
    state = learned(
        running(arms=["demo-a", winner]), evidence([10, 12], [1, 2]), look("winner", 1), epoch=1, now_ms=NOW
    )
    assert state is not None and state.shown == winner
    return state


def second_round() -> ExperimentState:
    """Return a running experiment of demo-a, its earlier winner, and a variant."""
    third = command(experiment_id=SECOND, arms=["demo-a", "demo-w", "demo-v"])
    return begun(third, won(), epoch=1, now_ms=NOW + 1, settle_s=0)


def test_an_end_without_a_verdict_goes_back_to_the_earlier_winner() -> None:
    state, times = second_round(), {"epoch": 1, "now_ms": NOW + 40 * DAY_MS}
    three = Evidence(np.zeros(0, np.int64), *(np.zeros((0, 3), np.int64) for _ in range(4)), np.zeros((0, 3)))
    looks = [learned(state, three, Learned((0.2, 0.3, 0.5), ((0, 0, 1),) * 3, verdict, None, "because", None), **times)
             for verdict in ("mismatch", "guard")]  # fmt: skip
    ends = [
        stopped(state, "stopped by autopilot: off", **times),
        stopped_by_person(state, command("stop", SECOND), **times),
        undecided(state, 30, **times),
        *looks,
    ]
    for end in ends:
        assert end is not None and (end.status, end.winner, end.shown) == ("stopped", None, "demo-w")
        assert end.weights == [0, 1, 0] and end.reason.endswith("; the earlier winner is the page again")
        assert begun(command(arms=["demo-a", "demo-w"]), end, epoch=1, now_ms=NOW, settle_s=0).fallback == "demo-w"


def test_a_second_stop_takes_the_earlier_winner_back_once() -> None:
    stop, back = command("stop", SECOND), command("stop", SECOND, takes_back="demo-w")
    state = second_round()
    assert not handled(stop, state)
    ended = stopped_by_person(state, stop, epoch=1, now_ms=NOW)
    assert handled(stop, ended) and not handled(back, ended)
    itself = stopped_by_person(ended, back, epoch=1, now_ms=NOW)
    assert (itself.shown, itself.weights, itself.bound) == ("demo-a", [1, 0, 0], [])
    assert itself.reason == "stopped by a person; the page is itself again"
    assert handled(stop, itself) and handled(back, itself)


def test_a_stop_after_a_decision_leaves_the_page_itself() -> None:
    state = second_round()
    decided = state.model_copy(update={"status": "decided", "winner": "demo-v", "weights": [0, 0, 1]})
    back = command("stop", SECOND, takes_back="demo-v")
    assert not handled(back, decided)
    assert stopped_by_person(decided, back, epoch=1, now_ms=NOW).shown == "demo-a"


def test_a_stop_that_comes_after_the_decision_takes_no_winner_back() -> None:
    decided, stop = won(), command("stop")
    assert handled(stop, decided) and not under_way(stop, decided), "it was sent while the experiment ran"
    assert not handled(command("stop", takes_back="demo-w"), decided)
    kept = decided.model_copy(update={"winner": "demo-a", "weights": [1, 0]})
    assert not handled(stop, kept), "the page itself has won: the stop frees its arms"


def test_a_page_that_beats_its_earlier_winner_is_itself_after_a_stop() -> None:
    two = begun(command(experiment_id=SECOND, arms=["demo-a", "demo-w"]), won(), epoch=1, now_ms=NOW, settle_s=0)
    decided = learned(two, evidence([12, 10], [2, 1]), look("winner", 0), epoch=1, now_ms=NOW)
    assert decided is not None and decided.shown == "demo-a"
    assert stopped_by_person(decided, command("stop", SECOND), epoch=1, now_ms=NOW).shown == "demo-a"


def test_an_earlier_winner_belongs_to_its_page() -> None:
    ended = stopped(second_round(), "stopped", epoch=1, now_ms=NOW)
    states = {"demo-a": ended}
    assert busy(["demo-x", "demo-w"], states, "demo-x") == ("demo-w", "demo-a")
    assert busy(["demo-x", "demo-a"], states, "demo-x") == ("demo-a", "demo-a")
    assert busy(["demo-x", "demo-v"], states, "demo-x") is None


def test_guards_compare_with_the_page_that_visitors_saw_before() -> None:
    assert (rules_of(running(), 0).before, rules_of(second_round(), 0).before) == (0, 1)


def test_an_experiment_ends_before_its_first_day_is_cold() -> None:
    state, rule = running(), TierRule(hot_days=7, warm_days=30)
    first = datetime.fromtimestamp(state.counted_from_ms / 1000, UTC).date()
    last_ms = NOW + 30 * DAY_MS
    assert undecided(state, 30, epoch=1, now_ms=last_ms - 1) is None
    end = undecided(state, 30, epoch=1, now_ms=last_ms)
    assert end is not None and (end.status, end.reason) == ("stopped", "no decision within 30 days")
    assert not rule.leaves_warm(first, datetime.fromtimestamp(last_ms / 1000 + 3_600, UTC).date())


def test_the_log_leaves_the_newest_record_of_each_page() -> None:
    known, state = Known(), running()
    newer = stopped(state, "stopped", epoch=1, now_ms=NOW)
    known.take(b"command:demo-a", encode_model(command()))
    known.take(b"demo-a", encode_model(newer))
    assert known.take(b"demo-a", encode_model(state)) is None
    assert known.states["demo-a"] == newer and known.highest_epoch == 1
    known.take(b"demo-a", None)
    assert known.states == {} and known.commands["demo-a"] == [command()]


def test_commands_since_the_last_that_was_carried_out_are_known() -> None:
    orders = [command(), command("stop"), command(experiment_id=SECOND), command("stop", SECOND)]
    first_start = running()
    first_stop = stopped(first_start, "stopped", epoch=1, now_ms=NOW)
    second_start = begun(orders[2], first_stop, epoch=1, now_ms=NOW, settle_s=0)
    for state, left in ((None, orders), (first_start, orders), (first_stop, orders[1:]), (second_start, orders[2:])):
        log = [encode_model(order) for order in orders]
        states = [(b"demo-a", encode_model(state))] if state is not None else []
        records = [(b"command:demo-a", value) for value in log]
        for part in ([*records, *states], [*states, *records]):  # the partitions may be read in any order
            known = Known()
            for key, value in part:
                known.take(key, value)
            assert known.orders == left
    known.take(b"command:demo-a", None)
    assert known.orders == []


def test_a_record_under_another_key_is_refused() -> None:
    for key, record in ((b"command:demo-b", command()), (b"demo-b", running())):
        with pytest.raises(DecodeError):
            Known().take(key, encode_model(record))
