"""The picture of the demo's loop: well formed, in two languages, with and without a verdict."""

from typing import Any
from uuid import UUID
from xml.etree import ElementTree

import pytest

from schemas.generation import Result
from streams.proof.loop import RATES, Loop
from streams.proof.loop_picture import drawn, verdict
from streams.proof.loop_visits import Seen

START_S = 1_795_451_374


def loop(**changes: Any) -> Loop:
    state = {
        "status": "decided",
        "arms": ["demo-a", "demo-b"],
        "winner": "demo-b",
        "reason": "arm 1 has <more> goals",
        "pageviews": [480, 620],
        "conversions": [24, 93],
        "rates": [(0.05, 0.03, 0.08), (0.15, 0.12, 0.19)],
        "started_ms": START_S * 1_000,
        "decided_ms": (START_S + 15) * 1_000,
        "history": [(START_S, [0.5, 0.5]), (START_S + 10, [0.2, 0.8]), (START_S + 15, [0.0, 1.0])],
    }
    seen = [Seen(START_S + at / 100, "demo-b" if at % 3 else "demo-a", at % 10 == 0, at < 1_500) for at in range(2_000)]
    record = {"demo-a": (667, 67), "demo-b": (1_333, 133)}
    variant = Result(request_id=UUID(int=1), tenant_id="demo", status="completed", lp_id="demo-b")
    return Loop({}, variant, state | changes, seen, record, record, 0)


def words(picture: str) -> str:
    return "\n".join(element.text or "" for element in ElementTree.fromstring(picture).iter())  # noqa: S314 - ours


def test_the_picture_shows_counts_rates_and_the_verdict() -> None:
    shown, truth = words(drawn(loop())), f"true rate 真の率 {RATES[1]:.0%}"
    for each in (
        "Winner after 1,100 counted visits: variant",
        "別案の勝ち",
        truth,
        "1,333",
        "20 s",
    ):
        assert each in shown


@pytest.mark.parametrize("status", ["running", "stopped"])
def test_an_experiment_without_a_winner_says_so(status: str) -> None:
    undecided = loop(status=status, winner=None)
    assert "No verdict after 1,100 visits: arm 1 has <more> goals" in words(drawn(undecided))
    assert verdict(undecided)[1] == "1,100回の訪問では、まだ判定できません"


def test_a_lost_visit_or_a_moved_visitor_does_not_hold() -> None:
    right = loop()
    assert right.holds
    assert not Loop({}, right.variant, right.state, right.seen, right.record, {"demo-a": (667, 67)}, 0).holds
    assert not Loop({}, right.variant, right.state, right.seen, right.record, right.record, 1).holds
