"""ClickHouse's HTTP interface over chDB, for two users."""

import asyncio
import functools
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace

from aiohttp import web

from infra.embedded.clickhouse_server import access, frames, native, sql
from infra.embedded.clickhouse_server.engine import Answer, Engine, Query
from infra.embedded.clickhouse_server.errors import ServerError, status_of
from infra.embedded.clickhouse_server.lanes import Lane

log = logging.getLogger(__name__)

MAX_BODY = 2**30
# an analyst's statement with its parameters; ClickHouse's max_query_size is 256 KiB
MAX_STATEMENT = 2**16
WRITER_THREADS, WRITER_QUERIES = 12, 100
ANALYST_THREADS, ANALYST_QUERIES = 4, 20
PATIENCE_S = 30.0
# pauses before each attempt to cancel the query of a disconnected client, which may not have begun yet
CANCEL_PAUSES_S = (0.0, 0.2, 1.0, 5.0)
DEFAULT_FORMAT = "TabSeparated"
# parameters of the interface itself; any other is a setting of the query
RESERVED = {
    "query", "database", "default_format", "user", "password", "query_id", "session_id", "session_timeout",
    "session_check", "buffer_size", "compress", "decompress", "stacktrace", "quota_key", "role",
    "client_protocol_version", "wait_end_of_query",
}  # fmt: skip
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
        """Answer a request."""
        if request.path == "/ping" or (request.path == "/" and not request.query and not request.body_exists):
            return web.Response(text="Ok.\n", content_type="text/html")
        if request.path == "/replicas_status":
            return web.Response(text="Ok.\n")
        if request.path != "/" or request.method not in ("GET", "POST"):
            return web.Response(status=404, text=f"There is no handle {request.path}\n")
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        started = time.monotonic()
        try:
            answer = await self._run(request, query_id)
        except ServerError as error:
            log.info("query %s code %d ms %d", query_id, error.code, (time.monotonic() - started) * 1000)
            return self._failed(error, query_id, framed=error.code != access.WRONG_LOGIN and _is_framed(request.query))
        return self._answered(request, answer, query_id, started)

    async def _run(self, request: web.BaseRequest, query_id: str) -> Answer:
        user = self._users.login(request)
        if user == access.WRITER:
            query = _writer_query(request, await _body(request, MAX_BODY))
            return await self._writers.run(functools.partial(_encoded, self._engine.run, query, request.query))
        query = _analyst_query(request, await _body(request, MAX_STATEMENT), query_id)
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
        if request.query.get("enable_http_compression") == "1" and "gzip" in accepts:
            response.enable_compression(web.ContentCoding.gzip)
        return response

    def _failed(self, error: ServerError, query_id: str, *, framed: bool) -> web.Response:
        """Return the error, which ClickHouse compresses like an answer once the client has logged in."""
        headers = self._headers(query_id) | {"X-ClickHouse-Exception-Code": str(error.code)}
        text = error.body(self._engine.version)
        if framed:
            return web.Response(status=status_of(error.code), body=frames.compressed(text.encode()), headers=headers)
        return web.Response(status=status_of(error.code), text=text, headers=headers)


def _encoded(run: Callable[[Query], Answer], query: Query, params: Mapping[str, str]) -> Answer:
    """Run the query; return its answer in the form that the client asks for."""
    answer = run(query)
    body = answer.body
    if answer.format == "Native":
        body = native.with_revision(body, _revision(params))
    return replace(answer, body=frames.compressed(body) if _is_framed(params) else body)


async def _body(request: web.BaseRequest, most: int) -> bytes:
    """Return the body, decompressed. Raise error 307 if it is larger than `most`, also when compressed."""
    too_long = ServerError(307, "TOO_MANY_BYTES", f"The body is larger than {most} bytes.")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            raise too_long
    if request.query.get("decompress") == "1":
        return frames.inflated(bytes(body), most)
    coding = request.headers.get("Content-Encoding", "").lower()
    if coding not in ("", "identity", "gzip", "deflate", "lz4"):
        raise ServerError(48, "NOT_IMPLEMENTED", f"Content-Encoding {coding[:20]!r}: send gzip, deflate, lz4 or plain.")
    if coding != "lz4":
        return bytes(body)
    import lz4.frame

    try:
        inflated = bytes(lz4.frame.LZ4FrameDecompressor().decompress(bytes(body), max_length=most + 1))
    except RuntimeError as error:
        raise ServerError(117, "INCORRECT_DATA", "The body is not an lz4 frame.") from error
    if len(inflated) > most:
        raise too_long
    return inflated


def _writer_query(request: web.BaseRequest, body: bytes) -> Query:
    text, insert, data = _statement(request.query.get("query", ""), body)
    _check_not_empty(text)
    if insert and insert.format == "Native" and _revision(request.query):
        raise ServerError(48, "NOT_IMPLEMENTED", "INSERT in Native: leave client_protocol_version out of the URL.")
    access.check_writer(insert.head if insert else text, request.method)
    return Query(
        text=text,
        format=sql.result_format(sql.skeleton(text), _format(request)),
        database=_database(request),
        settings=access.writer_settings(_requested_settings(request.query)),
        parameters=_parameters(request.query),
        insert=insert,
        data=data,
    )


def _analyst_query(request: web.BaseRequest, body: bytes, query_id: str) -> Query:
    """Return the query without a check of its text: the engine parses it."""
    text = "\n".join(part for part in (request.query.get("query", ""), _text(body)) if part.strip())
    _check_not_empty(text)
    parameters = _parameters(request.query)
    if len(text) + sum(len(name) + len(value) for name, value in parameters.items()) > MAX_STATEMENT:
        raise ServerError(62, "SYNTAX_ERROR", f"The statement and its parameters exceed {MAX_STATEMENT} characters.")
    return Query(
        text=text,
        format=access.analyst_format(_format(request)),
        database=access.analyst_database(_database(request)),
        settings=access.analyst_settings(_requested_settings(request.query)),
        parameters=parameters,
        guarded=True,
        query_id=query_id,
    )


def _is_framed(params: Mapping[str, str]) -> bool:
    """Return whether the client asks for the answer in ClickHouse's own compressed frames."""
    return params.get("compress") == "1"


def _revision(params: Mapping[str, str]) -> int:
    """Return the client's protocol revision, 0 if it names none. Raise error 27 if it is no number."""
    text = params.get("client_protocol_version", "") or "0"
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise ServerError(27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED", "client_protocol_version must be a number.")
    return int(text)


def _check_not_empty(text: str) -> None:
    if not text.strip():
        raise ServerError(62, "SYNTAX_ERROR", "Empty query.")


def _format(request: web.BaseRequest) -> str:
    in_url = request.query.get("default_format", "")
    return str(in_url or request.headers.get("X-ClickHouse-Format", "") or DEFAULT_FORMAT)


def _database(request: web.BaseRequest) -> str:
    return str(request.query.get("database", "") or request.headers.get("X-ClickHouse-Database", ""))


def _requested_settings(params: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in params.items() if k not in RESERVED and not k.startswith("param_")}


def _parameters(params: Mapping[str, str]) -> dict[str, str]:
    return {k.removeprefix("param_"): v for k, v in params.items() if k.startswith("param_")}


def _statement(in_url: str, body: bytes) -> tuple[str, sql.DataInsert | None, bytes]:
    """Return the statement, the form of its data, and the data.

    They are in the body alone, or split between URL and body.
    """
    if in_url.strip():
        insert = sql.data_insert(in_url + "\n")
        if insert is not None:
            return in_url, insert, (in_url + "\n")[insert.data_at :].lstrip().encode() + body
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
