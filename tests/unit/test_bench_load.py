"""The benchmark's load: its totals equal the fold's counts, and its partitions equal the edge's."""

from collections import Counter
from uuid import UUID

import msgspec
import numpy as np
import pytest

from infra.kafka.producer import partition_of
from processors.heatmap.decode import Fold, decode
from streams.proof.bench.load import Filled, Load, partitions_of, records

NOW_MS = 1_795_000_000_000
PARTITIONS = 12


def produced(load: Load) -> tuple[Filled, list[tuple[int, bytes]]]:
    filled = Filled(load)
    return filled, list(records(load, PARTITIONS, filled, NOW_MS))


@pytest.mark.parametrize("size", [1, 10, 100])
def test_the_fold_counts_equal_the_loads_totals(size: int) -> None:
    filled, made = produced(Load(size, 300, lps=7, pool=50))
    values = [body for _, body in made]
    decoded = decode(values, np.full(len(values), NOW_MS))
    fold = Fold()
    fold.add(decoded.columns)
    windows = fold.tables()["heatmap_windows"]
    counted = {name: sum(windows[name].to_pylist()) for name in filled.totals}
    assert decoded.rejected == []
    assert decoded.skewed == 0
    assert counted == dict(filled.totals)
    assert filled.totals["events"] == size * 300 == filled.load.events
    assert filled.bytes == sum(map(len, values))


def test_beacons_are_unique_and_in_the_edges_partition() -> None:
    _, made = produced(Load(10, 400, pool=20))
    identities: set[tuple[str, int]] = set()
    for partition, body in made:
        beacon = msgspec.json.decode(body)
        identities.add((beacon["pageview_id"], beacon["seq"]))
        assert partition == partition_of(beacon["pageview_id"].encode(), PARTITIONS)
    assert len(identities) == len(made)
    assert min(Counter(partition for partition, _ in made).values()) > 400 / PARTITIONS / 3


def test_the_load_has_the_requested_pages_time_span_and_bodies() -> None:
    load = Load(10, 3_000, lps=5, span_ms=30_000, pool=2_500)
    beacons = [msgspec.json.decode(body) for _, body in produced(load)[1]]
    times = [beacon["t0"] for beacon in beacons]
    assert {beacon["lp_id"] for beacon in beacons} == {f"lp_{number:05d}" for number in range(5)}
    assert 25_000 < max(times) - min(times) <= 35_000
    assert max(times) <= NOW_MS
    assert len({msgspec.json.encode([beacon["x"], beacon["y"], beacon["dt"]]) for beacon in beacons}) > 1_000


def test_the_same_seed_makes_the_same_log() -> None:
    load = Load(10, 100, pool=30)
    assert produced(load)[1] == produced(load)[1]
    assert produced(load)[1] != produced(Load(10, 100, pool=30, seed=2))[1]


@pytest.mark.parametrize("partitions", [1, 3, 12, 48])
def test_keys_in_bulk_get_the_same_partition_as_one_by_one(partitions: int) -> None:
    keys = [str(UUID(int=number**9 + number)).encode() for number in range(500)]
    assert partitions_of(keys, partitions) == [partition_of(key, partitions) for key in keys]
