"""Tables that are tiered beside the same tables that are not: tests and benches hold the ones against the others."""

from datetime import UTC, date, datetime, timedelta
from importlib.resources import files
from typing import Any
from uuid import uuid4

from infra.clickhouse.kit import kit
from infra.clickhouse.migrate import name_collection, statements
from infra.tiers.tables import HOT_TABLES
from processors.heatmap.tiers import with_days_late
from streams.local.prepare import prepare
from streams.proof.traffic import Traffic, folded
from streams.runtime.settings import Settings
from streams.runtime.stores import open_analyst, open_writer, warm_store
from streams.tiers.run import LEASE, Tiers
from streams.tiers.stores import Clock, Stores

COPY = "untiered"
DDL = ("0001_heatmap_tables.sql", "0002_tiers.sql", "views.sql")
Rows = list[tuple[Any, ...]]
Answers = dict[str, Rows]


class Twin:
    """A site whose days come when told, into both. Days are numbered from the machine's today, for rows older than 30
    days by its clock are gone as soon as they are inserted; `tier` is told what day it is.

    Opening it wipes the heatmaps of the stack, in every tier.
    """

    def __init__(self, settings: Settings, traffic: Traffic) -> None:
        self.settings = settings
        self.traffic = traffic
        self._name = uuid4().hex
        self.first = datetime.now(UTC).date()
        self.writer = open_writer(settings)
        self.copy = open_writer(settings, COPY)
        self.analyst = open_analyst(settings)
        self.stores = Stores(settings)

    async def open(self) -> None:
        """Empty tables, twice, and an empty bucket."""
        server = open_writer(self.settings, "default")
        if not await server.rows("SELECT 1 FROM system.databases WHERE name = {name:String}", {"name": COPY}):
            await prepare(self.settings)
            await self._copy_tables()
        # which bucket it is may have changed
        await name_collection(server, warm_store(self.settings))
        await self.stores.archive.ensure_bucket()
        await server.close()
        for table in (*HOT_TABLES, *(f"{COPY}.{name}" for name in HOT_TABLES), "tier_objects", "erasures"):
            await self.writer.command(f"TRUNCATE TABLE {table}")
        for name in await self.stores.warm.names():
            await self.stores.warm.drop(name)
        for prefix in ("heatmap/", "heatmap-cold/"):
            await self.stores.archive.delete([one.key for one in await self.stores.archive.held(prefix)])
        await self.forget_lease()

    async def _copy_tables(self) -> None:
        await self.writer.command(f"CREATE DATABASE {COPY}")
        for name in DDL:
            text = files("infra.clickhouse").joinpath("ddl", name).read_text("utf-8")
            for statement in statements(text.replace("{timezone}", "Asia/Tokyo").replace("lpstream", COPY)):
                await self.writer.command(statement)

    async def close(self) -> None:
        """Close the clients."""
        for client in (self.writer, self.copy, self.analyst, self.stores):
            await client.close()

    async def forget_lease(self) -> None:
        """Let the time pass for which a run that was killed keeps the others out."""
        await self.stores.redis.delete(LEASE)

    def day(self, number: int) -> date:
        """Day `number` of the world's calendar."""
        return self.first + timedelta(days=number)

    async def load(self, number: int) -> int:
        """A day of traffic into both; how many rows."""
        return await self.insert(self.traffic.day(self.day(number)), f"{number}")

    async def insert(self, records: list[tuple[int, bytes]], name: str, *, came_ms: int | None = None) -> int:
        """Records, with the time of each (ms UTC), into both, as if they had come at another time if one is given; how
        many rows.
        """
        rows = 0
        for number, (_, tables) in enumerate(folded(records)):
            for table, found in tables.items():
                part = found if came_ms is None else with_days_late(found.drop_columns(["days_late"]), came_ms)
                rows += part.num_rows
                for database in ("lpstream", COPY):
                    await self.writer.insert(f"{database}.{table}", part, f"{self._name}/{name}/{number}")
        return rows

    def tiers(self, number: int) -> Tiers:
        """The tiers on a day."""
        return Tiers(self.settings, Clock.at(self.day(number), datetime.now(UTC)))

    async def kit_answers(self, database: str, first: int, until: int) -> Answers:
        """What the kit says of the days from `first` to before `until`."""
        client = self.copy if database == COPY else self.analyst
        values = {
            "from": self.day(first).isoformat(),
            "to": self.day(until).isoformat(),
            "change": self.day((first + until) // 2).isoformat(),
            "lp_id": self.traffic.lp_ids[0],
        }
        answers: Answers = {}
        for query in kit():
            rows = await client.rows(query.sql, {name: values[name] for name in query.parameters})
            answers[query.name] = [tuple(row.values()) for row in rows]
        return answers

    async def sums(self, database: str, first: int, until: int, where: str = "1") -> Answers:
        """All rows of the five tables as readers get them, told by number, sums and hashes; days as for the kit."""
        client = self.copy if database == COPY else self.analyst
        days = f"utc_date >= '{self.day(first)}' AND utc_date < '{self.day(until)}'"
        answers: Answers = {}
        for name, table in HOT_TABLES.items():
            view = name.replace("heatmap_", "tiered_")
            rows = await client.rows(
                f"SELECT {table.fingerprint} FROM (SELECT {table.summed} FROM {view} AS t WHERE {days} AND {where}"
                f" GROUP BY {table.key_list} HAVING {table.counts})"
            )
            answers[name] = [tuple(str(value) for value in row.values()) for row in rows]
        return answers
