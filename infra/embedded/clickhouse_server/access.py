"""The users and their permissions. chDB has no users; these replace the users of a ClickHouse server.

The writer is trusted: its text is checked only for mistakes that would touch this machine's files or another bucket. An
analyst's statement is checked by `guard`, and runs with ClickHouse's `readonly = 1` within limits.
"""

import base64
import hmac
import re
from dataclasses import dataclass

from aiohttp import web

from infra.embedded.clickhouse_server import allowed, sql
from infra.embedded.clickhouse_server.errors import DeniedError, ServerError

WRITER, ANALYST = "lpstream", "analyst"
WRONG_LOGIN = 516
# in chDB's database `default` a table name can be a file: an analyst never runs in it
NO_DATABASE = "information_schema"
# a bucket that is away fails within seconds; by default ClickHouse retries for minutes
S3_PATIENCE = {"s3_retry_attempts": "3", "s3_connect_timeout_ms": "1000", "s3_request_timeout_ms": "30000"}
# only the named collection with the tiers' bucket may be used, no other address
_OTHER_BUCKETS = re.compile(r"\b(?:s3\w*|gcs\w*|oss\w*|cosn\w*)\s*\(\s*(?!lpstream_s3\s*[,)])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Users:
    """The two users' passwords."""

    writer_password: str
    analyst_password: str

    def login(self, request: web.BaseRequest) -> str:
        """Return the request's user. Raise error 516 if the name or the password is wrong."""
        name, password = _credentials(request)
        passwords = {WRITER: self.writer_password, ANALYST: self.analyst_password}
        expected = passwords.get(name, "")
        # a header's bytes that are not UTF-8 are surrogates here
        if not expected or not hmac.compare_digest(password.encode(errors="surrogateescape"), expected.encode()):
            raise ServerError(
                WRONG_LOGIN,
                "AUTHENTICATION_FAILED",
                f"{name[:40]!r}: Authentication failed: password is incorrect, or there is no user with such name.",
            )
        return name


def _credentials(request: web.BaseRequest) -> tuple[str, str]:
    headers, query = request.headers, request.query
    if "X-ClickHouse-User" in headers:
        return headers["X-ClickHouse-User"], headers.get("X-ClickHouse-Key", "")
    scheme, _, login = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            text = base64.b64decode(login.strip(), validate=True).decode()
        except ValueError as error:
            raise ServerError(
                WRONG_LOGIN, "AUTHENTICATION_FAILED", "the Authorization header is not a Basic login."
            ) from error
        name, _, password = text.partition(":")
        return name, password
    return query.get("user", "default"), query.get("password", "")


def check_writer(text: str, method: str) -> None:
    """Raise ServerError for two statements, files, an unnamed bucket, or a GET that changes data."""
    masked_text = sql.masked(text)
    if sql.has_second_statement(masked_text):
        raise ServerError(62, "SYNTAX_ERROR", "Multi-statements are not allowed.")
    if sql.names_client_files(masked_text):
        raise ServerError(497, "ACCESS_DENIED", "INTO OUTFILE and FROM INFILE work only in a client, not here.")
    if match := _OTHER_BUCKETS.search(masked_text):
        name = match.group().partition("(")[0].strip()
        raise ServerError(497, "ACCESS_DENIED", f"{WRITER}: {name}() must use the collection lpstream_s3.")
    if method == "GET" and sql.first_word(masked_text) not in allowed.READS | {"DESC", "USE"}:
        raise ServerError(164, "READONLY", "Cannot execute query in readonly mode. Use POST to change data.")


def settings_of(user: str) -> dict[str, str]:
    """Return the settings of each query of a user, before its own."""
    if user == WRITER:
        return {"async_insert": "0", **S3_PATIENCE}
    limits = {name: str(limit) for name, limit in allowed.LIMITS.items()}
    return {**S3_PATIENCE, "result_overflow_mode": "throw", **limits, **allowed.FIXED}


def analyst_database(asked: str) -> str:
    """Return the database that an analyst's query names, or "".

    Raise ServerError if it is not allowed.
    """
    if asked in ("", "default"):
        return ""
    if asked not in allowed.DATABASES:
        raise DeniedError.named("database", asked)
    return asked


def analyst_format(asked: str) -> str:
    """Return a format's name in the engine's case. Raise ServerError if the format is not allowed."""
    if asked.lower() not in allowed.FORMAT_NAMES:
        raise DeniedError.named("format", asked)
    return allowed.FORMAT_NAMES[asked.lower()]
