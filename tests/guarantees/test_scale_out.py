"""One and three workers make the same tables, and a popular page is spread over all partitions."""

import asyncio
import time
from typing import Any

import msgspec
import pytest
from beacons import PARTITIONS, SUMS, some_beacons
from brute_force import COLUMNS
from harness import full_only, scaled

from infra.clickhouse.client import ClickHouse
from infra.embedded.stack import Stack
from infra.kafka.producer import build_producer, partition_of
from streams.local.installation import Installation
from streams.local.prepare import settings_of
from streams.proof.load import beacons
from streams.proof.visitors import tally
from streams.runtime.stores import open_writer

pytestmark = pytest.mark.stack
SIZE = 100
HEX = b"0123456789abcdef"
NEXT = bytes.maketrans(HEX, HEX[1:] + HEX[:1])


async def produce(stack: Stack, load: list[tuple[bytes, bytes]]) -> list[int]:
    """Append all records; return their number by partition."""
    async with build_producer(stack.addresses.kafka, "apache") as producer:
        sent: list[Any] = []
        for pageview_id, body in load:
            sent.append(await producer.send("heatmap.events", body, partition=partition_of(pageview_id, PARTITIONS)))
        done = await asyncio.gather(*sent)
    return [sum(one.partition == number for one in done) for number in range(PARTITIONS)]


def renamed(load: list[tuple[bytes, bytes]], prefix: bytes) -> list[tuple[bytes, bytes]]:
    """Return the same beacons with other page names and other pageview ids."""
    out = []
    for pageview_id, body in load:
        other = pageview_id[:8].translate(NEXT) + pageview_id[8:]
        out.append((other, body.replace(pageview_id, other).replace(b'"lp_id":"lp_', b'"lp_id":"' + prefix)))
    return out


async def tables(clickhouse: ClickHouse, prefix: str) -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    for table, columns in COLUMNS.items():
        names = columns.split()
        keys = [name for name in names if name not in SUMS]
        shown = [f"substring(lp_id, {len(prefix) + 1}) AS lp" if name == "lp_id" else name for name in keys]
        sums = [f"sum({name}) AS {name}" for name in names if name in SUMS]
        sql = (
            f"SELECT {', '.join([*shown, *sums])} FROM {table} WHERE startsWith(lp_id, '{prefix}')"
            f" GROUP BY {', '.join(keys)}"
        )
        found[table] = sorted(tuple(row.values()) for row in await clickhouse.rows(sql))
    return found


async def counted(clickhouse: ClickHouse, prefix: str, events: int) -> float:
    """Wait until `events` are counted; return the seconds."""
    started = time.monotonic()
    sql = f"SELECT sum(events) AS n FROM heatmap_windows WHERE startsWith(lp_id, '{prefix}')"
    while time.monotonic() - started < 240:
        n = int((await clickhouse.rows(sql))[0]["n"])
        if n >= events:
            assert n == events
            return time.monotonic() - started
        await asyncio.sleep(0.2)
    raise AssertionError(f"{n} of {events} events")


@full_only
async def test_one_and_three_workers_make_the_same_tables(stack: Stack, installation: Installation) -> None:
    count = int(scaled(2_000, 10_000))
    load = list(beacons(SIZE, count, now_ms=int(time.time() * 1000)))
    # The load has no elements, these visits have.
    visits = some_beacons("lp_elements", 100)
    load += [(beacon["pageview_id"].encode(), msgspec.json.encode(beacon)) for beacon in visits]
    events = SIZE * count + tally(visits).total()
    clickhouse = open_writer(settings_of(stack))
    await produce(stack, renamed(load, b"one_"))
    alone = await counted(clickhouse, "one_", events)
    others = [installation.spare("heatmap", number) for number in (1, 2)]
    for other in others:
        other.start()
    await asyncio.sleep(12)
    await produce(stack, renamed(renamed(load, b"lp_"), b"three_"))
    together = await counted(clickhouse, "three_", events)
    first, second = await tables(clickhouse, "one_"), await tables(clickhouse, "three_")
    for other in others:
        await asyncio.to_thread(other.stop)
    await clickhouse.close()
    print(
        f"{events:,} events: one worker {alone:.1f} s, three {together:.1f} s after the last was appended; rows "
        + ", ".join(f"{table} {len(rows):,}" for table, rows in first.items())
    )
    assert first == second and all(first.values())


@full_only
async def test_a_hot_page_is_spread_over_the_partitions(stack: Stack, installation: Installation) -> None:
    load = list(beacons(1, 6_000, lps=1, now_ms=int(time.time() * 1000)))
    by_partition = await produce(stack, renamed(load, b"hot_"))
    print("records of one page by partition:", by_partition)
    assert min(by_partition) > 0.7 * max(by_partition)
