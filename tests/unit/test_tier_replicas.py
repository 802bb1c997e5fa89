"""On a cluster no replica drops a day's partitions before it knows where the day is now."""

from types import SimpleNamespace
from typing import Any

import pytest

from infra.tiers.hot import HotTables
from infra.tiers.readers import KNOW_STEPS, KNOW_TABLES, READING, READING_ANYWHERE, readers_done
from infra.tiers.tables import HOT_TABLES
from schemas.errors import Retryable
from streams.operate.rebuild_tables import NewTables
from streams.tiers.stores import Stores


class Server:
    """Records statements. It stands for a replica whose other replicas lag for `lagging` statements."""

    def __init__(self, lagging: bool = False, reading: list[set[str]] | None = None) -> None:
        self.statements: list[str] = []
        self._lagging = lagging
        self._reading = reading or [set()]

    async def command(self, sql: str, parameters: Any = None) -> None:
        self.statements.append(sql)
        if self._lagging and "SYNC" in sql:
            raise Retryable("ClickHouse: Code: 159. Distributed DDL task is not finished on 1 of 3 hosts")

    async def rows(self, sql: str, parameters: Any = None) -> list[dict[str, str]]:
        self.statements.append(sql)
        ids = self._reading.pop(0) if len(self._reading) > 1 else self._reading[0]
        return [{"query_id": each} for each in ids]


async def test_one_server_waits_for_its_own_readers() -> None:
    server: Any = Server(reading=[{"a"}, {"a", "b"}, {"b"}])
    assert await readers_done(server, 5.0)
    assert set(server.statements) == {READING}


async def test_replicas_know_the_step_before_their_readers_are_waited_for() -> None:
    server: Any = Server(reading=[{"replica-2 a"}, {"replica-1 b"}])
    assert await readers_done(server, 5.0, cluster=True)
    assert server.statements == [KNOW_STEPS, KNOW_TABLES, READING_ANYWHERE, READING_ANYWHERE]


async def test_a_reader_on_another_replica_delays_the_drop() -> None:
    server: Any = Server(reading=[{"replica-2 a"}])
    assert not await readers_done(server, 0.1, cluster=True)


async def test_a_replica_that_lags_delays_the_drop() -> None:
    server: Any = Server(lagging=True)
    assert not await readers_done(server, 5.0, cluster=True)
    assert server.statements == [KNOW_STEPS]


async def test_partitions_are_dropped_on_all_replicas() -> None:
    server: Any = Server()
    await HotTables(server).drop("heatmap_cells", ["20261101-0"])
    assert server.statements[0].endswith("DROP PARTITION ID '20261101-0' SETTINGS alter_sync = 2")


@pytest.mark.parametrize("replicated", [True, False])
async def test_a_run_first_fetches_what_other_replicas_have(replicated: bool) -> None:
    server: Any = Server()
    stores: Any = SimpleNamespace(settings=SimpleNamespace(clickhouse_replicated=replicated), clickhouse=server)
    await Stores.catch_up(stores)
    tables = {statement.removeprefix("SYSTEM SYNC REPLICA lpstream.") for statement in server.statements}
    warm = "SYSTEM SYNC DATABASE REPLICA lpstream_warm"
    assert tables == ({*HOT_TABLES, "tier_objects", "erasures", warm} if replicated else set())


async def test_a_rebuild_exchanges_only_tables_that_all_replicas_have() -> None:
    server: Any = Server(lagging=True)
    with pytest.raises(Retryable):
        await NewTables(server, cluster=True).complete()
    assert server.statements == ["SYSTEM SYNC REPLICA ON CLUSTER '{cluster}' lpstream.rebuild_heatmap_cells"]
    alone: Any = Server()
    await NewTables(alone).complete()
    assert alone.statements == []
