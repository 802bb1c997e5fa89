"""The warm tier: a table of engine S3 for each Parquet object."""

from collections.abc import Sequence

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.migrate import COLLECTION
from infra.tiers.hot import IN_ORDER, MATCHES, erasure_parameters, fingerprint_of
from infra.tiers.tables import HOT_TABLES
from schemas.tiers import Erasure, Fingerprint, TierObject

# written once and read for weeks: as measured, level 9 and small dictionaries take a fifth off, and bloom filters add
# more than they spare; an object that another attempt left half done is written anew
WRITE = (
    "s3_truncate_on_insert = 1, output_format_compression_level = 9, output_format_parquet_max_dictionary_size = 65536,"
    " output_format_parquet_write_bloom_filter = 0"
)


class WarmTables:
    """Tables of lpstream_warm. They are read through the views, once `tier_objects` says so."""

    def __init__(self, clickhouse: ClickHouse) -> None:
        self._clickhouse = clickhouse

    async def names(self) -> set[str]:
        """All that there are."""
        rows = await self._clickhouse.rows("SELECT name FROM system.tables WHERE database = 'lpstream_warm'")
        return {row["name"] for row in rows}

    async def create(self, one: TierObject) -> None:
        """The object's table; the object itself may not be there yet."""
        like = one.source.replace("heatmap_", "warm_")
        await self._clickhouse.command(
            f"CREATE TABLE IF NOT EXISTS lpstream_warm.`{one.name}` AS lpstream.{like}"
            f" ENGINE = S3({COLLECTION}, filename = '{one.key}', format = 'Parquet')"
            f" COMMENT '{one.source} of {one.day.isoformat()}'"
        )

    async def drop(self, name: str) -> None:
        """Drop a table; its object stays."""
        await self._clickhouse.command(f"DROP TABLE IF EXISTS lpstream_warm.`{name}` SYNC")

    async def fill(self, one: TierObject) -> None:
        """Write the object: the rows of the hot partitions, summed, in the order of the table's key."""
        table = HOT_TABLES[one.source]
        await self._clickhouse.command(
            f"INSERT INTO lpstream_warm.`{one.name}` ({table.columns}) SELECT {table.summed}"
            f" FROM lpstream.{one.source} AS t WHERE _partition_id IN {{partitions:Array(String)}}"
            f" GROUP BY {table.key_list} HAVING {table.counts} ORDER BY {table.key_list} SETTINGS {IN_ORDER}, {WRITE}",
            {"partitions": list(one.partitions)},
        )

    async def copy_without(self, old: TierObject, new: TierObject, erasures: Sequence[Erasure]) -> None:
        """Write an object anew, without what the erasures mean."""
        table = HOT_TABLES[old.source]
        kept, parameters = _kept(erasures)
        await self._clickhouse.command(
            f"INSERT INTO lpstream_warm.`{new.name}` ({table.columns}) SELECT {table.columns}"
            f" FROM lpstream_warm.`{old.name}` WHERE {kept} ORDER BY {table.key_list} SETTINGS {WRITE}",
            parameters,
        )

    async def fingerprint(self, one: TierObject, without: Sequence[Erasure] = ()) -> Fingerprint:
        """Of the object's rows as readers get them, or of those that erasures leave."""
        kept, parameters = _kept(without)
        sql = f"SELECT {HOT_TABLES[one.source].fingerprint} FROM lpstream_warm.`{one.name}` WHERE {kept}"
        return fingerprint_of((await self._clickhouse.rows(sql, parameters))[0])

    async def lp_ids(self, one: TierObject) -> tuple[str, ...]:
        """Pages in the object."""
        found = await self._clickhouse.rows(f"SELECT DISTINCT lp_id FROM lpstream_warm.`{one.name}`")
        return tuple(sorted(row["lp_id"] for row in found))


def _kept(erasures: Sequence[Erasure]) -> tuple[str, dict[str, object]]:
    """A condition and its parameters, each erasure's under names of its own."""
    parts, parameters = ["1"], dict[str, object]()
    for one in erasures:
        condition = f"NOT ({MATCHES} AND window_start < {{before:DateTime('UTC')}})"
        for name, value in erasure_parameters(one).items():
            condition = condition.replace(f"{{{name}:", f"{{{name}_{one.number}:")
            parameters[f"{name}_{one.number}"] = value
        parts.append(condition)
    return " AND ".join(parts), parameters
