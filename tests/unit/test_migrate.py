"""`migrate` refuses tables of the other kind, which `IF NOT EXISTS` would keep silently."""

import hashlib
from typing import Any

import pytest

from infra.clickhouse.migrate import KINDS, _numbered, migrate
from schemas.errors import Refused
from streams.cli import services


class Server:
    """A fake ClickHouse that has tables of these engines and records commands."""

    def __init__(self, engines: dict[str, str]) -> None:
        self.engines = engines
        self.commands: list[str] = []

    async def rows(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
        if sql == KINDS:
            return [{"name": name, "engine": engine} for name, engine in self.engines.items()]
        return []

    async def command(self, sql: str, parameters: Any = None) -> None:
        self.commands.append(sql)

    async def insert(self, table: str, rows: Any, token: str) -> None:
        self.commands.append(f"INSERT INTO {table}")


async def test_plain_tables_are_refused_when_replication_is_set() -> None:
    server = Server({"heatmap_cells": "SummingMergeTree", "heatmap_views": "ReplicatedSummingMergeTree"})
    with pytest.raises(Refused) as caught:
        await migrate(server, timezone="Asia/Tokyo", cluster=True)  # type: ignore[arg-type]
    message = str(caught.value)
    assert "heatmap_cells" in message and "heatmap_views" not in message
    assert "LPSTREAM_CLICKHOUSE_REPLICATED" in message and "docs/production.md" in message
    assert server.commands == []


async def test_replicated_tables_are_refused_without_replication() -> None:
    server = Server({"heatmap_cells": "ReplicatedSummingMergeTree"})
    with pytest.raises(Refused, match="LPSTREAM_CLICKHOUSE_REPLICATED=true"):
        await migrate(server, timezone="Asia/Tokyo")  # type: ignore[arg-type]
    assert server.commands == []


@pytest.mark.parametrize("cluster", [True, False])
async def test_tables_of_the_configured_kind_are_migrated(cluster: bool) -> None:
    server = Server({"heatmap_cells": "ReplicatedSummingMergeTree" if cluster else "SummingMergeTree"})
    done = await migrate(server, timezone="Asia/Tokyo", cluster=cluster)  # type: ignore[arg-type]
    assert "0001_heatmap_tables.sql" in done


@pytest.mark.parametrize("cluster", [True, False])
async def test_a_restore_of_lpstream_alone_gets_the_database_of_warm_days(cluster: bool) -> None:
    class Restored(Server):
        async def rows(self, sql: str, parameters: Any = None) -> list[dict[str, Any]]:
            return applied if "lpstream.migrations" in sql else []

    files = [(file.name, file.read_bytes()) for file in _numbered()]
    applied = [{"name": name, "digest": hashlib.sha256(text).hexdigest()} for name, text in files]
    server = Restored({})
    assert await migrate(server, timezone="Asia/Tokyo", cluster=cluster) == []  # type: ignore[arg-type]
    made = [sql for sql in server.commands if sql.startswith("CREATE DATABASE IF NOT EXISTS lpstream_warm")]
    assert len(made) == 1 and ("ENGINE = Replicated" in made[0]) is cluster


@pytest.mark.parametrize(
    ("url", "replicated", "warned"),
    [("http://clickhouse:8123", "false", True), ("http://clickhouse:8123", "true", False), (None, "false", False)],
)
def test_migrate_warns_that_plain_tables_can_lose_a_bucket(
    monkeypatch: pytest.MonkeyPatch, url: str | None, replicated: str, warned: bool
) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "REDIS_URL", "S3_ENDPOINT_URL", "CLICKHOUSE_URL"):
        monkeypatch.delenv(f"LPSTREAM_{name}", raising=False)
    if url is not None:
        monkeypatch.setenv("LPSTREAM_CLICKHOUSE_URL", url)
    monkeypatch.setenv("LPSTREAM_CLICKHOUSE_REPLICATED", replicated)
    # Without an address the embedded stack is used, which repairs the losses of plain tables.
    monkeypatch.setattr("streams.local.console.read_settings", lambda _: {})

    async def prepared(*_: Any) -> None:
        pass

    messages: list[str] = []
    monkeypatch.setattr(services, "prepare", prepared)
    monkeypatch.setattr(services, "say", messages.append)
    services.migrate()
    assert [line for line in messages if "LPSTREAM_CLICKHOUSE_REPLICATED" in line and "lose" in line] == messages
    assert bool(messages) is warned
