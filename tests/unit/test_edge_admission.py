"""The edge's admission: rates and reservations of memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.tenants import Tenants
from streams.edge.http.admission import LEAST_BODY, Admission
from streams.edge.http.errors import HttpError
from streams.edge.http.rates import BURST_S, UNKNOWN, Rate
from streams.runtime.settings import Settings


def settings(**values: object) -> Settings:
    return Settings.model_construct(**{**Settings().model_dump(), **values})


def admission(**values: object) -> Admission:
    return Admission(settings(**values), Tenants([]))


def taken(rate: Rate, key: bytes, times: list[float]) -> int:
    return sum(rate.wait(key, now) == 0.0 for now in times)


def test_a_burst_passes_then_the_rate_applies() -> None:
    rate = Rate(10)
    assert taken(rate, b"a", [100.0] * 500) == 10 * BURST_S
    assert taken(rate, b"a", [101.0] * 500) == 10
    assert taken(rate, b"b", [101.0] * 500) == 10 * BURST_S, "each client has its own bucket"


def test_a_client_passes_after_its_wait() -> None:
    rate = Rate(2)
    taken(rate, b"a", [0.0] * 100)
    wait = rate.wait(b"a", 0.0)
    assert wait > 0
    assert rate.wait(b"a", wait - 0.01) > 0
    assert rate.wait(b"a", wait) == 0.0


def test_a_rate_below_one_per_burst_still_admits_one_request() -> None:
    rate = Rate(0.01)
    assert [rate.wait(b"a", now) == 0.0 for now in (0.0, 1.0, 99.0, 100.0)] == [True, False, False, True]


def test_a_rate_of_zero_is_no_limit() -> None:
    assert taken(Rate(0), b"a", [0.0] * 10_000) == 10_000


@given(st.lists(st.floats(0, 1_000), max_size=300), st.floats(0.5, 50))
def test_no_window_admits_more_than_burst_and_rate(times: list[float], per_second: float) -> None:
    rate = Rate(per_second)
    passed = [now for now in sorted(times) if rate.wait(b"a", now) == 0.0]
    for first, start in enumerate(passed):
        for last in range(first, len(passed)):
            assert last - first + 1 <= per_second * (BURST_S + passed[last] - start) + 1.001


def test_quiet_clients_are_dropped_and_their_number_is_bounded() -> None:
    rate = Rate(1, most=3)
    for number in range(10):
        rate.wait(bytes([number]), 0.0)
    assert len(rate) == 3
    assert taken(rate, b"\x00", [0.0] * 100) == BURST_S - 1
    rate.forget(100.0)
    assert len(rate) == 0


def test_a_clients_hash_differs_between_processes() -> None:
    one, other = admission(), admission()
    assert one.client_of("192.0.2.7") == one.client_of("192.0.2.7") != one.client_of("192.0.2.8")
    assert one.client_of("192.0.2.7") != other.client_of("192.0.2.7")
    assert one.client_of("2001:db8::1") == one.client_of("2001:db8::ffff") != one.client_of("2001:db8:0:1::1")
    assert one.client_of("nobody") == UNKNOWN


def test_the_client_rate_limits_one_client_only() -> None:
    one = admission(edge_client_rate=1.0, edge_rate=1_000.0)
    mine, others = one.client_of("192.0.2.7"), one.client_of("192.0.2.8")
    for _ in range(int(BURST_S)):
        one.check_rate(mine)
    with pytest.raises(HttpError) as refused:
        one.check_rate(mine)
    assert refused.value.status == 429 and refused.value.retry_after_s == 1
    one.check_rate(others)


def test_reserved_bytes_are_released_after_an_error() -> None:
    one = admission(edge_max_in_flight_bytes=2**20)
    with pytest.raises(HttpError) as refused, one.room() as room:
        room.grow(2**20)
        room.grow(2**19)
        assert one.bytes == 2**20
        room.grow(2**20 + 1)
    assert refused.value.status == 503
    assert one.bytes == 0


def test_concurrent_requests_are_bounded() -> None:
    one = admission(edge_max_requests=1)
    one.begin()
    with pytest.raises(HttpError):
        one.begin()
    one.end()
    one.begin()


def test_expected_body_bytes_are_bounded_for_each_client() -> None:
    one = admission(edge_client_body_bytes=2 * LEAST_BODY, edge_max_body_bytes=2 * LEAST_BODY)
    mine, others = one.client_of("192.0.2.7"), one.client_of("192.0.2.8")
    small = [one.arriving(mine, 1), one.arriving(mine, 1)]
    with pytest.raises(HttpError) as refused:
        one.arriving(mine, 1)
    assert refused.value.status == 429
    one.arriving(others, None)
    for body in (*small, *small):  # released twice: at the end of the body and of its request
        body.release()
    with pytest.raises(HttpError):
        one.arriving(mine, 2 * LEAST_BODY + 1)
    one.arriving(mine, None).release()


def test_zero_is_no_limit_for_expected_body_bytes() -> None:
    one = admission(edge_client_body_bytes=0)
    for _ in range(1_000):
        one.arriving(UNKNOWN, None)
