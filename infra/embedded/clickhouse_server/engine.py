"""The chDB engine: one process owns the path, and every query has its own connection.

A connection costs a millisecond. Queries on different connections run in parallel, and settings end with it.
"""

import contextlib
import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import chdb

from infra.embedded.clickhouse_server import access, allowed, guard, settings, sql, temporary, unknown
from infra.embedded.clickhouse_server.bodies import ExternalTable
from infra.embedded.clickhouse_server.errors import DeniedError, EngineError, ServerError
from infra.embedded.clickhouse_server.sessions import MOST_BYTES, MOST_SETTINGS, MOST_TABLES, Asked, Session, Sessions
from infra.embedded.clickhouse_server.sql import DataInsert

JUDGED_MOST = 500
_NAME = re.compile(r"[a-zA-Z_]\w*\Z")
_MAKES_TABLE = re.compile(r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?TEMPORARY\b", re.IGNORECASE)
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

    `guarded` marks a query of an analyst. `database` and `settings` are those that the request names; the user's `home`
    and `base` stand behind them, and behind those of the session.
    """

    text: str
    format: str
    database: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    home: str
    base: Mapping[str, str]
    insert: DataInsert | None = None
    data: bytes = b""
    guarded: bool = False
    query_id: str = ""
    session: Asked | None = None
    tables: tuple[ExternalTable, ...] = ()
    # identifies the query in the engine, so that it can be cancelled
    mark: str = field(default_factory=lambda: uuid4().hex)


@dataclass(frozen=True, slots=True)
class Judged:
    """An analyst's statement that may run: text in the engine's form, format, and temporary tables."""

    text: str
    format: str = ""
    on_tables: temporary.Statement | None = None


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
        self._judged: OrderedDict[tuple[str, tuple[tuple[str, str], ...]], Judged] = OrderedDict()
        self._sessions = Sessions()
        self.version = self._text("SELECT version()")
        lines = self._text("SELECT name, default FROM system.settings", "TabSeparatedRaw").split("\n")
        self._known = {name: value for name, _, value in (line.partition("\t") for line in lines)}
        names = self._text("SELECT DISTINCT lower(name) FROM system.functions").split()
        self._closed = frozenset(name for name in names if not allowed.allows_function(name))

    def run(self, query: Query) -> Answer:
        """Run a query and return its answer. Raise ServerError if it fails."""
        with self._listed(query), self._sessions.held(query.session) as session:
            try:
                if self._change(query, session):
                    return Answer(b"", 0, 0, 0)
                with self._connection(query, session) as connection, self._with_tables(connection, query):
                    return self._run(connection, query, session)
            except (RuntimeError, chdb.ChdbError) as error:
                raise EngineError(str(error)) from error
            except UnicodeDecodeError as error:  # the engine's message repeats bytes of the client
                raise EngineError(error.object.decode(errors="replace")) from error

    def explained(self, refusal: DeniedError) -> ServerError:
        """Return the error for a refused name. If the engine does not have the name, suggest a similar name."""
        with contextlib.closing(chdb.connect(self._path)) as connection:
            return unknown.error(connection, refusal)

    def check_settings(self, asked: Mapping[str, str]) -> None:
        """Raise ServerError unless an analyst may have these settings."""
        self._check_pairs(asked.items())

    def _check_pairs(self, asked: Iterable[tuple[str, str]]) -> None:
        for name, value in asked:
            settings.check(name, value, self._known)

    def sweep(self) -> None:
        """Close expired sessions."""
        self._sessions.sweep()

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
        self._sessions.close()
        self._keep.close()

    def _text(self, text: str, form: str = "TabSeparated") -> str:
        return bytes(self._keep.query(text, form).bytes()).decode().strip()

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

    def _run(self, connection: Any, query: Query, session: Session | None) -> Answer:
        if not query.guarded:
            if query.insert is not None:
                return self._insert(connection, query, query.insert.from_file)
            return _answer(connection.query(query.text, query.format, params=dict(query.parameters)), query.format)
        judged = self._judge(query)
        if judged.on_tables is not None:
            if session is None:
                raise guard.denied("writing; analysts write only temporary tables, which need a session_id")
            return self._run_temporary(connection, query, judged, session)
        text, fmt = guard.with_session(judged.text, query.query_id), judged.format or query.format
        return _answer(connection.query(text, fmt, params=dict(query.parameters)), fmt)

    def _run_temporary(self, connection: Any, query: Query, judged: Judged, session: Session) -> Answer:
        """Run a statement on temporary tables. Drop those of the session if they become too large."""
        text, at = judged.text, judged.on_tables.data_at if judged.on_tables else None
        if at is not None:
            answer = self._insert(connection, query, lambda path: f"{text[:at]}FROM INFILE '{path}' {text[at:]}")
        else:
            text = guard.with_session(text, query.query_id)
            answer = _answer(connection.query(text, "TabSeparated", params=dict(query.parameters)), "TabSeparated")
        if session.connection is not None and temporary.is_too_large(connection):
            self._sessions.drop_tables(session)
            raise ServerError(
                241,
                "MEMORY_LIMIT_EXCEEDED",
                f"The session's temporary tables exceed {MOST_BYTES} bytes or {MOST_TABLES} tables: they are dropped.",
            )
        return answer

    def _change(self, query: Query, session: Session | None) -> bool:
        """Run SET and USE, which change only the session. Return whether the query is one."""
        word = sql.first_word(sql.masked(query.text))
        if word not in ("SET", "USE") or not (query.guarded or session):
            return False
        with contextlib.closing(chdb.connect(self._path)) as connection:
            text = _canonical(connection, query.text)
            if word == "SET":
                changed = dict(temporary.settings_of(text, query.parameters))
                self._set(connection, query, session, changed)
            else:
                database = temporary.database_of(text)
                if query.guarded and not access.analyst_database(database):
                    raise DeniedError.named("database", database)
                connection.query(f"USE {_quoted_name(database)}")
                if session is not None:
                    session.database = database
        return True

    def _set(self, connection: Any, query: Query, session: Session | None, changed: Mapping[str, str]) -> None:
        given = {name: value for name, value in changed.items() if value != settings.DEFAULT}
        if query.guarded:
            unknown = {name: value for name, value in changed.items() if name not in self._known}
            self.check_settings({**given, **unknown})  # DEFAULT takes the session's own value away
        _apply(connection, given)  # the engine refuses wrong values
        if session is None:
            return
        kept = {name: value for name, value in session.settings.items() if name not in changed}
        after = {**kept, **given}
        if len(after) > MOST_SETTINGS:
            raise ServerError(36, "BAD_ARGUMENTS", f"A session holds at most {MOST_SETTINGS} settings.")
        session.settings = after
        if session.connection is not None:
            _apply(session.connection, _values(changed, {**query.base, **after}))

    @contextlib.contextmanager
    def _connection(self, query: Query, session: Session | None) -> Iterator[Any]:
        """Yield a connection with the query's settings: that of a session with tables, or a new one."""
        kept = session.settings if session else {}
        database = query.database or (session.database if session else "") or query.home
        asked = {**query.settings, **({"log_comment": query.mark} if query.guarded else {})}
        if session is None or not (session.connection or _MAKES_TABLE.match(sql.masked(query.text))):
            with contextlib.closing(chdb.connect(self._path)) as connection:
                _prepare(connection, database, {**query.base, **kept, **asked}, query.guarded)
                yield connection
            return
        if session.connection is None:
            self._sessions.make_room(session)
            session.connection = chdb.connect(self._path)
            _prepare(session.connection, database, {**query.base, **kept}, query.guarded)
        connection = session.connection
        _prepare(connection, database, asked, guarded=False)
        try:
            yield connection
        finally:
            if session.connection is not None:
                _apply(connection, _values(asked, {**query.base, **kept}))

    @contextlib.contextmanager
    def _with_tables(self, connection: Any, query: Query) -> Iterator[None]:
        """Create the client's external tables as temporary tables, and drop them after the block."""
        created: list[str] = []
        try:
            for table in query.tables:
                if query.guarded:
                    access.analyst_format(table.format)
                elif not table.format.isalnum():
                    raise ServerError(73, "UNKNOWN_FORMAT", f"Unknown format {table.format[:60]!r}.")
                text = _canonical(connection, temporary.creating(table))
                temporary.check_created(text, table)
                connection.query(text)
                created.append(table.name)
                with self._file(table.data) as path:
                    connection.query(f"INSERT INTO `{table.name}` FROM INFILE '{path}' FORMAT {table.format}")
            yield
        finally:
            with contextlib.suppress(RuntimeError, chdb.ChdbError):  # the connection may be closed with its tables
                for name in created:
                    connection.query(f"DROP TEMPORARY TABLE IF EXISTS `{name}`")

    def _judge(self, query: Query) -> Judged:
        """Return the statement as the engine formats it. Raise ServerError if an analyst may not run it.

        The last JUDGED_MOST accepted statements are cached.
        """
        key = query.text, tuple(sorted(query.parameters.items()))
        with self._lock:
            if key in self._judged:
                self._judged.move_to_end(key)
                return self._judged[key]
        with contextlib.closing(chdb.connect(self._path)) as connection:
            _apply(connection, query.base)  # the client's own settings must not cut the syntax tree off
            judged = self._judge_text(connection, _canonical(connection, query.text), query.parameters)
        with self._lock:
            self._judged[key] = judged
            while len(self._judged) > JUDGED_MOST:
                self._judged.popitem(last=False)
        return judged

    def _judge_text(self, connection: Any, text: str, parameters: Mapping[str, str]) -> Judged:
        judged = Judged(text)
        if temporary.is_statement(text):
            statement = temporary.statement(text, parameters)
            self._check_pairs(statement.settings)
            judged = replace(judged, on_tables=statement)
        if judged.on_tables is None or judged.on_tables.select:
            select = judged.on_tables.select if judged.on_tables else text
            judged = replace(judged, format=self._judge_read(connection, select, parameters).format)
        return judged

    def _judge_read(self, connection: Any, text: str, parameters: Mapping[str, str]) -> guard.Read:
        read = guard.check_text(text, parameters)
        self._check_pairs((name, value) for name, value in read.settings if name != guard.FILTERS)
        for condition in guard.conditions(read):
            if guard.FILTERS in condition:
                raise guard.denied(f"{guard.FILTERS} within its own condition")
            self._judge_read(connection, _canonical(connection, f"SELECT {condition}"), parameters)
        if read.selects is not None:
            tree = connection.query(f"EXPLAIN AST {read.tree_of}", "TabSeparatedRaw", params=dict(parameters))
            guard.check_tree(bytes(tree.bytes()).decode(errors="replace"), read, self._closed)
        return read

    def _insert(self, connection: Any, query: Query, statement: Callable[[str], str]) -> Answer:
        """Insert the query's data. `statement` returns the INSERT for a file's path."""
        if not query.data:
            return Answer(b"", 0, 0, 0)
        with self._file(query.data) as path:
            result = connection.query(statement(path), "TabSeparated", params=dict(query.parameters))
            return Answer(b"", int(result.rows_read()), 0, 0)

    @contextlib.contextmanager
    def _file(self, data: bytes) -> Iterator[str]:
        """Write the data to a file, yield its path, and delete the file after the block."""
        handle, name = tempfile.mkstemp(dir=self._scratch)
        try:
            with os.fdopen(handle, "wb") as out:
                out.write(data)
            yield name
        finally:
            Path(name).unlink()


def _prepare(connection: Any, database: str, given: Mapping[str, str], guarded: bool) -> None:
    if database:
        connection.query(f"USE {_quoted_name(database)}")
    _apply(connection, given)
    if guarded:
        connection.query(f"SET readonly = {allowed.READONLY}")


def _apply(connection: Any, given: Mapping[str, str]) -> None:
    """Set settings. The value DEFAULT stands for the engine's own."""
    for name in given:
        if not _NAME.match(name):
            raise ServerError(115, "UNKNOWN_SETTING", f"Unknown setting {name[:60]!r}.")
    if given:
        connection.query("SET " + ", ".join(f"{name} = {_setting(value)}" for name, value in given.items()))


def _setting(value: str) -> str:
    return settings.DEFAULT if value == settings.DEFAULT else _quoted(value)


def _values(names: Iterable[str], present: Mapping[str, str]) -> dict[str, str]:
    """Return the present values of these settings, DEFAULT for those that have none."""
    return {name: present.get(name, settings.DEFAULT) for name in names}


def _canonical(connection: Any, text: str) -> str:
    """Return the statement as the engine formats it. Raise EngineError if it is not one valid statement."""
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
