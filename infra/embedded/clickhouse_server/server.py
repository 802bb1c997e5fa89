"""ClickHouse's HTTP interface over chDB, for two users."""

import asyncio
import functools
import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace

from aiohttp import web

from infra.embedded.clickhouse_server import access, allowed, bodies, frames, native, sessions, sql
from infra.embedded.clickhouse_server.bodies import Inquiry, flag
from infra.embedded.clickhouse_server.engine import Answer, Engine, Query
from infra.embedded.clickhouse_server.errors import DeniedError, ServerError, status_of
from infra.embedded.clickhouse_server.lanes import Lane

log = logging.getLogger(__name__)

MAX_BODY = 2**30
# an analyst's statement with its parameters; ClickHouse's max_query_size is 256 KiB
MAX_STATEMENT = 2**16
# an analyst's external data, or data of a temporary table
MAX_DATA = 2**24
WRITER_THREADS, WRITER_QUERIES = 12, 100
ANALYST_THREADS, ANALYST_QUERIES = 4, 20
PATIENCE_S = 30.0
# pauses before each attempt to cancel the query of a disconnected client, which may not have begun yet
CANCEL_PAUSES_S = (0.0, 0.2, 1.0, 5.0)
DEFAULT_FORMAT = "TabSeparated"
# a query id returns in a header
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# parameters of the interface itself; any other is a setting of the query
RESERVED = {
    "query", "database", "default_format", "user", "password", "query_id", "session_id", "session_timeout",
    "session_check", "close_session", "buffer_size", "compress", "decompress", "stacktrace", "quota_key", "role",
    "client_protocol_version", "wait_end_of_query", "",
}  # fmt: skip
# of external tables in a form
TABLE_FIELDS = ("_format", "_types", "_structure")
NO_HANDLE = """There is no handle {path}

Use / or /ping for health checks. Send queries with POST, or with GET /?query=...
"""
# the answer to a browser that asks before a query, as in ClickHouse's packaged config.xml
OPTIONS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "origin, x-requested-with, x-clickhouse-format, x-clickhouse-user,"
    " x-clickhouse-key, Authorization",
    "Access-Control-Allow-Methods": "POST, GET, OPTIONS",
    "Access-Control-Max-Age": "86400",
}
CONTENT_TYPES = {
    "JSON": "application/json; charset=UTF-8",
    "JSONCompact": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "TSV": "text/tab-separated-values; charset=UTF-8",
    "Arrow": "application/octet-stream",
    "ArrowStream": "application/octet-stream",
    "Native": "application/octet-stream",
    "Parquet": "application/octet-stream",
    "RowBinary": "application/octet-stream",
}


class Server:
    """The HTTP server of one engine."""

    def __init__(self, engine: Engine, users: access.Users) -> None:
        self._engine = engine
        self._users = users
        self._writers = Lane[Answer]("lpstream", WRITER_THREADS, WRITER_QUERIES, PATIENCE_S)
        self._analysts = Lane[Answer]("analyst", ANALYST_THREADS, ANALYST_QUERIES, PATIENCE_S)
        # KILL QUERY has its own lane, so that it works while the analysts' lane is full
        self._cancels = Lane[Answer]("cancel", 1, ANALYST_QUERIES, PATIENCE_S)
        self._leaving: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Wait for running queries."""
        for lane in (self._writers, self._analysts, self._cancels):
            lane.close()

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request. As in ClickHouse, the path of a query may be any."""
        reads = request.method in ("GET", "HEAD")
        if request.path == "/ping" or (request.path == "/" and reads and not request.query):
            return web.Response(text="Ok.\n", content_type="text/html")
        if request.path == "/replicas_status":
            return web.Response(text="Ok.\n")
        if request.method == "OPTIONS":
            return web.Response(status=204, headers=OPTIONS)
        if request.method != "POST" and not (reads and request.query):
            return web.Response(status=404, text=NO_HANDLE.format(path=request.path[:100]))
        query_id = request.query.get("query_id") or request.headers.get("X-ClickHouse-Query-Id") or ""
        query_id = _CONTROL.sub("", query_id) or str(uuid.uuid4())
        started = time.monotonic()
        try:
            answer = await self._run(request, query_id)
        except ServerError as raised:
            error = raised
            if isinstance(raised, DeniedError):
                error = await asyncio.to_thread(self._engine.explained, raised)
            log.info("query %s code %d ms %d", query_id, error.code, (time.monotonic() - started) * 1000)
            framed = error.code != access.WRONG_LOGIN and _is_framed(request.query)
            response = self._failed(error, query_id, framed=framed)
        else:
            response = self._answered(request, answer, query_id, started)
        if flag(request.query, "add_http_cors_header") and "Origin" in request.headers:
            response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    async def _run(self, request: web.BaseRequest, query_id: str) -> Answer:
        user = self._users.login(request)
        if user == access.WRITER:
            query = _writer_query(await bodies.read(request, MAX_BODY), query_id)
            return await self._writers.run(functools.partial(_encoded, self._engine.run, query, request.query))
        carries_data = bodies.is_form(request) or "session_id" in request.query
        query = _analyst_query(await bodies.read(request, MAX_DATA if carries_data else MAX_STATEMENT), query_id)
        self._engine.check_settings(query.settings)
        if query.text.lstrip()[:4].upper() == "KILL":
            return await self._cancels.run(functools.partial(_encoded, self._engine.kill, query, request.query))
        try:
            return await self._analysts.run(functools.partial(_encoded, self._engine.run, query, request.query))
        except asyncio.CancelledError:
            task = asyncio.create_task(self._cancel(query))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)
            raise

    async def _cancel(self, query: Query) -> None:
        """Cancel the query of a disconnected client. A waiting query never begins."""
        for pause in CANCEL_PAUSES_S:
            await asyncio.sleep(pause)
            if not await asyncio.to_thread(self._engine.cancel, query):
                return

    def _headers(self, query_id: str) -> dict[str, str]:
        return {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Server-Display-Name": "lpstream-embedded",
            "X-ClickHouse-Timezone": "UTC",
        }

    def _answered(self, request: web.BaseRequest, answer: Answer, query_id: str, started: float) -> web.Response:
        summary = {
            "read_rows": str(answer.read_rows),
            "read_bytes": str(answer.read_bytes),
            "written_rows": str(answer.rows if not answer.body else 0),
            "written_bytes": "0",
            "total_rows_to_read": "0",
            "result_rows": str(answer.rows),
            "result_bytes": str(len(answer.body)),
            "elapsed_ns": str(int((time.monotonic() - started) * 1e9)),
        }
        headers = self._headers(query_id) | {
            "X-ClickHouse-Format": answer.format,
            "X-ClickHouse-Summary": json.dumps(summary),
            "Content-Type": CONTENT_TYPES.get(answer.format, "text/plain; charset=UTF-8"),
        }
        response = web.Response(body=answer.body, headers=headers)
        accepts = request.headers.get("Accept-Encoding", "")
        if flag(request.query, "enable_http_compression") and "gzip" in accepts:
            response.enable_compression(web.ContentCoding.gzip)
        return response

    def _failed(self, error: ServerError, query_id: str, *, framed: bool) -> web.Response:
        """Return the error, which ClickHouse compresses like an answer once the client has logged in."""
        headers = self._headers(query_id) | {"X-ClickHouse-Exception-Code": str(error.code)}
        text = error.body(self._engine.version).encode(errors="replace")  # a client's bytes that are no UTF-8
        if framed:
            return web.Response(status=status_of(error.code), body=frames.compressed(text), headers=headers)
        headers["Content-Type"] = "text/plain; charset=utf-8"
        return web.Response(status=status_of(error.code), body=text, headers=headers)


def _encoded(run: Callable[[Query], Answer], query: Query, params: Mapping[str, str]) -> Answer:
    """Run the query; return its answer in the form that the client asks for."""
    answer = run(query)
    body = answer.body
    if answer.format == "Native":
        body = native.with_revision(body, _revision(params))
    return replace(answer, body=frames.compressed(body) if _is_framed(params) else body)


def _writer_query(inquiry: Inquiry, query_id: str) -> Query:
    params = inquiry.params
    text, insert, data = _statement(params.get("query", ""), inquiry.body)
    _check_not_empty(text)
    access.check_writer(insert.head if insert else text, inquiry.method)
    return Query(
        text=text,
        format=_in_the_engines_case(sql.result_format(sql.masked(text), _format(inquiry))),
        database=_database(inquiry),
        settings=_requested_settings(inquiry),
        parameters=_parameters(params),
        home="default",
        base=access.settings_of(access.WRITER),
        insert=insert,
        data=data,
        query_id=query_id,
        session=sessions.asked(access.WRITER, params),
        tables=inquiry.tables,
    )


def _analyst_query(inquiry: Inquiry, query_id: str) -> Query:
    """Return the query without a check of its text: the engine parses it."""
    params, parameters = inquiry.params, _parameters(inquiry.params)
    text, insert, data = _statement(params.get("query", ""), inquiry.body)
    if insert is None:
        text, insert, data = _values_statement(text)
    if insert is not None:
        text = f"{insert.head} FORMAT {insert.format}"
    _check_not_empty(text)
    if len(text) + sum(len(name) + len(value) for name, value in parameters.items()) > MAX_STATEMENT:
        raise ServerError(62, "SYNTAX_ERROR", f"The statement and its parameters exceed {MAX_STATEMENT} characters.")
    return Query(
        text=text,
        format=access.analyst_format(_format(inquiry)),
        database=access.analyst_database(_database(inquiry)),
        settings=_requested_settings(inquiry),
        parameters=parameters,
        home=access.NO_DATABASE,
        base=access.settings_of(access.ANALYST),
        insert=insert,
        data=data,
        guarded=True,
        query_id=query_id,
        session=sessions.asked(access.ANALYST, params),
        tables=inquiry.tables,
    )


def _values_statement(text: str) -> tuple[str, sql.DataInsert | None, bytes]:
    """Return an INSERT … VALUES as a statement and its data, any other statement as it is."""
    insert = sql.values_insert(text)
    if insert is None:
        return text, None, b""
    return insert.head, insert, text[insert.data_at :].strip(" \r\n;").encode()


def _is_framed(params: Mapping[str, str]) -> bool:
    """Return whether the client asks for the answer in ClickHouse's own compressed frames."""
    return flag(params, "compress")


def _revision(params: Mapping[str, str]) -> int:
    """Return the client's protocol revision, 0 if it names none. Raise error 27 if it is no number."""
    text = params.get("client_protocol_version", "") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise ServerError(27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", "client_protocol_version must be a number.")
    return int(text)


def _check_not_empty(text: str) -> None:
    if not text.strip():
        raise ServerError(62, "SYNTAX_ERROR", "Empty query.")


def _format(inquiry: Inquiry) -> str:
    in_header = inquiry.headers.get("X-ClickHouse-Format", "")
    return in_header or inquiry.params.get("default_format", "") or DEFAULT_FORMAT


def _in_the_engines_case(fmt: str) -> str:
    return allowed.FORMAT_NAMES.get(fmt.lower(), fmt)


def _database(inquiry: Inquiry) -> str:
    return inquiry.headers.get("X-ClickHouse-Database", "") or inquiry.params.get("database", "")


def _requested_settings(inquiry: Inquiry) -> dict[str, str]:
    settings = {k: v for k, v in inquiry.params.items() if k not in RESERVED and not k.startswith("param_")}
    if not inquiry.tables:
        return settings
    return {name: value for name, value in settings.items() if not name.endswith(TABLE_FIELDS)}


def _parameters(params: Mapping[str, str]) -> dict[str, str]:
    return {k.removeprefix("param_"): v for k, v in params.items() if k.startswith("param_")}


def _statement(in_url: str, body: bytes) -> tuple[str, sql.DataInsert | None, bytes]:
    """Return the statement, the form of its data, and the data.

    They are in the body alone, or split between URL and body.
    """
    if in_url.strip():
        insert = sql.data_insert(in_url + "\n")
        if insert is not None:
            return in_url, insert, in_url[insert.data_at :].lstrip().encode() + body
        return (in_url if not body else f"{in_url}\n{_text(body)}"), None, b""
    # the data after FORMAT can be binary, so the statement is searched in a lenient decoding
    head = body[:65_536].decode("utf-8", errors="surrogateescape")
    insert = sql.data_insert(head)
    if insert is None:
        return _text(body), None, b""
    return insert.head, insert, body[len(head[: insert.data_at].encode("utf-8", errors="surrogateescape")) :]


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise ServerError(62, "SYNTAX_ERROR", "The query is not UTF-8.") from error
