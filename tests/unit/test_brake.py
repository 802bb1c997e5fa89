"""The brake against rejected records, and the memory of the letters that wait."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from beacons import example_beacon
from test_delivery import TP0, Consumer

from infra.kafka.reading import Fetched
from processors.heatmap.brake import Brake
from processors.heatmap.cuts import Cut
from processors.heatmap.decode import decode
from streams.heatmap.agent import HeatmapBucket, opener
from streams.heatmap.bucket import Bucket, BucketWork
from streams.heatmap.delivery import Delivery
from streams.heatmap.identities import Identities
from streams.transports.dead_letters import MOST_ERROR, MOST_KEY
from streams.transports.slices import cut

NOW_MS, RUN, RATIO = 1_795_451_375_000, 100, 0.5
GOOD, BAD = msgspec.json.encode(example_beacon()), b"x"
TOO_MUCH = msgspec.json.encode(example_beacon(dt=[0, 0, 10**9]))


class Record(SimpleNamespace):
    """A record of the log, with a key and headers."""

    def __init__(self, offset: int, value: bytes, *, at_ms: int = NOW_MS, key: bytes = b"k") -> None:
        super().__init__(offset=offset, timestamp=at_ms, value=value, key=key, headers=[("h", b"x" * 1_000)])


class Stores:
    """Stores that keep the letters and drop the rest."""

    settings = SimpleNamespace(dlq_max_run=RUN, dlq_max_ratio=RATIO)

    def __init__(self) -> None:
        self.letters: list[tuple[bytes, bytes]] = []
        self.links = SimpleNamespace(keep=lambda *_: None, load=self._load)
        self.clickhouse = SimpleNamespace(insert=self._insert)

    async def _load(self, *_: object) -> Identities:
        return Identities()

    async def _insert(self, *_: object) -> None:
        pass

    async def next_part(self, parts: Any) -> Any:
        return next(parts, None)

    async def send(self, topic: str, partition: int | None, value: bytes, **rest: Any) -> None:
        self.letters.append((rest["key"], value))


async def deliver(values: Callable[[int], bytes], most: int, *, step_ms: int = 0, fetch: int = 16) -> tuple[int, int]:
    """Deliver a log of values until its partition is paused.

    Return the number of records read, or -1 if it is not paused, and the number of letters.
    """
    stores: Any = Stores()
    consumer = Consumer()
    consumer.metadata = Cut(50_000).metadata
    delivery = Delivery(consumer, opener(stores, {}), cut=Cut(50_000), skew_s=1.0, on_fatal=pytest.fail)
    for at in range(0, most, fetch):
        records: list[Any] = [
            Record(each, values(each), at_ms=NOW_MS + each * step_ms) for each in range(at, at + fetch)
        ]
        consumer.log_end = at + fetch
        for part in cut(TP0, 1, at, Fetched(at, records, at + fetch)):
            await delivery.on_slice(part)
        if consumer.braked:
            break
    await delivery.settle()
    return at + fetch if consumer.braked else -1, len(stores.letters)


LOGS: dict[str, tuple[Callable[[int], bytes], int]] = {
    "small records in one bucket": (lambda at: BAD, 0),
    "slow records": (lambda at: BAD, 600),
    "slow beacons that cause too much work": (lambda at: TOO_MUCH, 600),
    "records of which a bucket takes eight": (lambda at: BAD * 1_000_000, 0),
    "slow records, one beacon in four": (lambda at: BAD if at % 4 else GOOD, 600),
    "ticks between slow records": (lambda at: BAD if at % 2 else b"", 600),
}


@pytest.mark.parametrize("name", LOGS)
async def test_a_partition_pauses_wherever_its_buckets_end(name: str) -> None:
    values, step_ms = LOGS[name]
    read, letters = await deliver(values, 4 * RUN, step_ms=step_ms)
    assert 0 < read <= 2 * RUN + 16
    assert letters <= RUN


async def test_few_rejected_records_pause_no_partition() -> None:
    for step_ms in (0, 600):
        read, letters = await deliver(lambda at: GOOD if at % 4 else BAD, 8 * RUN, step_ms=step_ms, fetch=4 * RUN)
        assert read == -1
    assert letters > RUN


def noted(brake: Brake, values: list[bytes]) -> Brake:
    brake.add(decode(values, np.full(len(values), NOW_MS)))
    return brake


@pytest.mark.parametrize("size", [1, 3, 7, 60])
def test_a_run_does_not_depend_on_fetches(size: int) -> None:
    log = [GOOD, BAD, BAD, b"", BAD, GOOD, BAD, GOOD, GOOD, *[BAD] * 7, b"", GOOD, BAD, BAD]
    brake = Brake()
    for at in range(0, len(log), size):
        noted(brake, log[at : at + size])
    assert (brake.longest, brake.run) == (7, 2)


def test_old_counts_are_forgotten_when_a_bucket_begins() -> None:
    brake = noted(Brake(), [BAD, GOOD] * 10)
    brake.begin_bucket(21)
    assert brake.records == 20, "too few for a verdict"
    brake.begin_bucket(20)
    assert (brake.records, brake.rejected) == (0, 0)


def test_a_workers_first_bucket_is_judged_by_itself() -> None:
    """An earlier worker may have stored a part of it. It must not pause where that worker did not."""
    brake, alone = Brake(), Brake()
    brake.begin_bucket(RUN)
    for values in ([GOOD, BAD, BAD], [BAD] * 60, [GOOD] * 200, [BAD] * 150):
        noted(brake, values)
        noted(alone, values)
        assert brake == alone


def bucket_of(records: list[Any]) -> tuple[Bucket, BucketWork]:
    stores: Any = Stores()
    work = HeatmapBucket(stores, Identities(), NOW_MS)
    bucket = Bucket(TP0, Cut(50_000), 0, 0, 0, NOW_MS, work, 0.0)
    for part in cut(TP0, 1, 1, Fetched(0, records, len(records))):
        bucket.index = part.bucket
        assert bucket.take(part, part.records) == len(records)
    return bucket, work


def test_waiting_letters_keep_short_keys_and_count_them() -> None:
    _, work = bucket_of([Record(at, BAD, key=b"%d" % at + bytes(100_000)) for at in range(50)])
    assert isinstance(work, HeatmapBucket)
    held = [letter for letter in work._letters if len(letter.key or b"") > MOST_KEY]
    assert not held
    assert 50 * MOST_KEY <= work.held() < 50 * 3 * MOST_KEY


def test_waiting_letters_keep_short_errors() -> None:
    _, work = bucket_of([Record(0, msgspec.json.encode(example_beacon(device="a" * 500_000)))])
    assert isinstance(work, HeatmapBucket)
    assert [len(letter.error) for letter in work._letters] == [MOST_ERROR]
    assert work.held() > 500_000


async def test_an_inflated_value_waits_as_its_first_bytes() -> None:
    bucket, work = bucket_of([Record(0, b" " * 20_000_000)])
    assert work.held() < 2_100_000
    await work.store(bucket, lambda store, call: call())
    assert isinstance(work, HeatmapBucket)
    sent: Any = work._stores
    assert [(key, len(value) < 2_000_000) for key, value in sent.letters] == [(b"k", True)]
