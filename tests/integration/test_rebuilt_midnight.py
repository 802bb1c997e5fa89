"""A rebuild counts events around midnight once, whatever it copies or leaves out."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from aiokafka import TopicPartition
from rebuilding import LogOf, visit

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.migrate import migrate
from processors.heatmap.cuts import Cut
from processors.heatmap.decode import Fold, decode
from processors.heatmap.tiers import with_days_late
from streams.operate.bulk import Bulk
from streams.operate.marks import Mark
from streams.operate.rebuild_tables import Aside, NewTables

PLACE = TopicPartition("heatmap.events", 1)


@pytest.mark.parametrize("on_s3", [False, True])
async def test_a_rebuild_counts_a_bucket_around_midnight_once(server: ClickHouse, on_s3: bool) -> None:
    await migrate(server, timezone="Asia/Tokyo")
    today = datetime.now(UTC).date()
    midnight = int(datetime(today.year, today.month, today.day, tzinfo=UTC).timestamp()) * 1000
    records = [visit(0, midnight - 1_500, midnight - 3_000), visit(1, midnight + 1_000, midnight - 2_000)]
    fold = Fold()
    fold.add(decode([record.value for record in records], [record.timestamp for record in records]).columns)
    for name, rows in fold.tables().items():
        await server.insert(f"lpstream.{name}", with_days_late(rows, records[0].timestamp), name)
    yesterday = today - timedelta(1)
    if on_s3:
        await server.command(
            "INSERT INTO lpstream.tier_objects (source, day, object, revision, step, partitions)"
            f" VALUES ('heatmap_windows', '{yesterday}', 'moved', 1, 'settled', ['{yesterday:%Y%m%d}-0'])"
        )
        await server.command(f"ALTER TABLE lpstream.heatmap_windows DROP PARTITION ID '{yesterday:%Y%m%d}-0'")
    tables = NewTables(server)
    await tables.create()
    aside, log = Aside.open(server._url, "lpstream", "writes"), LogOf(PLACE, list[Any](records), 2)
    await Bulk(aside, lambda: None).read(log, {}, {PLACE: Mark(0, Cut(50_000))})  # type: ignore[arg-type]
    await aside.close()
    await tables.keep_older_days(date.min if on_s3 else today)
    await tables.exchange()
    rows = await server.rows("SELECT sum(pageviews) AS n FROM lpstream.heatmap_windows")
    assert int(rows[0]["n"]) == (0 if on_s3 else 2)
    await tables.finish()
