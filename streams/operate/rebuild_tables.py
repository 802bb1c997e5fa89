"""The tables of a rebuild: beside the live ones, filled up with days that the log does not cover, then exchanged."""

import re
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from infra.clickhouse.client import ClickHouse
from infra.tiers.hot import HotTables
from infra.tiers.ledger import Ledger
from processors.heatmap.fold import TABLES
from schemas.tiers import HotPartition, Step
from streams.operate.replay import Log

LIVE = "lpstream"
# The new tables are beside the live ones, for a database of engine Replicated exchanges tables with no other database.
ASIDE = "rebuild_"
FUTURE_MS = 5 * 60 * 1000
# Workers and the rebuild insert some buckets both. The tables' own DDL has this window; one that was made smaller is
# widened while the rebuild runs.
WINDOW = 20_000
UNEXPLAINED = (
    "SELECT count() AS n, max(window_start) AS newest FROM lpstream.heatmap_windows WHERE days_late = 0"
    " AND toUnixTimestamp(window_start) < {first:Int64} AND window_start NOT IN"
    " (SELECT window_start FROM lpstream.rebuild_heatmap_windows)"
)
_WINDOW = re.compile(r"\b((?:non_)?replicated_deduplication_window) = (\d+)")


class Aside(ClickHouse):
    """A client that inserts into the new tables."""

    async def insert(self, table: str, rows: pa.Table, token: str) -> None:
        """Insert as ClickHouse.insert does."""
        await super().insert(ASIDE + table, rows, token)


class NewTables:
    """The five tables whose names begin with `ASIDE`; after the exchange the live ones."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse
        self._windows: dict[str, tuple[str, int]] = {}

    async def create(self) -> None:
        """Make them empty, in place of what an earlier rebuild has left."""
        await self._drop()
        for table in TABLES:
            await self._clickhouse.command(f"CREATE TABLE {LIVE}.{ASIDE}{table} AS {LIVE}.{table}")
            await self._widen(table)

    async def _drop(self) -> None:
        for table in TABLES:
            await self._clickhouse.command(f"DROP TABLE IF EXISTS {LIVE}.{ASIDE}{table} SYNC")

    async def _widen(self, table: str) -> None:
        sql = "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}"
        found = (await self._clickhouse.rows(sql, {"database": LIVE, "table": ASIDE + table}))[0]["engine_full"]
        setting = _WINDOW.search(found)
        name, window = (setting[1], int(setting[2])) if setting else ("non_replicated_deduplication_window", 0)
        if window < WINDOW:
            self._windows[table] = name, window
            await self._clickhouse.command(f"ALTER TABLE {LIVE}.{ASIDE}{table} MODIFY SETTING {name} = {WINDOW}")

    async def first_whole_day(self, log: Log) -> date:
        """Return the first day (UTC) whose records the log has all of, the earliest date when nothing is cut off."""
        cut_off = [log.first_ms[place] for place, begin in log.begins.items() if begin and place in log.first_ms]
        days = [_day(max(cut_off) + FUTURE_MS)] if cut_off else []
        if not all(log.begins.values()) and (window := await self._unexplained(log)) is not None:
            days.append(window.date())
        return max(days) + timedelta(days=1) if days else date.min

    async def _unexplained(self, log: Log) -> datetime | None:
        """Return the newest window that is older than the log and not made from it: a topic made anew has lost some."""
        first_ms = min(log.first_ms.values(), default=2**42)
        row = (await self._clickhouse.rows(UNEXPLAINED, {"first": (first_ms - FUTURE_MS) // 1000}))[0]
        return row["newest"] if row["n"] else None

    async def keep_older_days(self, covered: date) -> int:
        """Have the old tables' partitions, or none, where the log does not tell all or the rows have moved to S3.

        Return how many days were taken over.
        """
        hot = HotTables(self._clickhouse)
        old, new = await hot.partitions(), await hot.partitions(prefix=ASIDE)
        moved = {
            (one.source, name)
            for one in await Ledger(self._clickhouse, "rebuild").objects()
            if one.step is not Step.GONE
            for name in one.partitions
        }
        kept = [one for one in old if _is_kept(one, covered, moved)]
        for one in kept:
            await self._alter(one, f"REPLACE PARTITION ID '{one.name}' FROM {LIVE}.{one.source}")
        there = {(one.source, one.name) for one in kept}
        for one in new:
            if _is_kept(one, covered, moved) and (one.source, one.name) not in there:
                await self._alter(one, f"DROP PARTITION ID '{one.name}'")
        return len({one.day for one in kept})

    async def _alter(self, one: HotPartition, change: str) -> None:
        await self._clickhouse.command(f"ALTER TABLE {LIVE}.{ASIDE}{one.source} {change}")

    async def erase(self) -> None:
        """Delete what was to be erased (`lpstream erase`) and is still in the log."""
        hot = HotTables(self._clickhouse)
        for one in await Ledger(self._clickhouse, "rebuild").erasures():
            await hot.erase(one, ASIDE)

    async def exchange(self) -> None:
        """Make them the live ones."""
        for table in TABLES:
            await self._clickhouse.command(f"EXCHANGE TABLES {LIVE}.{table} AND {LIVE}.{ASIDE}{table}")

    async def blocks(self) -> dict[str, int]:
        """Return the number of the newest block of each live table; an insert makes a block for each partition."""
        sql = (
            "SELECT table, max(max_block_number) AS newest FROM system.parts"
            " WHERE active AND database = {database:String} AND table IN {tables:Array(String)} GROUP BY table"
        )
        found = await self._clickhouse.rows(sql, {"database": LIVE, "tables": list(TABLES)})
        return {row["table"]: int(row["newest"]) for row in found}

    async def finish(self) -> None:
        """Drop the old tables, and set windows back."""
        await self._drop()
        for table, (name, window) in self._windows.items():
            await self._clickhouse.command(f"ALTER TABLE {LIVE}.{table} MODIFY SETTING {name} = {window}")


def _day(time_ms: int) -> date:
    return datetime.fromtimestamp(time_ms / 1000, UTC).date()


def _is_kept(one: HotPartition, covered: date, moved: set[tuple[str, str]]) -> bool:
    """Return whether a partition's rows are not the log's to tell: records of that day are cut off, or moved to S3."""
    return one.day + timedelta(days=one.days_late) < covered or (one.source, one.name) in moved
