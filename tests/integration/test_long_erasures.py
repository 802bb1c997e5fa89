"""Erasures of many pages: their ids do not fit into a URL."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.migrate import migrate
from infra.tiers.hot import HotTables
from schemas.tiers import Erasure

NOW = datetime.now(UTC).replace(microsecond=0)
PAGES = [f"acme-{number:016x}" for number in range(2_000)]


async def test_an_erasure_of_two_thousand_pages_is_carried_out(server: ClickHouse) -> None:
    await migrate(server, timezone="Asia/Tokyo")
    at = pa.array([NOW - timedelta(hours=1)] * 2_001, pa.timestamp("s", "UTC"))
    rows = pa.table({"lp_id": [*PAGES, "other-1"], "window_start": at, "pageviews": [1] * 2_001})
    await server.insert("lpstream.heatmap_windows", rows, "token")
    hot, erasure = HotTables(server), Erasure(1, tuple(PAGES), "", NOW)
    assert (await hot.concerned(erasure))["heatmap_windows"] == len(PAGES)
    partitions = [part.name for part in await hot.partitions() if part.source == "heatmap_windows"]
    assert (await hot.fingerprint("heatmap_windows", partitions)).rows == 2_001
    assert (await hot.fingerprint("heatmap_windows", partitions, [erasure])).rows == 1
    assert await hot.erase(erasure) == len(PAGES)
    assert await hot.lp_ids("heatmap_windows", partitions) == ("other-1",)
