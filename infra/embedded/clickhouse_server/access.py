"""Users and what they may do. chDB has no users; these stand in for those of a ClickHouse server.

The writer may do anything that does not touch this machine's files. The analyst runs with ClickHouse's own
`readonly = 1`, and what that leaves open (files read by functions, KILL, other users' queries) is refused here.
"""

import base64
import binascii
import hmac
import re
from dataclasses import dataclass

from aiohttp import web

from infra.embedded.clickhouse_server import sql
from infra.embedded.clickhouse_server.errors import ServerError

WRITER, ANALYST = "lpstream", "analyst"
READS = {"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"}
ANALYST_DATABASES = {"", "default", "lpstream", "information_schema"}
# an analyst's client may set these; anything else of theirs is dropped or refused by `readonly`
ANALYST_LIMITS = {"max_execution_time": 30, "max_result_rows": 1_000_000}
# a bucket that is away is told within seconds; by itself ClickHouse tries for minutes
S3_PATIENCE = {"s3_retry_attempts": "3", "s3_connect_timeout_ms": "1000", "s3_request_timeout_ms": "30000"}
CLIENT_SETTINGS = re.compile(
    r"output_format_\w+|format_\w+|date_time_\w+|max_block_size|max_threads|extremes|join_use_nulls"
    r"|enable_http_compression|send_progress_in_http_headers|http_headers_progress_interval_ms|session_timezone"
    r"|wait_end_of_query|cancel_http_readonly_queries_on_client_close|result_overflow_mode|log_comment"
)
_OUTSIDE = re.compile(
    r"\b(?:file\w*|url\w*|s3\w*|gcs\w*|oss\w*|cosn\w*|azure\w*|hdfs\w*|remote\w*|cluster\w*|python|executable\w*|mysql|"
    r"postgresql|sqlite|mongodb|redis|jdbc|odbc|iceberg\w*|deltaLake\w*|hudi\w*|paimon\w*|arrowFlight|ytsaurus|"
    r"input|dictionary|catboostEvaluate|sleep\w*|loop|fuzz\w*|merge|ai\w*)\s*\(",
    re.IGNORECASE,
)
# the bucket of the tiers goes by its name, which holds its address and keys; no other address is reached
_OTHER_BUCKETS = re.compile(r"\b(?:s3\w*|gcs\w*|oss\w*|cosn\w*)\s*\(\s*(?!lpstream_s3\s*[,)])", re.IGNORECASE)
_SYSTEM = re.compile(r"\bsystem\s*\.\s*(\w+)", re.IGNORECASE)
OPEN_SYSTEM_TABLES = {
    "settings", "tables", "columns", "databases", "functions", "formats", "data_type_families", "one", "numbers",
    "parts", "time_zones", "contributors", "build_options", "table_engines", "collations", "keywords",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Users:
    """The two users' passwords."""

    writer_password: str
    analyst_password: str

    def login(self, request: web.BaseRequest) -> str:
        """The request's user; error 516 when name or password is wrong, whichever."""
        name, password = _credentials(request)
        passwords = {WRITER: self.writer_password, ANALYST: self.analyst_password}
        expected = passwords.get(name, "")
        if not expected or not hmac.compare_digest(password.encode(), expected.encode()):
            raise ServerError(
                516,
                "AUTHENTICATION_FAILED",
                f"{name[:40]!r}: Authentication failed: password is incorrect, or there is no user with such name.",
            )
        return name


def _credentials(request: web.BaseRequest) -> tuple[str, str]:
    headers, query = request.headers, request.query
    if "X-ClickHouse-User" in headers:
        return headers["X-ClickHouse-User"], headers.get("X-ClickHouse-Key", "")
    if headers.get("Authorization", "").startswith("Basic "):
        try:
            text = base64.b64decode(headers["Authorization"][6:], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ServerError(516, "AUTHENTICATION_FAILED", "the Authorization header is no Basic login.") from error
        name, _, password = text.partition(":")
        return name, password
    return query.get("user", "default"), query.get("password", "")


def check_statement(text: str, user: str, database: str) -> None:
    """ServerError when this user may not run this text here."""
    bones = sql.skeleton(text)
    if sql.has_second_statement(bones):
        raise ServerError(62, "SYNTAX_ERROR", "Multi-statements are not allowed.")
    if sql.names_client_files(bones):
        raise ServerError(497, "ACCESS_DENIED", "INTO OUTFILE and FROM INFILE belong to a client, not to this server.")
    if found := _OTHER_BUCKETS.search(bones):
        name = found.group().partition("(")[0].strip()
        raise ServerError(497, "ACCESS_DENIED", f"{user}: {name}() takes the collection lpstream_s3 here.")
    if user == ANALYST:
        _check_analyst(bones, database)


def _check_analyst(bones: str, database: str) -> None:
    if sql.first_word(bones) not in READS:
        raise ServerError(164, "READONLY", "analyst: Cannot execute query in readonly mode.")
    if found := _OUTSIDE.search(bones):
        raise ServerError(
            497, "ACCESS_DENIED", f"analyst: Not enough privileges for {found.group().rstrip('( ').strip()}()."
        )
    closed = [name for name in _SYSTEM.findall(bones) if name.lower() not in OPEN_SYSTEM_TABLES]
    if closed or database.lower() not in ANALYST_DATABASES:
        raise ServerError(497, "ACCESS_DENIED", "analyst: Not enough privileges for that system table or database.")


def settings_for(user: str, asked: dict[str, str]) -> dict[str, str]:
    """The settings of the query: the writer's as asked, the analyst's harmless ones within limits, readonly last."""
    if user == WRITER:
        return {"async_insert": "0", **S3_PATIENCE, **asked}
    allowed = {name: value for name, value in asked.items() if CLIENT_SETTINGS.fullmatch(name)}
    limits = {name: str(_least(asked.get(name), limit)) for name, limit in ANALYST_LIMITS.items()}
    return {**S3_PATIENCE, **allowed, **limits, "allow_introspection_functions": "0", "readonly": "1"}


def _least(asked: str | None, limit: int) -> int:
    if asked is None or not asked.isdigit() or int(asked) == 0:
        return limit
    return min(int(asked), limit)
