"""Users and what they may do. chDB has no users; these stand in for those of a ClickHouse server.

The writer is trusted: a look at its text stops mistakes that would touch this machine's files or another bucket, and
no more. An analyst's statement is judged by `guard`, and runs with ClickHouse's own `readonly = 1` within limits.
"""

import base64
import binascii
import hmac
import re
from dataclasses import dataclass

from aiohttp import web

from infra.embedded.clickhouse_server import allowed, sql
from infra.embedded.clickhouse_server.errors import ServerError

WRITER, ANALYST = "lpstream", "analyst"
# a statement can be read by GET
READS = {"SELECT", "WITH", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "EXISTS"}
# chDB's database `default` finds files by their names: an analyst never runs in it
NO_DATABASE = "information_schema"
# a bucket that is away is told within seconds; by itself ClickHouse tries for minutes
S3_PATIENCE = {"s3_retry_attempts": "3", "s3_connect_timeout_ms": "1000", "s3_request_timeout_ms": "30000"}
# the bucket of the tiers goes by its name, which holds its address and keys; no other address is reached
_OTHER_BUCKETS = re.compile(r"\b(?:s3\w*|gcs\w*|oss\w*|cosn\w*)\s*\(\s*(?!lpstream_s3\s*[,)])", re.IGNORECASE)


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


def check_writer(text: str, method: str) -> None:
    """ServerError for two statements, files, a bucket without its name, or a GET that changes data."""
    bones = sql.skeleton(text)
    if sql.has_second_statement(bones):
        raise ServerError(62, "SYNTAX_ERROR", "Multi-statements are not allowed.")
    if sql.names_client_files(bones):
        raise ServerError(497, "ACCESS_DENIED", "INTO OUTFILE and FROM INFILE belong to a client, not to this server.")
    if found := _OTHER_BUCKETS.search(bones):
        name = found.group().partition("(")[0].strip()
        raise ServerError(497, "ACCESS_DENIED", f"{WRITER}: {name}() takes the collection lpstream_s3 here.")
    if method == "GET" and sql.first_word(bones) not in READS | {"USE"}:
        raise ServerError(164, "READONLY", "Cannot execute query in readonly mode. Use POST to change data.")


def writer_settings(asked: dict[str, str]) -> dict[str, str]:
    """The settings of the writer's query: as asked."""
    return {"async_insert": "0", **S3_PATIENCE, **asked}


def analyst_settings(asked: dict[str, str]) -> dict[str, str]:
    """The settings of an analyst's query: those asked for that are harmless, limits, and what is fixed."""
    looks = {name: value for name, value in asked.items() if allowed.SETTINGS.fullmatch(name)}
    limits = {name: str(allowed.least(asked.get(name), limit)) for name, limit in allowed.LIMITS.items()}
    return {**S3_PATIENCE, **looks, **limits, **allowed.FIXED}


def analyst_database(asked: str) -> str:
    """The database that an analyst's query runs in; ServerError when it is not one of theirs."""
    if asked in ("", "default"):
        return NO_DATABASE
    if asked not in allowed.DATABASES:
        raise ServerError(497, "ACCESS_DENIED", f"analyst: Not enough privileges for the database {asked[:60]!r}.")
    return asked


def analyst_format(asked: str) -> str:
    """The format that an answer has if the statement names none; ServerError when it is not listed."""
    if asked not in allowed.FORMATS:
        raise ServerError(497, "ACCESS_DENIED", f"analyst: Not enough privileges for the format {asked[:60]!r}.")
    return asked
