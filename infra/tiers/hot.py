"""The hot tables: their partitions by day, fingerprints, drops and erasures."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from infra.clickhouse.client import ClickHouse
from infra.tiers.tables import HOT_TABLES
from schemas.tiers import Erasure, Fingerprint, HotPartition

PARTITIONS = (
    "SELECT table, partition_id, sum(rows) AS row_count, sum(bytes_on_disk) AS byte_count FROM system.parts"
    " WHERE active AND database = {database:String} AND table IN {tables:Array(String)} GROUP BY table, partition_id"
)
NAME = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d+)")
# rows are read in key order, so that the sums of a day need little memory
IN_ORDER = "optimize_aggregation_in_order = 1"
CONCERNED = (
    "(lp_id IN {lp_ids:Array(String)} OR ({prefix:String} != '' AND startsWith(lp_id, {prefix:String})))"
    " AND window_start < {before:DateTime('UTC')}"
)
# ids in a parameter: ClickHouse's http_max_field_value_size is 128 KiB, and an id has at most 128 bytes and two quotes
MOST_IDS = 900


class HotTables:
    """The partitions of the hot tables: one for each day (UTC) and number of days late."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def partitions(self, database: str = "lpstream", prefix: str = "") -> list[HotPartition]:
        """Return the partitions of the hot tables in a database. `prefix` precedes the table names."""
        tables = [prefix + name for name in HOT_TABLES]
        return [
            _partition(
                row["table"].removeprefix(prefix), row["partition_id"], int(row["row_count"]), int(row["byte_count"])
            )
            for row in await self._clickhouse.rows(PARTITIONS, {"database": database, "tables": tables})
        ]

    async def fingerprint(self, source: str, partitions: Sequence[str], without: Sequence[Erasure] = ()) -> Fingerprint:
        """Return the fingerprint of the partitions' rows, summed by key, without the rows of the erasures.

        It is zeros if the partitions do not exist.
        """
        table = HOT_TABLES[source]
        condition, parameters = excluding(without)
        sql = (
            f"SELECT {table.fingerprint} FROM (SELECT {table.summed} FROM lpstream.{source} AS t"
            f" WHERE _partition_id IN {{partitions:Array(String)}} AND {condition}"
            f" GROUP BY {table.key_list} HAVING {table.counts}) SETTINGS {IN_ORDER}"
        )
        return fingerprint_of((await self._clickhouse.rows(sql, {"partitions": list(partitions), **parameters}))[0])

    async def lp_ids(self, source: str, partitions: Sequence[str]) -> tuple[str, ...]:
        """Return the ids of the pages in the partitions."""
        sql = f"SELECT DISTINCT lp_id FROM lpstream.{source} WHERE _partition_id IN {{partitions:Array(String)}}"
        rows = await self._clickhouse.rows(sql, {"partitions": list(partitions)})
        return tuple(sorted(row["lp_id"] for row in rows))

    async def drop(self, source: str, partitions: Sequence[str]) -> None:
        """Drop partitions on all replicas; missing ones count as dropped.

        Raise ValueError for an invalid name.
        """
        for name in partitions:
            if not NAME.fullmatch(name):
                raise ValueError(f"partition {name}: the name must match {NAME.pattern}")
            sql = f"ALTER TABLE lpstream.{source} DROP PARTITION ID '{name}' SETTINGS alter_sync = 2"
            await self._clickhouse.command(sql)

    async def erase(self, erasure: Erasure, prefix: str = "") -> int:
        """Delete the rows of an erasure from every table (with the prefix). Return their number."""
        deleted = 0
        for part in portions(erasure):
            counts = await self.concerned(part, prefix)
            for table in [name for name, rows in counts.items() if rows]:
                sql = f"ALTER TABLE lpstream.{table} DELETE WHERE {CONCERNED} SETTINGS mutations_sync = 2"
                await self._clickhouse.command(sql, erasure_parameters(part))
            deleted += sum(counts.values())
        return deleted

    async def concerned(self, erasure: Erasure, prefix: str = "") -> dict[str, int]:
        """Return the number of rows of an erasure, by table."""
        rows = dict.fromkeys([prefix + source for source in HOT_TABLES], 0)
        for table in rows:
            sql = f"SELECT count() AS n FROM lpstream.{table} WHERE {CONCERNED}"
            for part in portions(erasure):
                rows[table] += int((await self._clickhouse.rows(sql, erasure_parameters(part)))[0]["n"])
        return rows


def portions(erasure: Erasure) -> list[Erasure]:
    """Return the erasure in parts of at most MOST_IDS ids. The first part has its prefix."""
    ids = [erasure.lp_ids[at : at + MOST_IDS] for at in range(0, len(erasure.lp_ids), MOST_IDS)] or [()]
    return [replace(erasure, lp_ids=part, prefix="" if at else erasure.prefix) for at, part in enumerate(ids)]


def erasure_parameters(erasure: Erasure) -> dict[str, object]:
    """Return the parameters of `CONCERNED`."""
    return {"lp_ids": list(erasure.lp_ids), "prefix": erasure.prefix, "before": erasure.before}


def excluding(erasures: Sequence[Erasure]) -> tuple[str, dict[str, object]]:
    """Return a condition that excludes the rows of the erasures, and its parameters, numbered by portion."""
    parts, parameters = ["1"], dict[str, object]()
    for number, portion in enumerate(part for erasure in erasures for part in portions(erasure)):
        condition = f"NOT ({CONCERNED})"
        for name, value in erasure_parameters(portion).items():
            condition = condition.replace(f"{{{name}:", f"{{{name}_{number}:")
            parameters[f"{name}_{number}"] = value
        parts.append(condition)
    return " AND ".join(parts), parameters


def fingerprint_of(row: dict[str, object]) -> Fingerprint:
    """Return the fingerprint in a row of `HotTable.fingerprint`."""
    sums = row["sums"]
    if not isinstance(sums, Sequence):
        raise TypeError(f"sums: expected an array, got {sums!r}")
    return Fingerprint(int(str(row["row_count"])), tuple(int(each) for each in sums), int(str(row["digest"])))


def _partition(table: str, name: str, rows: int, size: int) -> HotPartition:
    match = NAME.fullmatch(name)
    if match is None:
        raise ValueError(f"table {table}: partition {name}: the name must match {NAME.pattern}")
    year, month, day, late = map(int, match.groups())
    return HotPartition(table, date(year, month, day), late, name, rows, size)
