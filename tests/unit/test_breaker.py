"""The circuit breaker's states, on a fake clock."""

from infra.llm.breaker import Breaker, State


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def call(breaker: Breaker, succeeded: bool | None) -> None:
    """Make a call that succeeds, fails or is cancelled (None)."""
    permit = breaker.begin()
    assert permit is not None
    breaker.end(permit, succeeded)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        call(breaker, False)


def test_five_failures_in_a_row_open_the_breaker() -> None:
    breaker = Breaker(clock=Clock())
    fail(breaker, 4)
    call(breaker, True)
    fail(breaker, 4)
    assert breaker.state == "closed"
    fail(breaker, 1)
    assert breaker.state == "open" and breaker.begin() is None


def test_a_probe_after_a_minute_closes_or_reopens_the_breaker() -> None:
    clock, states = Clock(), list[State]()
    breaker = Breaker(clock=clock, on_change=states.append)
    fail(breaker, 5)
    clock.now += 59.9
    assert not breaker.allows()
    clock.now += 0.2
    assert breaker.state == "half_open"
    probe = breaker.begin()
    assert probe is not None and breaker.begin() is None, "one probe at a time"
    breaker.end(probe, False)
    assert breaker.state == "open" and breaker.begin() is None
    clock.now += 60.1
    call(breaker, True)
    assert breaker.state == "closed" and breaker.begin() is not None
    assert states == ["open", "half_open", "open", "half_open", "closed"]


def test_a_cancelled_probe_allows_the_next_probe() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    fail(breaker, 5)
    clock.now += 61
    call(breaker, None)
    assert breaker.state == "half_open" and breaker.begin() is not None


def test_calls_begun_before_opening_do_not_close_the_breaker() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    late = [breaker.begin() for _ in range(3)]
    fail(breaker, 5)
    for permit in late:
        assert permit is not None
        breaker.end(permit, True)
    assert breaker.state == "open"


def test_a_cancelled_call_does_not_reset_the_failure_count() -> None:
    breaker = Breaker(clock=Clock())
    fail(breaker, 4)
    call(breaker, None)
    fail(breaker, 1)
    assert breaker.state == "open"
