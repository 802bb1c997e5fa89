"""The same heatmap tables with and without tiers. Tests and benchmarks compare them."""

import time
from datetime import UTC, date, datetime, timedelta
from typing import Any, Self
from uuid import uuid4

from infra.clickhouse.kit import kit
from infra.clickhouse.migrate import all_statements, name_collection
from infra.embedded.stack import Stack
from infra.tiers.tables import HOT_TABLES
from processors.heatmap.tiers import with_days_late
from streams.local.prepare import prepare, settings_of
from streams.proof.traffic import Traffic, folded
from streams.runtime.stores import open_analyst, open_writer, warm_store
from streams.tiers.run import LEASE, Tiers
from streams.tiers.stores import Clock, Stores

COPY = "untiered"
Rows = list[tuple[Any, ...]]
Answers = dict[str, Rows]


class Twin:
    """A site whose traffic is inserted day by day into both copies of the tables.

    Day 0 is the machine's current date: ClickHouse deletes rows older than 30 days by its clock at once. The tiers
    get their date from `tiers`. As a context manager, a twin deletes the heatmaps of the stack in every tier when the
    block begins, and closes its clients when the block ends.
    """

    def __init__(self, stack: Stack, traffic: Traffic, *, hot_days: int, warm_days: int, **settings: Any) -> None:
        """Set the rule of the tiers; `settings` replace other settings of the stack."""
        rule = {"tier_hot_days": hot_days, "tier_warm_days": warm_days}
        self.settings = settings_of(stack).model_copy(update=rule | settings)
        self.stack = stack
        self.traffic = traffic
        self._name = uuid4().hex
        self.first = datetime.now(UTC).date()
        self.writer = open_writer(self.settings)
        self.copy = open_writer(self.settings, COPY)
        self.analyst = open_analyst(self.settings)
        self.stores = Stores(self.settings)

    async def __aenter__(self) -> Self:
        """Create both copies of the tables if missing; empty them and the bucket."""
        try:
            await self._empty()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the clients."""
        await self.close()

    async def _empty(self) -> None:
        server = open_writer(self.settings, "default")
        if not await server.rows("SELECT 1 FROM system.databases WHERE name = {name:String}", {"name": COPY}):
            await prepare(self.settings)
            await self._copy_tables()
        # the bucket may have changed since the collection was named
        await name_collection(server, warm_store(self.settings))
        await self.stores.archive.ensure_bucket()
        await server.close()
        for table in (*HOT_TABLES, *(f"{COPY}.{name}" for name in HOT_TABLES), "tier_objects", "erasures"):
            await self.writer.command(f"TRUNCATE TABLE {table}")
        for name in await self.stores.warm.names():
            await self.stores.warm.drop(name)
        for prefix in ("heatmap/", "heatmap-cold/"):
            await self.stores.archive.delete([item.key for item in await self.stores.archive.held(prefix)])
        await self.forget_lease()

    async def _copy_tables(self) -> None:
        await self.writer.command(f"CREATE DATABASE {COPY}")
        for statement in all_statements("Asia/Tokyo"):
            await self.writer.command(statement.replace("lpstream", COPY))

    async def close(self) -> None:
        """Close the clients."""
        for client in (self.writer, self.copy, self.analyst, self.stores):
            await client.close()

    async def forget_lease(self) -> None:
        """Delete the lease, so that a run can start at once after another was killed."""
        await self.stores.redis.delete(LEASE)

    def day(self, number: int) -> date:
        """Return the date of day `number`."""
        return self.first + timedelta(days=number)

    async def load(self, number: int) -> int:
        """Insert a day of traffic into both copies. Return the number of rows."""
        return await self.insert(self.traffic.day(self.day(number)), f"{number}")

    async def insert(self, records: list[tuple[int, bytes]], name: str, *, came_ms: int | None = None) -> int:
        """Insert records, with their times in ms UTC, into both copies. Return the number of rows.

        `came_ms` replaces the time of arrival of all records.
        """
        rows = 0
        for number, (_, tables) in enumerate(folded(records)):
            for table, folded_rows in tables.items():
                part = folded_rows
                if came_ms is not None:
                    part = with_days_late(folded_rows.drop_columns(["days_late"]), came_ms)
                rows += part.num_rows
                for database in ("lpstream", COPY):
                    await self.writer.insert(f"{database}.{table}", part, f"{self._name}/{name}/{number}")
        return rows

    def tiers(self, number: int) -> Tiers:
        """Return the tiers with their clock set to day `number`."""
        return Tiers(self.settings, Clock.at(self.day(number), datetime.now(UTC)))

    async def kit_answers(
        self, database: str, first: int, until: int, times: dict[str, list[float]] | None = None
    ) -> Answers:
        """Return the answers of the kit's queries for the days from `first` until before `until`.

        Append the ms of each query to `times`.
        """
        client = self.copy if database == COPY else self.analyst
        values = {
            "from": self.day(first).isoformat(),
            "to": self.day(until).isoformat(),
            "change": self.day((first + until - 1) // 2).isoformat(),
            "lp_id": self.traffic.lp_ids[0],
        }
        answers: Answers = {}
        for query in kit():
            started = time.perf_counter()
            rows = await client.rows(query.sql, {name: values[name] for name in query.parameters})
            if times is not None:
                times.setdefault(query.name, []).append((time.perf_counter() - started) * 1000)
            answers[query.name] = [tuple(row.values()) for row in rows]
        return answers

    async def sums(self, database: str, first: int, until: int, where: str = "1") -> Answers:
        """Return the fingerprint of each table: the number, sums and hashes of its rows as readers get them.

        Days are as for `kit_answers`.
        """
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
