"""`lpstream experiment stop` ends the experiment that it has seen, and takes back no later winner."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from edge_listeners import TOKEN, RunningEdge, running_edge
from test_experiment_routes import DESIGN, ask, running

from processors.experiments.decisions import begun, stopped
from schemas.errors import LpstreamError
from schemas.experiments import ExperimentCommand
from schemas.generation import decode_model
from streams.cli import experiment

WON: dict[str, Any] = {"status": "decided", "winner": "demo-b", "number": 1, "weights": [0.0, 1.0]}


@pytest.fixture
async def edge(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningEdge]:
    async with running_edge() as one:
        monkeypatch.setattr(experiment, "private_api", lambda _: (one.private, TOKEN))
        monkeypatch.setattr(experiment, "WITHIN_S", 2.0)
        monkeypatch.setattr(experiment, "POLL_S", 0.01)
        yield one


async def sent(edge: RunningEdge, number: int) -> ExperimentCommand:
    """Return the last of so many commands when it has come."""
    while len(edge.records) < number:
        await asyncio.sleep(0.01)
    return decode_model(ExperimentCommand, edge.records[-1].value or b"")


def stopping() -> "asyncio.Task[None]":
    return asyncio.create_task(asyncio.to_thread(experiment.stop, "demo-a", Path(), False))


async def test_a_stop_after_the_decision_is_done_and_says_so(
    edge: RunningEdge, capsys: pytest.CaptureFixture[str]
) -> None:
    edge.services.experiments.take([state := running()])
    stop = stopping()
    assert (await sent(edge, 1)).takes_back is None
    edge.services.experiments.take([state.model_copy(update=WON)])
    await stop
    assert "the winner stays" in capsys.readouterr().out and len(edge.records) == 1


async def test_a_winner_since_the_look_is_not_taken_back(edge: RunningEdge, monkeypatch: pytest.MonkeyPatch) -> None:
    state = running()

    async def looked(*_: object, **__: object) -> dict[str, Any]:
        return state.model_dump(mode="json")

    monkeypatch.setattr(experiment, "state_at", looked)
    edge.services.experiments.take([state.model_copy(update=WON)])
    with pytest.raises(LpstreamError, match="take_back now, not stop"):
        await stopping()
    assert edge.records == []


@pytest.mark.parametrize("before", [None, WON])
async def test_a_stop_right_after_a_start_ends_the_new_experiment(
    edge: RunningEdge, before: dict[str, Any] | None
) -> None:
    if before is not None:
        edge.services.experiments.take([running(**before)])
    assert (await ask(edge, "POST", "/experiments", DESIGN))[0] == 202
    start, stop = await sent(edge, 1), stopping()
    assert ((ended := await sent(edge, 2)).experiment_id, ended.takes_back) == (start.experiment_id, None)
    state = begun(start, None, epoch=2, now_ms=start.requested_ms + 5, settle_s=0)
    edge.services.experiments.take([stopped(state, "stopped", epoch=2, now_ms=start.requested_ms + 9)])
    await stop


async def test_a_stop_while_none_runs_takes_the_winner_back(edge: RunningEdge) -> None:
    edge.services.experiments.take([won := running(**WON)])
    stop = stopping()
    assert (await sent(edge, 1)).takes_back == "demo-b"
    edge.services.experiments.take([won.model_copy(update={"status": "stopped", "winner": None, "number": 2})])
    await stop
