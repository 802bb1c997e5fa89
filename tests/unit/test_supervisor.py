"""Pauses between restarts of a dead child."""

import pytest

from streams.runtime import supervisor
from streams.runtime.supervisor import FIRST_S, HEALTHY_S, Restarts


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(supervisor, "time", made)
    return made


def pause_after(restarts: Restarts, clock: Clock, lived_s: float) -> float:
    """Let the child live and die; return how long the supervisor waits, to 0.1 s."""
    restarts.started()
    clock.now += lived_s
    died = clock.now
    while not restarts.due():
        assert restarts.pausing
        clock.now = round(clock.now + 0.1, 1)
    return round(clock.now - died, 1)


def test_pauses_double_up_to_the_longest(clock: Clock) -> None:
    restarts = Restarts(2.0)
    assert [pause_after(restarts, clock, 1.0) for _ in range(5)] == [0.5, 1.0, 2.0, 2.0, 2.0]


def test_a_healthy_run_begins_the_pauses_anew(clock: Clock) -> None:
    restarts = Restarts(10.0)
    for _ in range(4):
        pause_after(restarts, clock, 1.0)
    assert pause_after(restarts, clock, HEALTHY_S) == FIRST_S
