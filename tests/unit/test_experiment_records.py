"""Records of experiments: what a command and a state may hold."""

import json
from uuid import UUID

import pytest

from schemas.errors import DecodeError
from schemas.experiments import MOST_POINTS, ExperimentCommand, ExperimentState, PastWeights
from schemas.generation import decode_model, encode_model

ID = "6f1c1f4e-6d2b-4a55-9f5e-0d6b7d0a7c11"
COMMAND = {
    "schema": 1,
    "command": "start",
    "experiment_id": ID,
    "tenant_id": "demo",
    "lp_id": "demo-a",
    "arms": ["demo-a", "demo-b"],
    "goals": ["form", "tel"],
    "policy": "bandit",
    "floor": 0.05,
    "half_life_days": 14,
    "requested_ms": 1_795_451_374_000,
}
STATE = COMMAND | {
    "epoch": 3,
    "number": 7,
    "status": "running",
    "weights": [0.4, 0.6],
    "rates": [[0.03, 0.01, 0.06], [0.045, 0.02, 0.08]],
    "pageviews": [100, 120],
    "conversions": [3, 5],
    "winner": None,
    "reason": "counts are being collected",
    "visits_needed": None,
    "started_ms": 1_795_451_375_000,
    "counted_from_ms": 1_795_451_375_000,
    "decided_ms": 1_795_451_435_000,
}


def refused(
    record: dict[str, object], model: type[ExperimentCommand] | type[ExperimentState] = ExperimentCommand
) -> str:
    with pytest.raises(DecodeError) as caught:
        decode_model(model, json.dumps(record).encode())
    return str(caught.value)


def test_a_command_is_read_as_it_was_written() -> None:
    command = decode_model(ExperimentCommand, json.dumps(COMMAND).encode())
    assert decode_model(ExperimentCommand, encode_model(command)) == command
    assert command.experiment_id == UUID(ID)
    assert command.key == b"command:demo-a"


def test_a_state_is_read_as_it_was_written() -> None:
    state = decode_model(ExperimentState, json.dumps(STATE).encode())
    assert decode_model(ExperimentState, encode_model(state)) == state
    assert state.key == b"demo-a"


def test_records_of_earlier_releases_are_read() -> None:
    state = decode_model(ExperimentState, json.dumps(STATE).encode())
    assert (state.fallback, state.seen_ms, state.shown) == (None, {}, "demo-a")
    assert decode_model(ExperimentCommand, json.dumps(COMMAND | {"command": "stop"}).encode()).takes_back is None


def test_an_earlier_winner_is_an_arm() -> None:
    assert "fallback: is none of the arms" in refused(STATE | {"fallback": "demo-z"}, ExperimentState)


def test_a_command_of_the_least_fields_has_the_usual_rules() -> None:
    least = {name: value for name, value in COMMAND.items() if name not in ("goals", "policy", "floor")}
    command = decode_model(ExperimentCommand, json.dumps(least).encode())
    assert (len(command.goals), command.policy, command.floor) == (5, "bandit", 0.05)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"arms": ["demo-a"]}, "arms"),
        ({"arms": ["demo-a", *(f"demo-{n}" for n in range(6))]}, "arms"),
        ({"arms": ["demo-b", "demo-a"]}, "arms: the first arm is the page itself"),
        ({"arms": ["demo-a", "demo-b", "demo-b"]}, "arms: each arm must be another page"),
        ({"arms": ["demo-a", "demo\nb"]}, "arms.1"),
        ({"arms": ["demo-a", "demo/b"]}, "arms.1"),
        ({"arms": ["demo-a", "b" * 129]}, "arms.1"),
        ({"goals": []}, "goals"),
        ({"goals": ["sale"]}, "goals.0"),
        ({"goals": ["form", "form"]}, "goals: give each kind only once"),
        ({"floor": 0.4, "arms": ["demo-a", "demo-b", "demo-c"]}, "floor: 3 arms cannot each have 0.4"),
        ({"floor": -0.1}, "floor"),
        ({"floor": float("nan")}, "floor"),
        ({"half_life_days": 0}, "half_life_days"),
        ({"half_life_days": float("inf")}, "half_life_days"),
        ({"policy": "greedy"}, "policy"),
        ({"command": "pause"}, "command"),
        ({"tenant_id": "Demo"}, "tenant_id"),
        ({"lp_id": "demo a"}, "lp_id"),
        ({"experiment_id": "1"}, "experiment_id"),
        ({"schema": 2}, "schema"),
    ],
)
def test_a_wrong_command_names_its_field(change: dict[str, object], named: str) -> None:
    assert named in refused(COMMAND | change)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weights": [1.0]}, "weights"),
        ({"weights": [0.4, 0.4]}, "weights"),
        ({"weights": [0.4, 0.3, 0.3]}, "weights"),
        ({"winner": "demo-z"}, "winner"),
        ({"status": "paused"}, "status"),
        ({"epoch": -1}, "epoch"),
        ({"pageviews": [-1, 2]}, "pageviews.0"),
    ],
)
def test_a_wrong_state_names_its_field(change: dict[str, object], named: str) -> None:
    assert named in refused(STATE | change, ExperimentState)


def test_states_are_ordered_by_epoch_then_experiment_then_number() -> None:
    state = decode_model(ExperimentState, json.dumps(STATE).encode())
    later = [{"number": 8}, {"started_ms": state.started_ms + 1, "number": 0}, {"epoch": 4, "number": 0}]
    orders = [state.order] + [
        decode_model(ExperimentState, json.dumps(STATE | change).encode()).order for change in later
    ]
    assert orders == sorted(orders)


def test_past_weights_are_bounded() -> None:
    points = [(n, [0.5, 0.5]) for n in range(MOST_POINTS + 1)]
    record = {"experiment_id": ID, "lp_id": "demo-a", "points": points}
    with pytest.raises(DecodeError, match="points"):
        decode_model(PastWeights, json.dumps(record).encode())
