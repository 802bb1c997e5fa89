"""ClickHouse's HTTP interface over chDB: queries, inserts, formats, parameters, settings, errors, two users."""

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Mapping

from aiohttp import web

from infra.embedded.clickhouse_server import access, sql
from infra.embedded.clickhouse_server.engine import Answer, Engine, Query
from infra.embedded.clickhouse_server.errors import ServerError, status_of

log = logging.getLogger(__name__)

MAX_BODY = 2**30
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
    """Answers requests; one engine behind it."""

    def __init__(self, engine: Engine, users: access.Users) -> None:
        self._engine = engine
        self._users = users

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request."""
        if request.path == "/ping" or (request.path == "/" and not request.query and not request.body_exists):
            return web.Response(text="Ok.\n", content_type="text/html")
        if request.path == "/replicas_status":
            return web.Response(text="Ok.\n")
        if request.path != "/" or request.method not in ("GET", "POST"):
            return web.Response(status=404, text=f"There is no handle {request.path}\n")
        query_id = request.query.get("query_id") or str(uuid.uuid4())
        started = time.monotonic()
        try:
            answer, fmt = await self._run(request)
        except ServerError as error:
            log.info("query %s code %d ms %d", query_id, error.code, (time.monotonic() - started) * 1000)
            return self._failed(error, query_id)
        return self._answered(request, answer, fmt, query_id, started)

    async def _run(self, request: web.BaseRequest) -> tuple[Answer, str]:
        user = self._users.login(request)
        query = _query(request.query, await _body(request), user, request.headers, request.method)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._engine.pool, self._engine.run, query), query.format

    def _headers(self, query_id: str) -> dict[str, str]:
        return {
            "X-ClickHouse-Query-Id": query_id,
            "X-ClickHouse-Server-Display-Name": "lpstream-embedded",
            "X-ClickHouse-Timezone": "UTC",
        }

    def _answered(
        self, request: web.BaseRequest, answer: Answer, fmt: str, query_id: str, started: float
    ) -> web.Response:
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
            "X-ClickHouse-Format": fmt,
            "X-ClickHouse-Summary": json.dumps(summary),
            "Content-Type": CONTENT_TYPES.get(fmt, "text/plain; charset=UTF-8"),
        }
        response = web.Response(body=answer.body, headers=headers)
        accepts = request.headers.get("Accept-Encoding", "")
        if request.query.get("enable_http_compression") == "1" and "gzip" in accepts:
            response.enable_compression(web.ContentCoding.gzip)
        return response

    def _failed(self, error: ServerError, query_id: str) -> web.Response:
        headers = self._headers(query_id) | {"X-ClickHouse-Exception-Code": str(error.code)}
        return web.Response(status=status_of(error.code), text=error.body(self._engine.version), headers=headers)


async def _body(request: web.BaseRequest) -> bytes:
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise ServerError(307, "TOO_MANY_BYTES", f"The body is larger than {MAX_BODY} bytes.") from error
    if request.headers.get("Content-Encoding", "").lower() == "lz4":
        import lz4.frame

        try:
            return bytes(lz4.frame.decompress(body))
        except RuntimeError as error:
            raise ServerError(117, "INCORRECT_DATA", "The body is no lz4 frame.") from error
    return body


def _query(params: Mapping[str, str], body: bytes, user: str, headers: Mapping[str, str], method: str) -> Query:
    for flag in ("compress", "decompress"):
        if params.get(flag, "0") not in ("0", ""):
            raise ServerError(48, "NOT_IMPLEMENTED", f"{flag}=1 is not supported here; use Content-Encoding.")
    text, insert, data = _statement(params.get("query", ""), body)
    if not text.strip():
        raise ServerError(62, "SYNTAX_ERROR", "Empty query.")
    database = params.get("database") or headers.get("X-ClickHouse-Database", "")
    access.check_statement(insert.head if insert else text, user, database)
    if method == "GET" and sql.first_word(sql.skeleton(text)) not in access.READS | {"USE"}:
        raise ServerError(164, "READONLY", "Cannot execute query in readonly mode. Use POST to change data.")
    default = params.get("default_format") or headers.get("X-ClickHouse-Format") or DEFAULT_FORMAT
    asked = {k: v for k, v in params.items() if k not in RESERVED and not k.startswith("param_")}
    return Query(
        text=text,
        format=sql.result_format(sql.skeleton(text), default),
        database=database,
        settings=access.settings_for(user, asked),
        parameters={k.removeprefix("param_"): v for k, v in params.items() if k.startswith("param_")},
        insert=insert,
        data=data,
    )


def _statement(in_url: str, body: bytes) -> tuple[str, sql.DataInsert | None, bytes]:
    """The statement, how its data is given, and the data: in the body alone, or split between URL and body."""
    if in_url.strip():
        insert = sql.data_insert(in_url + "\n")
        if insert is not None:
            return in_url, insert, (in_url + "\n")[insert.data_at :].lstrip().encode() + body
        return (in_url if not body else f"{in_url}\n{_text(body)}"), None, b""
    # the data that follows FORMAT can be binary: look for the statement in what can be read as text
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
