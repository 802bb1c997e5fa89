"""Retried beacons: known for 30 minutes of the log, and the same ones after a replay."""

from infra.identities import ClosedBucket
from streams.identities import RETRY_WINDOW_MS, Identities

A, B, C = b"a" * 20, b"b" * 20, b"c" * 20


def test_a_second_one_is_a_retry_within_and_across_buckets() -> None:
    identities = Identities()
    assert identities.fresh([A, B, A], 1_000).tolist() == [True, True, False]
    identities.close_bucket(1_000, [A, B])
    assert identities.fresh([B, C], 6_000).tolist() == [False, True]


def test_after_thirty_minutes_of_the_log_it_counts_again() -> None:
    identities = Identities()
    identities.fresh([A], 0)
    identities.close_bucket(0, [A])
    assert identities.fresh([A, B], RETRY_WINDOW_MS).tolist() == [False, True]
    assert identities.fresh([A, C], RETRY_WINDOW_MS + 1).tolist() == [True, True]


def test_memory_holds_the_window_and_no_more() -> None:
    identities = Identities()
    for step in range(100):
        at = step * 60_000
        mine = [bytes([step]) * 20]
        identities.fresh(mine, at)
        identities.close_bucket(at, mine)
    assert len(identities.known) == len(identities.order) == 31


def test_forgetting_an_old_one_keeps_a_newer_count_of_the_same() -> None:
    identities = Identities()
    for at in (0, RETRY_WINDOW_MS + 1):
        identities.fresh([A, A + b""], at)
        identities.close_bucket(at, [A])
    assert identities.fresh([A], RETRY_WINDOW_MS + 2).tolist() == [False]


def test_loaded_buckets_decide_as_the_ones_that_were_counted() -> None:
    live, loaded = Identities(), Identities()
    live.fresh([A, B], 1_000)
    live.close_bucket(1_000, [A, B])
    kept = ClosedBucket(0, 1, 1_000, [A, B])
    again = ClosedBucket.from_bytes(kept.to_bytes())
    assert again == kept
    loaded.load([(again.timestamp_ms, again.identities)])
    for identities in (live, loaded):
        assert identities.fresh([B, C], 1_000 + RETRY_WINDOW_MS).tolist() == [False, True]
