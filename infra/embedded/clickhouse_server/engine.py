"""The chDB engine: one process owns the path, and every query has its own connection.

A connection costs a millisecond. Queries on different connections run in parallel, and settings end with it.
"""

import contextlib
import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import chdb

from infra.embedded.clickhouse_server import allowed, guard
from infra.embedded.clickhouse_server.errors import EngineError, ServerError
from infra.embedded.clickhouse_server.sql import DataInsert

JUDGED_MOST = 500
_NAME = re.compile(r"[a-zA-Z_]\w*\Z")
_IN_SCOPE = re.compile(r": In scope SELECT formatQuery.*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Answer:
    """A query's result, its format, and the rows and bytes it read."""

    body: bytes
    rows: int
    read_rows: int
    read_bytes: int
    format: str = ""


@dataclass(frozen=True, slots=True)
class Query:
    """A statement, its data if it is an INSERT with data, and its context.

    `guarded` marks a query of an analyst.
    """

    text: str
    format: str
    database: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    insert: DataInsert | None = None
    data: bytes = b""
    guarded: bool = False
    query_id: str = ""
    # identifies the query in the engine, so that it can be cancelled
    mark: str = field(default_factory=lambda: uuid4().hex)


class Engine:
    """The engine. Queries run in the caller's thread. Call `close` before the process ends."""

    def __init__(self, path: Path, scratch: Path) -> None:
        """Open the path. `scratch` holds the data of running inserts; shared memory is best."""
        self._path = str(path)
        self._scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)
        self._keep = chdb.connect(self._path)
        self._lock = threading.Lock()
        self._running: dict[str, Query] = {}
        self._judged: OrderedDict[tuple[str, tuple[tuple[str, str], ...]], str] = OrderedDict()
        self.version = self._text("SELECT version()")
        names = self._text("SELECT DISTINCT lower(name) FROM system.functions").split()
        self._closed = frozenset(name for name in names if not allowed.function(name))

    def run(self, query: Query) -> Answer:
        """Run a query and return its answer. Raise ServerError if it fails."""
        with self._listed(query), contextlib.closing(chdb.connect(self._path)) as connection:
            try:
                _prepare(connection, query)
                if query.insert is not None:
                    return self._insert(connection, query, query.insert)
                if query.guarded:
                    text = self._judge(connection, query)
                    fmt = guard.format_of(text, query.format)
                    query = replace(query, text=guard.with_session(text, query.query_id), format=fmt)
                return _answer(connection.query(query.text, query.format, params=dict(query.parameters)), query.format)
            except (RuntimeError, chdb.ChdbError) as error:
                raise EngineError(str(error)) from error

    def kill(self, query: Query) -> Answer:
        """Run an analyst's KILL QUERY, which cancels queries by id. Return a row for each."""
        with contextlib.closing(chdb.connect(self._path)) as connection:
            try:
                target, fmt = guard.kill_target(_canonical(connection, query.text))
                with self._lock:
                    running = [each for each in self._running.values() if each.guarded and each.query_id == target]
                for each in running:
                    self._cancel(connection, each)
                status = (
                    f"SELECT 'waiting' AS kill_status, '{target}' AS query_id, 'analyst' AS user LIMIT {len(running)}"
                )
                fmt = fmt or query.format
                return _answer(connection.query(status, fmt), fmt)
            except (RuntimeError, chdb.ChdbError) as error:
                raise EngineError(str(error)) from error

    def cancel(self, query: Query) -> bool:
        """Cancel the query if it runs. Return whether it runs."""
        with self._lock:
            runs = query.mark in self._running
        if runs:
            with contextlib.closing(chdb.connect(self._path)) as connection:
                self._cancel(connection, query)
        return runs

    def close(self) -> None:
        """Close the path. No query may be running."""
        self._keep.close()

    def _text(self, text: str) -> str:
        return bytes(self._keep.query(text, "TabSeparated").bytes()).decode().strip()

    @contextlib.contextmanager
    def _listed(self, query: Query) -> Any:
        with self._lock:
            self._running[query.mark] = query
        try:
            yield
        finally:
            with self._lock:
                del self._running[query.mark]

    def _cancel(self, connection: Any, query: Query) -> None:
        connection.query(f"KILL QUERY WHERE Settings['log_comment'] = '{query.mark}' ASYNC")

    def _judge(self, connection: Any, query: Query) -> str:
        """Return the statement in the engine's form. Raise ServerError if an analyst may not run it.

        The last JUDGED_MOST accepted statements are cached.
        """
        key = query.text, tuple(sorted(query.parameters.items()))
        with self._lock:
            if key in self._judged:
                self._judged.move_to_end(key)
                return self._judged[key]
        text = _canonical(connection, query.text)
        selects = guard.check_text(text, query.parameters)
        if selects is not None:
            tree = connection.query(f"EXPLAIN AST {text}", "TabSeparatedRaw", params=dict(query.parameters))
            guard.check_tree(bytes(tree.bytes()).decode(errors="replace"), selects, self._closed)
        with self._lock:
            self._judged[key] = text
            while len(self._judged) > JUDGED_MOST:
                self._judged.popitem(last=False)
        return text

    def _insert(self, connection: Any, query: Query, insert: DataInsert) -> Answer:
        if not query.data:
            return Answer(b"", 0, 0, 0)
        handle, name = tempfile.mkstemp(dir=self._scratch)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(query.data)
            result = connection.query(insert.from_file(name), "TabSeparated", params=dict(query.parameters))
            return Answer(b"", int(result.rows_read()), 0, 0)
        finally:
            Path(name).unlink()


def _prepare(connection: Any, query: Query) -> None:
    if query.database:
        connection.query(f"USE {_quoted_name(query.database)}")
    for name in query.settings:
        if not _NAME.match(name):
            raise ServerError(115, "UNKNOWN_SETTING", f"Unknown setting {name[:60]!r}.")
    settings = {**query.settings, "log_comment": query.mark} if query.guarded else query.settings
    if settings:
        connection.query("SET " + ", ".join(f"{name} = {_quoted(value)}" for name, value in settings.items()))
    if query.guarded:
        connection.query("SET readonly = 1")


def _canonical(connection: Any, text: str) -> str:
    """Return the statement in the engine's form. Raise EngineError unless it parses as one statement."""
    try:
        result = connection.query(f"SELECT formatQuerySingleLine({_quoted(text)})", "TabSeparatedRaw")
    except (RuntimeError, chdb.ChdbError) as error:
        raise EngineError(_IN_SCOPE.sub(". (SYNTAX_ERROR)", str(error))) from error
    try:
        return bytes(result.bytes()).decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise ServerError(62, "SYNTAX_ERROR", "A string of the query is not UTF-8; write it with unhex().") from error


def _answer(result: Any, fmt: str) -> Answer:
    return Answer(
        bytes(result.bytes() or b""),
        int(result.rows_read()),
        int(result.storage_rows_read()),
        int(result.storage_bytes_read()),
        fmt,
    )


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _quoted_name(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
