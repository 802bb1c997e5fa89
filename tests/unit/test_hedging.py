"""Hedged model calls: the delay before a hedge, how many are allowed, and their cost."""

from infra.llm.call_log import CallLog
from infra.llm.endpoint import Endpoint
from infra.llm.hedging import ENOUGH, REMEMBERED, Allowance, FirstTokens
from infra.llm.usage import Usage


def test_p90_uses_the_latest_times_only() -> None:
    times = FirstTokens()
    for number in range(ENOUGH - 1):
        times.learn(number)
        assert times.p90() is None
    times.learn(ENOUGH - 1)
    assert times.p90() == 17  # nearest rank: the 18th of 0..19
    for _ in range(REMEMBERED):
        times.learn(0.5)
    assert times.p90() == 0.5


def test_hedges_are_a_tenth_of_calls_without_large_savings() -> None:
    allowance = Allowance(0.1)
    hedges = 0
    for _ in range(1_000):
        allowance.earn()
        hedges += allowance.take()
    assert 99 <= hedges <= 100
    for _ in range(10_000):
        allowance.earn()
    assert sum(allowance.take() for _ in range(100)) <= 5


def test_cost_is_rounded_up_and_reservations_cover_it() -> None:
    endpoint = Endpoint("one", "http://127.0.0.1", "key", "m", micro_jpy_input=23_250_000, micro_jpy_output=93_000_000)
    assert (
        endpoint.cost(Usage(1, 0)) == 24
        and endpoint.cost(Usage(0, 1)) == 93
        and endpoint.cost(Usage(1_000_000, 0)) == 23_250_000
    )
    text = "ラーメン"
    most = endpoint.most([{"role": "user", "content": text}], 100)
    assert most >= endpoint.cost(Usage(len(text.encode()) + 8, 100))


def test_parallel_calls_count_their_wall_time_once() -> None:
    now = 0.0
    trail = CallLog(lambda: now)
    with trail.calling():
        now = 1.0
        with trail.calling():
            now = 3.0
        assert trail.provider_ms == 3_000
        now = 4.0
    now = 10.0
    with trail.calling():
        now = 11.0
    assert trail.provider_ms == 5_000
