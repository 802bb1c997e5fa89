"""A worker that restarts with a backlog: everything is counted, quickly and within bounded memory."""

import asyncio
import time

import pytest
from beacons import analyst
from harness import FULL, full_only, scaled

from infra.embedded.stack import Stack
from streams.local.installation import Installation
from streams.proof.bench.load import Load, fill

pytestmark = [full_only, pytest.mark.stack, pytest.mark.timeout(1_800)]
PER_SECOND, SIZE = 2_000, 20
MOST_MB = 1_500


async def test_a_backlog_is_drained_within_bounded_memory(stack: Stack, installation: Installation) -> None:
    """Drain ten minutes of the target load (2,000 beacons of 20 events per second).

    20 seconds in the short run.
    """
    seconds = scaled(20, 600)
    worker = installation.children["heatmap"]
    await asyncio.to_thread(worker.stop)
    filled = await fill(
        stack.addresses.kafka, Load(SIZE, round(PER_SECOND * seconds), seed=round(time.time())), seconds=seconds
    )
    clickhouse = analyst(stack)
    sql = "SELECT sum(events) AS events FROM heatmap_windows WHERE startsWith(lp_id, 'lp_')"
    before = int((await clickhouse.rows(sql))[0]["events"])
    started = time.monotonic()
    installation.launch("heatmap")
    first, most_mb, counted = 0.0, 0.0, 0
    while counted < filled.totals["events"] and time.monotonic() - started < 600:
        await asyncio.sleep(0.2)
        most_mb = max(most_mb, installation.children["heatmap"].memory_mb())
        counted = int((await clickhouse.rows(sql))[0]["events"]) - before
        first = first or (time.monotonic() if counted else 0.0)
    took = time.monotonic() - started
    await asyncio.sleep(3)
    counted = int((await clickhouse.rows(sql))[0]["events"]) - before
    await clickhouse.close()
    rate = counted / (took - (first - started)) if FULL else counted / took
    print(
        f"backlog of {seconds:g} s: {filled.load.records:,} beacons, {filled.load.events:,} events,"
        f" {filled.bytes / 1e6:,.0f} MB; drained in {took:.1f} s with the start of the process"
        f" (first events after {first - started:.1f} s): {rate:,.0f} events/s; most memory {most_mb:.0f} MB"
    )
    assert counted == filled.totals["events"]
    assert most_mb < MOST_MB
