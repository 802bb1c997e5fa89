"""The wait for SELECTs that began before a step, and for replicas that do not know the step yet."""

import asyncio
import time

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.replication import ON_CLUSTER
from schemas.errors import Retryable

POLL_S = 0.05
# all running SELECTs except this query
READING = "SELECT query_id FROM system.processes WHERE query_kind = 'Select' AND query_id != queryID()"
# the same on all replicas; `queryID()` would be another on each
READING_ANYWHERE = (
    "SELECT concat(hostName(), ' ', query_id) AS query_id FROM clusterAllReplicas('{cluster}', system.processes)"
    " WHERE query_kind = 'Select' AND initial_query_id != initialQueryID()"
)
# Tables are replicated one by one: without this a replica may drop a day's partitions before it knows the object that
# holds the day now, so no query there would find the day.
KNOW_STEPS = f"SYSTEM SYNC REPLICA {ON_CLUSTER} lpstream.tier_objects"
# The views read 0 rows of an object whose table a replica does not have yet.
KNOW_TABLES = f"SYSTEM SYNC DATABASE REPLICA {ON_CLUSTER} lpstream_warm"


async def readers_done(clickhouse: ClickHouse, patience_s: float, *, cluster: bool = False) -> bool:
    """Return whether all replicas know steps and tables, and running SELECTs end within `patience_s`.

    A SELECT that began before a step may still read the rows at their old place. Without `cluster` there is one server.
    """
    deadline = time.monotonic() + patience_s
    if cluster and not await _steps_are_known(clickhouse):
        return False
    waited = await _reading(clickhouse, cluster)
    while waited:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(POLL_S)
        waited &= await _reading(clickhouse, cluster)
    return True


async def _steps_are_known(clickhouse: ClickHouse) -> bool:
    """Return False if a replica is away or lags for longer than `distributed_ddl_task_timeout`."""
    try:
        await clickhouse.command(KNOW_STEPS)
        await clickhouse.command(KNOW_TABLES)
    except Retryable:
        return False
    return True


async def _reading(clickhouse: ClickHouse, cluster: bool) -> set[str]:
    return {row["query_id"] for row in await clickhouse.rows(READING_ANYWHERE if cluster else READING)}
