"""The new tables of a rebuild: created beside the live tables, completed from them, then exchanged."""

import re
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.replication import ON_CLUSTER
from infra.tiers.hot import HotTables
from infra.tiers.ledger import Ledger
from processors.heatmap.fold import TABLES
from schemas.heatmap import LATE_LIMIT_MS
from schemas.tiers import HotPartition, Step
from streams.operate.replay import Log

LIVE = "lpstream"
# The prefix of the new tables. They are in the live database, because a database of engine Replicated cannot exchange
# tables with another database.
ASIDE = "rebuild_"
# Some buckets are inserted by a worker and by the rebuild. The tables' DDL has this deduplication window. A smaller
# window is widened while the rebuild runs.
WINDOW = 20_000
UNEXPLAINED = (
    "SELECT count() AS n, max(window_start) AS newest FROM lpstream.heatmap_windows WHERE days_late = 0"
    " AND toUnixTimestamp(window_start) < {first:Int64} AND window_start NOT IN"
    " (SELECT window_start FROM lpstream.rebuild_heatmap_windows)"
)
_WINDOW = re.compile(r"\b((?:non_)?replicated_deduplication_window) = (\d+)")


class Aside(ClickHouse):
    """A ClickHouse client that inserts into the new tables."""

    async def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert rows into the new table, as ClickHouse.insert does."""
        await super().insert(ASIDE + table, rows, token)


class NewTables:
    """The tables whose names begin with `ASIDE`. After the exchange these are the old tables."""

    def __init__(self, clickhouse: ClickHouse, *, cluster: bool = False) -> None:
        """Set the client, and whether the tables are replicated."""
        self._clickhouse = clickhouse
        self._cluster = cluster
        self._windows: dict[str, tuple[str, int]] = {}

    async def create(self) -> None:
        """Create empty tables, and drop those that an earlier rebuild has left."""
        await self._drop()
        for table in TABLES:
            await self._clickhouse.command(f"CREATE TABLE {LIVE}.{ASIDE}{table} AS {LIVE}.{table}")
            await self._widen(table)

    async def _drop(self) -> None:
        for table in TABLES:
            await self._clickhouse.command(f"DROP TABLE IF EXISTS {LIVE}.{ASIDE}{table} SYNC")

    async def _widen(self, table: str) -> None:
        sql = "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}"
        engine = (await self._clickhouse.rows(sql, {"database": LIVE, "table": ASIDE + table}))[0]["engine_full"]
        setting = _WINDOW.search(engine)
        name, window = (setting[1], int(setting[2])) if setting else ("non_replicated_deduplication_window", 0)
        if window < WINDOW:
            self._windows[table] = name, window
            await self._clickhouse.command(f"ALTER TABLE {LIVE}.{ASIDE}{table} MODIFY SETTING {name} = {WINDOW}")

    async def first_whole_day(self, log: Log) -> date:
        """Return the first day (UTC) of which the log has all records, or date.min if it has lost none."""
        cut_off = [log.first_ms[place] for place, begin in log.begins.items() if begin and place in log.first_ms]
        days = [_day(max(cut_off) + LATE_LIMIT_MS)] if cut_off else []
        if not all(log.begins.values()) and (window := await self._unexplained(log)) is not None:
            days.append(window.date())
        return max(days) + timedelta(days=1) if days else date.min

    async def _unexplained(self, log: Log) -> datetime | None:
        """Return the newest window that is older than the log and not in the new tables, if any.

        Such a window shows that the topic was created again and lost records.
        """
        first_ms = min(log.first_ms.values(), default=2**42)
        row = (await self._clickhouse.rows(UNEXPLAINED, {"first": (first_ms - LATE_LIMIT_MS) // 1000}))[0]
        return row["newest"] if row["n"] else None

    async def keep_older_days(self, covered: date) -> int:
        """Copy the old partitions that the log does not cover, or that have an object on S3.

        Drop such partitions from the new tables if the old tables do not have them. Return the number of days copied.
        """
        hot = HotTables(self._clickhouse)
        old, new = await hot.partitions(), await hot.partitions(prefix=ASIDE)
        moved = {
            (entry.source, name)
            for entry in await Ledger(self._clickhouse, "rebuild").objects()
            if entry.step is not Step.GONE
            for name in entry.partitions
        }
        copied = [part for part in old if _is_kept(part, covered, moved)]
        for part in copied:
            await self._alter(part, f"REPLACE PARTITION ID '{part.name}' FROM {LIVE}.{part.source}")
        names = {(part.source, part.name) for part in copied}
        for part in new:
            if _is_kept(part, covered, moved) and (part.source, part.name) not in names:
                await self._alter(part, f"DROP PARTITION ID '{part.name}'")
        return len({part.day for part in copied})

    async def _alter(self, part: HotPartition, change: str) -> None:
        await self._clickhouse.command(f"ALTER TABLE {LIVE}.{ASIDE}{part.source} {change}")

    async def erase(self) -> None:
        """Delete the pages from the new tables that `lpstream erase` has erased and the log still has."""
        hot = HotTables(self._clickhouse)
        for erasure in await Ledger(self._clickhouse, "rebuild").erasures():
            await hot.erase(erasure, ASIDE)

    async def complete(self) -> None:
        """Wait until every replica has all rows of the new tables.

        Raise Retryable if a replica is away or lags.
        """
        if self._cluster:
            for table in TABLES:
                await self._clickhouse.command(f"SYSTEM SYNC REPLICA {ON_CLUSTER} {LIVE}.{ASIDE}{table}")

    async def exchange(self) -> None:
        """Exchange the new tables with the live tables.

        A database of engine Replicated exchanges two of its own tables on all replicas.
        """
        for table in TABLES:
            await self._clickhouse.command(f"EXCHANGE TABLES {LIVE}.{table} AND {LIVE}.{ASIDE}{table}")

    async def blocks(self) -> dict[str, int]:
        """Return the number of the newest block of each live table.

        An insert creates a block for each partition.
        """
        sql = (
            "SELECT table, max(max_block_number) AS newest FROM system.parts"
            " WHERE active AND database = {database:String} AND table IN {tables:Array(String)} GROUP BY table"
        )
        rows = await self._clickhouse.rows(sql, {"database": LIVE, "tables": list(TABLES)})
        return {row["table"]: int(row["newest"]) for row in rows}

    async def finish(self) -> None:
        """Drop the old tables, and restore the deduplication windows."""
        await self._drop()
        for table, (name, window) in self._windows.items():
            await self._clickhouse.command(f"ALTER TABLE {LIVE}.{table} MODIFY SETTING {name} = {window}")


def _day(time_ms: int) -> date:
    return datetime.fromtimestamp(time_ms / 1000, UTC).date()


def _is_kept(part: HotPartition, covered: date, moved: set[tuple[str, str]]) -> bool:
    """Return whether the log has lost records of the partition's day, or its rows are on S3."""
    return part.day + timedelta(days=part.days_late) < covered or (part.source, part.name) in moved
