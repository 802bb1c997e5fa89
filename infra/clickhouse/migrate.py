"""Numbered DDL, applied once each and remembered; views anew each time."""

import hashlib
from importlib.resources import files
from importlib.resources.abc import Traversable

import pyarrow as pa

from infra.clickhouse.client import ClickHouse
from schemas.errors import Refused

APPLIED = """\
CREATE TABLE IF NOT EXISTS lpstream.migrations
(
    name String COMMENT 'File of the migration.',
    digest String COMMENT 'SHA-256 of its text when it was applied.',
    applied_at DateTime('UTC') DEFAULT now() COMMENT 'When.'
)
ENGINE = MergeTree ORDER BY name
COMMENT 'DDL that was applied.'"""


def statements(text: str) -> list[str]:
    """The statements of a DDL file of ours: each ends with `;` and a line's end; `--` lines are comments."""
    lines = [line for line in text.splitlines() if not line.startswith("--")]
    return [part.strip() for part in "\n".join(lines).split(";\n") if part.strip(" ;\n")]


async def migrate(clickhouse: ClickHouse, *, timezone: str) -> list[str]:
    """Apply what is not applied yet, and the views; names of the files that changed something.

    `clickhouse` must be open on a database that exists (`default`). `timezone` is a checked name of the tz database.
    """
    await clickhouse.command("CREATE DATABASE IF NOT EXISTS lpstream COMMENT 'Heatmaps of landing pages'")
    await clickhouse.command(APPLIED)
    known = {
        row["name"]: row["digest"] for row in await clickhouse.rows("SELECT name, digest FROM lpstream.migrations")
    }
    done = []
    for file in _numbered():
        text = file.read_text("utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        if known.get(file.name, digest) != digest:
            raise Refused(f"{file.name} was applied with another text: undo the change, and add a new numbered file")
        if file.name not in known:
            await _apply(clickhouse, text)
            row = pa.table({"name": [file.name], "digest": [digest]})
            await clickhouse.insert("lpstream.migrations", row, token=digest)
            done.append(file.name)
    await _apply(clickhouse, _ddl().joinpath("views.sql").read_text("utf-8").replace("{timezone}", timezone))
    return done


def _ddl() -> Traversable:
    return files("infra.clickhouse").joinpath("ddl")


def _numbered() -> list[Traversable]:
    return sorted((file for file in _ddl().iterdir() if file.name[0].isdigit()), key=lambda file: file.name)


async def _apply(clickhouse: ClickHouse, text: str) -> None:
    for statement in statements(text):
        await clickhouse.command(statement)
