"""A slow Redis delays no bucket, and the log has the identities that Redis lacks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from faust.types import TP

from infra.redis.identities import ClosedBucket
from streams.heatmap import identity_links
from streams.heatmap.identity_links import IdentityLinks
from streams.transports.slices import Slice

A, B = b"a" * 20, b"b" * 20
BUCKET = ClosedBucket(5, 9, 10_000_000, [(2_000, [A])])


class Record:
    offset, timestamp = 10, 10_005_000


def first_slice(partition: int) -> Slice:
    return Slice(TP("heatmap.events", partition), 1, 1, 2_001, [Record()], 10, 11)


class SilentRedis:
    """A fake Redis that never finishes a call."""

    calls = 0

    async def put(self, *_: Any) -> None:
        self.calls += 1
        await asyncio.Event().wait()

    async def newest_first(self, *_: Any) -> AsyncIterator[ClosedBucket]:
        self.calls += 1
        if self.calls > 1:
            await asyncio.sleep(0.001)
        yield BUCKET
        await asyncio.Event().wait()


@pytest.fixture
def links(monkeypatch: pytest.MonkeyPatch) -> IdentityLinks:
    """Return links over a silent Redis, with short timeouts."""
    monkeypatch.setattr(identity_links, "LOAD_S", 0.05)
    monkeypatch.setattr(identity_links, "KEEP_S", 0.05)

    async def partitions(_bootstrap: str, _topic: str) -> list[int]:
        return [0, 1, 2]

    return IdentityLinks(SilentRedis(), "", partitions)


async def test_storing_identities_does_not_block(links: IdentityLinks) -> None:
    for _ in range(2 * identity_links.MOST_KEEPING):
        links.keep(TP("heatmap.events", 0), BUCKET)
    assert len(links._keeping) == identity_links.MOST_KEEPING
    await links.close()
    assert links._keeping == set()


async def test_partitions_share_one_load_timeout(links: IdentityLinks, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []

    async def read_back(_: str, __: str, partition: int, ___: int, end: int) -> AsyncIterator[list[Any]]:
        read.append((partition, end))
        return
        yield

    monkeypatch.setattr(identity_links, "read_back", read_back)
    loop = asyncio.get_running_loop()
    known = [await links.load(first_slice(0), 10, 0)]
    until = links._load_until
    known += [await links.load(first_slice(partition), 10, 0) for partition in (1, 2)]
    assert links._load_until == until < loop.time()
    assert read[0] == (0, 5), "buckets that Redis returned in time are not read again"
    assert read[1:] == [(1, 10), (2, 10)]
    assert set(known[0].known) == {A}
