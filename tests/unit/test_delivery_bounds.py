"""Limits of one bucket and of all buckets: bytes, rows per part, memory."""

import asyncio
import time

from test_delivery import TP0, TP1, Consumer, Record, World, cut, log_of, world_of

from processors.heatmap.cuts import MOST_BYTES, PART_ROWS, Cut
from streams.heatmap.delivery import Delivery
from streams.heatmap.lanes import Lanes


async def test_a_bucket_ends_before_it_exceeds_its_bytes() -> None:
    few = Cut(records=10, most_bytes=5)
    world = world_of(Consumer(metadata=few.metadata), few)
    values = [b"xx", b"xx", b"xx", b"xxxxxxxxx", b"x", b"x"]
    records = [Record(offset, 1_000 + offset, value) for offset, value in enumerate(values)]
    await world.read([*records, Record(6, 6_000)])
    assert [offsets for _, offsets in world.store.stored] == [[0, 1], [2], [3], [4, 5]]


async def test_cuts_by_bytes_do_not_depend_on_the_sizes_of_fetches() -> None:
    values = [b"x" * (1 + offset * 7 % 4) for offset in range(40)]
    records = [*(Record(offset, 1_000 + offset, value) for offset, value in enumerate(values)), Record(40, 6_000)]
    found = []
    for step in (1, 3, 41):
        few = Cut(records=100, most_bytes=11)
        world = world_of(Consumer(metadata=few.metadata), few)
        for at in range(0, 41, step):
            await world.read(records[at : at + step])
        found.append([token for token, _ in world.store.stored])
    assert found[0] == found[1] == found[2]
    assert len(found[0]) > 5


def test_commits_of_earlier_releases_have_no_byte_or_part_limit() -> None:
    earlier = "lpstream rule=2 window_ms=5000 phase_ms=3090 records=50000"
    found = Cut(records=7).parse(earlier)
    assert found is not None
    assert Cut(records=1).parse(found.metadata) == found
    assert min(found.most_bytes, found.part_rows) > 2**40
    ours = Cut(records=7)
    assert (ours.most_bytes, ours.part_rows) == (MOST_BYTES, PART_ROWS)
    assert Cut(records=1, most_bytes=1, part_rows=1).parse(ours.metadata) == ours


def memory_world(most_held: int) -> World:
    world = world_of(Consumer())
    world.delivery = Delivery(
        world.consumer,
        world.store.open_work,
        cut=Cut(records=100),
        skew_s=1.0,
        on_fatal=world.fatal.append,
        most_held=most_held,
        clock=lambda: time.monotonic() + world.clock.now,  # sleeps would advance a fake clock without end here
    )
    return world


async def test_only_the_oldest_bucket_grows_when_memory_is_short() -> None:
    world = memory_world(most_held=4)
    lanes = Lanes(world.delivery.on_slice, lambda tp: None, lambda tp: None, world.fatal.append)  # type: ignore[arg-type]
    for part in (*cut(TP0, 1, 1, log_of(1_000, 1_001, 1_002)), *cut(TP1, 1, 1, log_of(1_000, 1_001))):
        lanes.put(part)
        await asyncio.sleep(0.01)
        world.clock.now += 1.0
    for part in (*cut(TP1, 1, 2, [Record(2, 1_002)]), *cut(TP0, 1, 2, [Record(3, 1_003), Record(4, 1_004)])):
        lanes.put(part)
    await asyncio.sleep(0.05)
    open_now = {tp: state.bucket.last for tp, state in world.delivery.partitions.items() if state.bucket}
    assert open_now == {TP0: 4, TP1: 1}, "the second partition waits while the first continues"
    world.clock.now += 100.0
    assert [bucket.tp for bucket in world.delivery.overdue()] == [TP0]
    lanes.put(cut(TP0, 1, 3, [Record(5, 6_000)])[0])
    await lanes.join()
    await world.delivery.settle()
    assert world.store.stored == [("heatmap.events:0:0-4:1000", [0, 1, 2, 3, 4])]
    lanes.put(cut(TP1, 1, 3, [Record(3, 6_000)])[0])
    await lanes.join()
    await world.delivery.settle()
    assert world.consumer.commits == [(TP0, 5), (TP1, 3)]


async def test_a_partition_without_records_does_not_block_others() -> None:
    """The oldest bucket may belong to a partition that has stopped at an unreadable batch."""
    world = memory_world(most_held=1)
    lanes = Lanes(world.delivery.on_slice, lambda tp: None, lambda tp: None, world.fatal.append)  # type: ignore[arg-type]
    lanes.put(cut(TP0, 1, 1, log_of(1_000))[0])
    await lanes.join()
    world.clock.now += 60.0
    for part in cut(TP1, 1, 1, log_of(1_000, 1_001, 1_002, 6_000)):
        lanes.put(part)
    await asyncio.sleep(0.05)
    await lanes.join()
    await world.delivery.settle()
    assert world.store.stored == [("heatmap.events:1:0-2:1000", [0, 1, 2])]


async def test_an_unexpected_error_in_a_store_stops_the_worker() -> None:
    world = world_of(Consumer())

    async def broken(*_: object) -> None:
        raise MemoryError("no room for a part")

    await world.read(log_of(1_000))
    state = world.delivery.partitions[TP0]
    assert state.bucket is not None
    state.bucket.work.store = broken  # type: ignore[method-assign]
    await world.read([Record(1, 6_000)])
    assert [str(error) for error in world.fatal] == ["no room for a part"]
    assert world.consumer.commits == []


async def test_too_many_bad_records_pause_the_partition_without_a_commit() -> None:
    world = world_of(Consumer())
    world.consumer.commits.append((TP0, 900))
    await world.read([Record(900, 1_000), Record(901, 1_001)])
    await world.read([Record(902, 6_000)])
    assert world.consumer.braked == {TP0}
    assert world.store.stored == []
    assert world.consumer.commits == [(TP0, 900)]
