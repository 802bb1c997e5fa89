"""Waiting for readers that began before a step."""

import asyncio
import time

from infra.clickhouse.client import ClickHouse

LOOK_S = 0.05
# what reads now, but for this question itself
READING = "SELECT query_id FROM system.processes WHERE query_kind = 'Select' AND query_id != queryID()"


async def readers_done(clickhouse: ClickHouse, patience_s: float) -> bool:
    """Whether all SELECTs that run now have ended within that time.

    One that began before a step may still look where rows were before it.
    """
    deadline = time.monotonic() + patience_s
    waited = await _reading(clickhouse)
    while waited:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(LOOK_S)
        waited &= await _reading(clickhouse)
    return True


async def _reading(clickhouse: ClickHouse) -> set[str]:
    return {row["query_id"] for row in await clickhouse.rows(READING)}
