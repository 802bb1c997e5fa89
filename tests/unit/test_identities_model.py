"""A search for a beacon that workers count although it is a retry, or drop although it is new.

Hypothesis makes a log of one partition, cuts it into buckets, loses some buckets' identities in Redis, and lets another
worker take over at some boundaries. A plain reading of the log says which beacons count.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from infra.kafka.reading import Fetched
from infra.redis.identities import ClosedBucket
from streams.heatmap import identity_links
from streams.heatmap.identities import RETRY_WINDOW, Identities
from streams.heatmap.identity_links import IdentityLinks
from streams.transports.slices import Slice, cut

TP0 = TP("heatmap.events", 0)
START_MS = 1_800_000_000_000
# around a slice, around the retry window, and beyond it
GAPS_MS = (0, 900, 5_000, 60_000, 10 * 60_000, 29 * 60_000, 31 * 60_000)


@dataclass(frozen=True)
class Record:
    """A record whose value is the identity of its beacon; a tick has none."""

    offset: int
    timestamp: int
    value: bytes


@dataclass
class Redis:
    """Closed buckets by their last offset, as infra.redis.identities chains them."""

    buckets: dict[int, ClosedBucket] = field(default_factory=dict)

    async def put(self, *_: Any) -> None:
        raise AssertionError("the model stores buckets itself")

    async def newest_first(self, _t: str, _p: int, boundary: int, oldest_ms: int) -> AsyncIterator[ClosedBucket]:
        last = boundary - 1
        while (bucket := self.buckets.get(last)) is not None:
            yield bucket
            if bucket.timestamp_ms < oldest_ms or bucket.begin > last:
                return
            last = bucket.begin - 1


Step = tuple[int, int | None, bool, bool, bool]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(GAPS_MS),
        st.one_of(st.none(), st.integers(0, 3)),
        st.booleans(),  # whether a bucket ends behind the record
        st.booleans(),  # whether Redis loses the bucket
        st.booleans(),  # whether another worker takes over there
    ),
    min_size=1,
    max_size=40,
)


def log_of(steps: Sequence[Step]) -> list[Record]:
    now, records = START_MS, []
    for offset, (gap_ms, identity, *_) in enumerate(steps):
        now += gap_ms
        records.append(Record(offset, now, b"" if identity is None else bytes([identity]) * 20))
    return records


def slices_of(records: list[Record]) -> list[Slice]:
    return list(cut(TP0, 1, 1, Fetched(records[0].offset, records, records[-1].offset + 1)))


def counted(records: list[Record]) -> list[bool]:
    """Return which beacons of the log count, by the rule alone."""
    last: dict[bytes, int] = {}
    flags = []
    for part in slices_of(records):
        for record in part.records:
            if record.value:
                seen = last.get(record.value)
                flags.append(seen is None or part.bucket - seen > RETRY_WINDOW)
                last[record.value] = part.bucket
    return flags


async def worked(steps: Sequence[Step], records: list[Record]) -> list[bool]:
    """Return which beacons the workers count."""

    async def partitions(_bootstrap: str, _topic: str) -> list[int]:
        return [0, 1, 2]

    redis = Redis()
    links, identities, begin, flags = IdentityLinks(redis, "", partitions), Identities(), 0, []
    for at, (_, _, ends, lost, taken_over) in enumerate(steps):
        if not ends and at + 1 < len(steps):
            continue
        seen = []
        for part in slices_of(records[begin : at + 1]):
            names = [record.value for record in part.records if record.value]
            if names:
                flags += identities.fresh(names, part.bucket).tolist()
                seen.append((part.bucket, names))
        if not lost:
            redis.buckets[at] = ClosedBucket(begin, at, records[begin].timestamp, seen)
        begin = at + 1
        if taken_over and begin < len(records):
            identities = await links.load(slices_of(records[begin:])[0], begin, 0)
    return flags


@given(STEPS)
def test_workers_count_what_the_log_says(steps: list[Step]) -> None:
    records = log_of(steps)

    async def read_back(_b: str, _t: str, _p: int, oldest_ms: int, end: int) -> AsyncIterator[list[Record]]:
        if wanted := [record for record in records[:end] if record.timestamp >= oldest_ms]:
            yield wanted

    def decoded_of(some: list[Record]) -> Any:
        return SimpleNamespace(identities=[record.value for record in some if record.value])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity_links, "read_back", read_back)
        patch.setattr(identity_links, "decoded_of", decoded_of)
        assert asyncio.run(worked(steps, records)) == counted(records)
