"""Migrations: numbered DDL files, each applied once and recorded; views are replaced each time."""

import hashlib
from dataclasses import dataclass, field
from importlib.resources import files
from importlib.resources.abc import Traversable

import pyarrow as pa

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.replication import ON_CLUSTER, replicated
from infra.clickhouse.views import views
from schemas.errors import Refused

DATABASE = "CREATE DATABASE IF NOT EXISTS lpstream COMMENT 'Heatmaps of landing pages'"
# A backup of lpstream alone has the rows of 0002_tiers.sql in `migrations`, and not the database that it creates.
WARM_DATABASE = (
    "CREATE DATABASE IF NOT EXISTS lpstream_warm COMMENT 'One table for each Parquet object of the warm tier; the views"
    " of lpstream read them'"
)
APPLIED = """\
CREATE TABLE IF NOT EXISTS lpstream.migrations
(
    name String COMMENT 'File of the migration.',
    digest String COMMENT 'SHA-256 of its text when it was applied.',
    applied_at DateTime('UTC') DEFAULT now() COMMENT 'When.'
)
ENGINE = MergeTree ORDER BY name
COMMENT 'DDL that was applied.'"""

KINDS = (
    "SELECT name, engine FROM system.tables WHERE database = 'lpstream' AND engine LIKE '%MergeTree' UNION ALL"
    " SELECT 'database ' || name, engine FROM system.databases WHERE name IN ('lpstream', 'lpstream_warm')"
)
COLLECTION = "lpstream_s3"


@dataclass(frozen=True, slots=True)
class WarmStore:
    """The bucket of the warm tier for ClickHouse. With empty keys ClickHouse finds credentials."""

    url: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)


def statements(text: str) -> list[str]:
    """Return the statements of a DDL file. Each ends with `;` and a newline; `--` lines are comments."""
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";\n") if part.strip(" ;\n")]


async def migrate(
    clickhouse: ClickHouse, *, timezone: str, warm: WarmStore | None = None, cluster: bool = False
) -> list[str]:
    """Apply pending migrations and replace the views. Return the names of the files applied.

    `clickhouse` must use a database that exists (`default`). `timezone` is a validated tz name. Without `warm` the
    credentials of the warm tier stay. `cluster` makes databases and tables replicated. Raise Refused if existing tables
    or databases do not match `cluster`, or if the text of an applied file changed.
    """
    await _check_kinds(clickhouse, cluster)
    if warm is not None:
        await name_collection(clickhouse, warm, cluster=cluster)
    await _apply(clickhouse, [DATABASE, WARM_DATABASE, APPLIED], cluster)
    known = {
        row["name"]: row["digest"] for row in await clickhouse.rows("SELECT name, digest FROM lpstream.migrations")
    }
    applied = []
    for file in _numbered():
        text = file.read_text("utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        if known.get(file.name, digest) != digest:
            raise Refused(f"{file.name} changed after it was applied: undo the change and add a new numbered file")
        if file.name not in known:
            await _apply(clickhouse, statements(text), cluster)
            row = pa.table({"name": [file.name], "digest": [digest]})
            await clickhouse.insert("lpstream.migrations", row, token=digest)
            applied.append(file.name)
    await _apply(clickhouse, views(timezone), cluster)
    return applied


async def _check_kinds(clickhouse: ClickHouse, cluster: bool) -> None:
    kinds = await clickhouse.rows(KINDS)
    other = ", ".join(row["name"] for row in kinds if row["engine"].startswith("Replicated") is not cluster)
    if other and cluster:
        raise Refused(
            f"LPSTREAM_CLICKHOUSE_REPLICATED is true, but these are not replicated: {other}. "
            'Migrations do not change engines: see "From plain to replicated tables" in docs/production.md'
        )
    if other:
        raise Refused(f"these are replicated: {other}. Set LPSTREAM_CLICKHOUSE_REPLICATED=true")


async def name_collection(clickhouse: ClickHouse, warm: WarmStore, *, cluster: bool = False) -> None:
    """Create or update the named collection with the bucket's address and keys.

    Tables and views refer to it by name only, and queries cannot override it. A collection of that name in the server's
    configuration is left unchanged.
    """
    query = f"SELECT source FROM system.named_collections WHERE name = '{COLLECTION}'"
    if [row["source"] for row in await clickhouse.rows(query)] == ["CONFIG"]:
        return
    values = {"url": warm.url}
    if warm.access_key:
        values |= {"access_key_id": warm.access_key, "secret_access_key": warm.secret_key}
    else:
        values |= {"use_environment_credentials": "1"}
    fixed = ", ".join(f"{name} = {_quoted(value)} NOT OVERRIDABLE" for name, value in values.items())
    name = f"{COLLECTION} {ON_CLUSTER}" if cluster else COLLECTION
    await clickhouse.command(f"CREATE NAMED COLLECTION IF NOT EXISTS {name} AS {fixed}")
    await clickhouse.command(f"ALTER NAMED COLLECTION {name} SET {fixed}")


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def all_statements(timezone: str) -> list[str]:
    """Return the statements of all files, then those of the views: the schema of an empty server."""
    return [*(part for file in _numbered() for part in statements(file.read_text("utf-8"))), *views(timezone)]


def _numbered() -> list[Traversable]:
    return sorted(files("infra.clickhouse").joinpath("ddl").iterdir(), key=lambda file: file.name)


async def _apply(clickhouse: ClickHouse, ddl: list[str], cluster: bool) -> None:
    for statement in ddl:
        await clickhouse.command(replicated(statement) if cluster else statement)
