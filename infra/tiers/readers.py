"""The wait for SELECTs that began before a step."""

import asyncio
import time

from infra.clickhouse.client import ClickHouse

LOOK_S = 0.05
# all running SELECTs except this query
READING = "SELECT query_id FROM system.processes WHERE query_kind = 'Select' AND query_id != queryID()"


async def readers_done(clickhouse: ClickHouse, patience_s: float) -> bool:
    """Return whether all SELECTs that run now end within `patience_s`.

    A SELECT that began before a step may still read the rows at their old place.
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
