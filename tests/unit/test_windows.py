"""The 5-second windows of each partition: their start and end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.heatmap.cuts import SLICES
from schemas.heatmap import WINDOW_MS

PARTITIONS = st.integers(0, 10_000)


@given(st.integers(0, 2**53), PARTITIONS)
def test_a_bucket_lasts_five_seconds_and_borders_the_next(at: int, partition: int) -> None:
    index = SLICES.bucket_of(at, partition)
    end = SLICES.end_ms(index, partition)
    assert end - WINDOW_MS <= at < end
    assert (SLICES.bucket_of(end - 1, partition), SLICES.bucket_of(end, partition)) == (index, index + 1)


@pytest.mark.parametrize("count", [3, 6, 12, 48])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_the_buckets_of_a_worker_end_at_spread_times(count: int, workers: int) -> None:
    mine = range(0, count, workers)
    ends = sorted(SLICES.end_ms(0, partition) % WINDOW_MS for partition in mine)
    apart = [later - end for end, later in zip(ends, [*ends[1:], ends[0] + WINDOW_MS], strict=True)]
    assert max(apart) < 3 * WINDOW_MS / len(mine)
