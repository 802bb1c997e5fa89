"""The warm tier: one table with engine S3 for each Parquet object."""

from collections.abc import Sequence

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.migrate import COLLECTION
from infra.tiers.hot import IN_ORDER, excluding, fingerprint_of
from infra.tiers.tables import HOT_TABLES
from schemas.tiers import Erasure, Fingerprint, TierObject

# Objects are written once and read for weeks. Measured: level 9 and small dictionaries save a fifth of the size; bloom
# filters add more than they save. An incomplete object of an earlier attempt is overwritten.
WRITE = (
    "s3_truncate_on_insert = 1, output_format_compression_level = 9, output_format_parquet_max_dictionary_size = 65536,"
    " output_format_parquet_write_bloom_filter = 0"
)


class WarmTables:
    """The tables of `lpstream_warm`. The views read a table once `tier_objects` lists its object."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def names(self) -> set[str]:
        """Return the names of all tables."""
        rows = await self._clickhouse.rows("SELECT name FROM system.tables WHERE database = 'lpstream_warm'")
        return {row["name"] for row in rows}

    async def create(self, item: TierObject) -> None:
        """Create the object's table. The object itself need not exist yet."""
        like = item.source.replace("heatmap_", "warm_")
        await self._clickhouse.command(
            f"CREATE TABLE IF NOT EXISTS lpstream_warm.`{item.name}` AS lpstream.{like}"
            f" ENGINE = S3({COLLECTION}, filename = '{item.key}', format = 'Parquet')"
            f" COMMENT '{item.source} of {item.day.isoformat()}'"
        )

    async def drop(self, name: str) -> None:
        """Drop a table. Its object stays."""
        await self._clickhouse.command(f"DROP TABLE IF EXISTS lpstream_warm.`{name}` SYNC")

    async def fill(self, item: TierObject) -> None:
        """Write the object: the rows of the hot partitions, summed by key, in the order of the key."""
        table = HOT_TABLES[item.source]
        await self._clickhouse.command(
            f"INSERT INTO lpstream_warm.`{item.name}` ({table.columns}) SELECT {table.summed}"
            f" FROM lpstream.{item.source} AS t WHERE _partition_id IN {{partitions:Array(String)}}"
            f" GROUP BY {table.key_list} HAVING {table.counts} ORDER BY {table.key_list} SETTINGS {IN_ORDER}, {WRITE}",
            {"partitions": list(item.partitions)},
        )

    async def copy_without(self, old: TierObject, new: TierObject, erasures: Sequence[Erasure]) -> None:
        """Copy an object without the rows of the erasures."""
        table = HOT_TABLES[old.source]
        condition, parameters = excluding(erasures)
        await self._clickhouse.command(
            f"INSERT INTO lpstream_warm.`{new.name}` ({table.columns}) SELECT {table.columns}"
            f" FROM {_rows(old)} AND {condition} ORDER BY {table.key_list} SETTINGS {WRITE}",
            parameters,
        )

    async def fingerprint(self, item: TierObject, without: Sequence[Erasure] = ()) -> Fingerprint:
        """Return the fingerprint of the object's rows, without the rows of the erasures."""
        condition, parameters = excluding(without)
        sql = f"SELECT {HOT_TABLES[item.source].fingerprint} FROM {_rows(item)} AND {condition}"
        return fingerprint_of((await self._clickhouse.rows(sql, parameters))[0])

    async def lp_ids(self, item: TierObject) -> tuple[str, ...]:
        """Return the ids of the pages in the object."""
        rows = await self._clickhouse.rows(f"SELECT DISTINCT lp_id FROM lpstream_warm.`{item.name}`")
        return tuple(sorted(row["lp_id"] for row in rows))


def _rows(item: TierObject) -> str:
    """Return the rows of an object, for FROM. Columns that its table lacks are 0."""
    return f"lpstream.{item.source.replace('heatmap_', 'warm_')} WHERE _table = '{item.name}'"
