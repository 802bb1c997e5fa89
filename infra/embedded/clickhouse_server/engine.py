"""The chDB engine: one process owns the path, every query gets a connection of its own.

A connection costs a millisecond, queries on different ones run at the same time, and settings die with it.
"""

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chdb

from infra.embedded.clickhouse_server.errors import EngineError, ServerError
from infra.embedded.clickhouse_server.sql import DataInsert

WORKERS = 12
MOST_QUERIES = 100
_NAME = re.compile(r"[a-zA-Z_]\w*\Z")


@dataclass(frozen=True, slots=True)
class Answer:
    """A query's result and what it read."""

    body: bytes
    rows: int
    read_rows: int
    read_bytes: int


@dataclass(frozen=True, slots=True)
class Query:
    """A statement, its data if it is such an INSERT, and all that surrounds it."""

    text: str
    format: str
    database: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    insert: DataInsert | None = None
    data: bytes = b""


class Engine:
    """Runs queries in threads; `close` before the process ends."""

    def __init__(self, path: Path, scratch: Path) -> None:
        """`scratch` takes the data of inserts for as long as they run; shared memory is best."""
        self._path = str(path)
        self._scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)
        self._keep = chdb.connect(self._path)
        self.pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="query")
        self._running = 0
        self._lock = threading.Lock()
        self.version = self._keep.query("SELECT version()", "TabSeparated").bytes().decode().strip()

    def run(self, query: Query) -> Answer:
        """The answer, or ServerError. Blocks: call it in `pool`."""
        with self._slot(), contextlib.closing(chdb.connect(self._path)) as connection:
            try:
                self._prepare(connection, query)
                if query.insert is not None:
                    return self._insert(connection, query, query.insert)
                return _answer(connection.query(query.text, query.format, params=dict(query.parameters)))
            except (RuntimeError, chdb.ChdbError) as error:
                raise EngineError(str(error)) from error

    @contextlib.contextmanager
    def _slot(self) -> Any:
        with self._lock:
            if self._running >= MOST_QUERIES:
                raise ServerError(
                    202, "TOO_MANY_SIMULTANEOUS_QUERIES", f"Too many simultaneous queries. Maximum: {MOST_QUERIES}."
                )
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def _prepare(self, connection: Any, query: Query) -> None:
        if query.database:
            connection.query(f"USE {_quoted_name(query.database)}")
        for name, value in query.settings.items():
            if not _NAME.match(name):
                raise ServerError(115, "UNKNOWN_SETTING", f"Unknown setting {name[:60]!r}.")
            connection.query(f"SET {name} = {_quoted(value)}")

    def _insert(self, connection: Any, query: Query, insert: DataInsert) -> Answer:
        if not query.data:
            return Answer(b"", 0, 0, 0)
        handle, name = tempfile.mkstemp(dir=self._scratch)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(query.data)
            done = connection.query(insert.from_file(name), "TabSeparated", params=dict(query.parameters))
            return Answer(b"", int(done.rows_read()), 0, 0)
        finally:
            Path(name).unlink()

    def close(self) -> None:
        """Let running queries end, then let go of the path."""
        self.pool.shutdown(wait=True)
        self._keep.close()


def _answer(result: Any) -> Answer:
    return Answer(
        bytes(result.bytes() or b""),
        int(result.rows_read()),
        int(result.storage_rows_read()),
        int(result.storage_bytes_read()),
    )


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quoted_name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
