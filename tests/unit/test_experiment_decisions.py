"""The next state of an experiment, after a command or a look."""

from typing import Any
from uuid import UUID, uuid4

import numpy as np
import pytest

from processors.experiments.decisions import begun, busy, handled, learned, obstacle, refused, stopped
from processors.experiments.known import Known
from processors.experiments.shapes import Evidence, Learned
from schemas.errors import DecodeError
from schemas.experiments import ExperimentCommand, ExperimentState
from schemas.generation import encode_model

NOW = 1_795_451_375_000
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


def test_the_log_leaves_the_newest_record_of_each_page() -> None:
    known, state = Known(), running()
    newer = stopped(state, "stopped", epoch=1, now_ms=NOW)
    known.take(b"command:demo-a", encode_model(command()))
    known.take(b"demo-a", encode_model(newer))
    assert known.take(b"demo-a", encode_model(state)) is None
    assert known.states["demo-a"] == newer and known.highest_epoch == 1
    known.take(b"demo-a", None)
    assert known.states == {} and known.commands["demo-a"] == command()


def test_a_record_under_another_key_is_refused() -> None:
    for key, record in ((b"command:demo-b", command()), (b"demo-b", running())):
        with pytest.raises(DecodeError):
            Known().take(key, encode_model(record))
