"""The breaker's states, by a clock of the test's own."""

from infra.llm.breaker import Breaker, State


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        permit = breaker.begin()
        assert permit is not None
        breaker.end(permit, False)


def test_five_failures_in_a_row_open_it_and_a_success_between_does_not() -> None:
    breaker = Breaker(clock=Clock())
    fail(breaker, 4)
    permit = breaker.begin()
    assert permit is not None
    breaker.end(permit, True)
    fail(breaker, 4)
    assert breaker.state == "closed"
    fail(breaker, 1)
    assert breaker.state == "open" and breaker.begin() is None


def test_one_probe_after_a_minute_closes_it_or_opens_it_again() -> None:
    clock, told = Clock(), list[State]()
    breaker = Breaker(clock=clock, on_change=told.append)
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
    probe = breaker.begin()
    assert probe is not None
    breaker.end(probe, True)
    assert breaker.state == "closed" and breaker.begin() is not None
    assert told == ["open", "half_open", "open", "half_open", "closed"]


def test_a_probe_that_is_called_off_leaves_room_for_the_next() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    fail(breaker, 5)
    clock.now += 61
    probe = breaker.begin()
    assert probe is not None
    breaker.end(probe, None)
    assert breaker.state == "half_open" and breaker.begin() is not None


def test_calls_from_before_it_opened_say_nothing_afterwards() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    late = [breaker.begin() for _ in range(3)]
    fail(breaker, 5)
    for permit in late:
        assert permit is not None
        breaker.end(permit, True)
    assert breaker.state == "open"


def test_called_off_calls_do_not_break_a_row_of_failures() -> None:
    breaker = Breaker(clock=Clock())
    fail(breaker, 4)
    permit = breaker.begin()
    assert permit is not None
    breaker.end(permit, None)
    fail(breaker, 1)
    assert breaker.state == "open"
