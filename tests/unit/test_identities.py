"""Identities of beacons: retries are known for 30 minutes of the log, also after a read-back."""

import random

from infra.redis.identities import ClosedBucket
from streams.heatmap.identities import RETRY_WINDOW, Identities, most_of_partition

A, B, C = b"a" * 20, b"b" * 20, b"c" * 20


def test_a_repeated_identity_is_a_retry_within_and_across_slices() -> None:
    identities = Identities()
    assert identities.fresh([A, B, A], 1).tolist() == [True, True, False]
    assert identities.fresh([B, C], 2).tolist() == [False, True]


def test_an_identity_counts_again_after_thirty_minutes() -> None:
    identities = Identities()
    identities.fresh([A], 0)
    assert identities.fresh([A, B], RETRY_WINDOW).tolist() == [False, True]
    assert identities.fresh([A], 2 * RETRY_WINDOW).tolist() == [False], "the earlier retry restarts the 30 minutes"
    assert identities.fresh([A], 3 * RETRY_WINDOW + 1).tolist() == [True]


def test_memory_holds_only_the_retry_window() -> None:
    identities = Identities()
    for number in range(1_000):
        identities.fresh([number.to_bytes(20, "big")], number)
    assert len(identities.known) == len(identities.order) == RETRY_WINDOW + 1


def test_expiry_keeps_an_identity_that_was_seen_again() -> None:
    identities = Identities()
    identities.fresh([A], 0)
    identities.fresh([A], RETRY_WINDOW)
    identities.fresh([B], RETRY_WINDOW + 1)
    assert identities.fresh([A], RETRY_WINDOW + 2).tolist() == [False]


def test_the_last_thirty_minutes_restore_the_memory() -> None:
    rng = random.Random(17)
    log = [(number, [rng.randrange(40).to_bytes(20, "big") for _ in range(3)]) for number in range(0, 3_000, 7)]
    live = Identities()
    for number, identities in log:
        live.fresh(identities, number)
        read_back = Identities()
        for earlier, seen in log:
            if number - RETRY_WINDOW <= earlier <= number:
                read_back.see(seen, earlier)
        assert read_back.known == live.known


def test_a_full_memory_drops_the_oldest_beacons_first() -> None:
    identities = Identities(most=3)
    identities.fresh([A, A], 0)
    identities.fresh([B], 1)
    assert identities.fresh([C], 2).tolist() == [True], "the fourth beacon: all of number 0 is dropped"
    assert (identities.held, identities.early, set(identities.known)) == (2, 2, {B, C})
    assert identities.fresh([B, A], 2).tolist() == [False, True]


def test_a_topic_of_up_to_twelve_partitions_remembers_the_same_number() -> None:
    assert [count * most_of_partition(count) for count in (1, 3, 12)] == [3_600_000] * 3
    assert most_of_partition(48) == most_of_partition(12), "more partitions are for more beacons"


def test_the_current_number_is_never_dropped() -> None:
    identities = Identities(most=2)
    identities.fresh([A, B], 0)
    assert identities.fresh([C, A], 0).tolist() == [True, False] and identities.held == 4


def test_a_read_back_of_a_full_memory_drops_the_same_identities() -> None:
    rng = random.Random(18)
    live, log = Identities(most=20), []
    for number in sorted(rng.randrange(600) for _ in range(2_000)):
        log.append((number, [rng.randrange(40).to_bytes(20, "big") for _ in range(rng.randrange(9))]))
        live.fresh(log[-1][1], number)
        start = next(at for at, (earlier, _) in enumerate(log) if number - earlier <= RETRY_WINDOW)
        read_back, groups = Identities(most=20), {}
        for earlier, seen in log[start:]:
            groups.setdefault(earlier, []).extend(seen)
        for earlier, seen in groups.items():  # as in Redis: the slices of a bucket in one list
            read_back.see(seen, earlier)
        assert (read_back.known, read_back.held) == (live.known, live.held)


def test_a_closed_bucket_survives_a_round_trip() -> None:
    bucket = ClosedBucket(3, 9, 1_000, [(1, [A, B]), (2, []), (3, [C])])
    assert ClosedBucket.from_bytes(bucket.to_bytes()) == bucket
