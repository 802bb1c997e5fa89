"""Logs on stderr: text lines, or JSON objects with the ids of their request and trace.

The logins and secrets within URLs are removed from each line, because tracebacks and messages of libraries also contain
URLs.
"""

import logging
import re
import sys
from contextvars import ContextVar
from uuid import UUID

from pythonjsonlogger.json import JsonFormatter

from streams.runtime import tracing
from streams.runtime.settings import Settings

TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"
_FIELDS = {"levelname": "level", "name": "logger"}
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
# A password may hold "@", and "/" if no port stands before it. Its length is bounded, so that a long line is read fast.
_login = re.compile(r"""(?<=://)(?:[^/\s"<>]*@|[^/:\[\s"<>@]*:(?!\d{1,5}/)[^\s"<>]{1,1000}@)""")
_secret = re.compile(
    r"""([?&](?:[\w.-]*(?:password|passwd|passphrase|secret|token|signature|credentials?|api[_-]?key|access[_-]?key(?:[_-]?id)?)
    |(?:[\w.-]*[_.-])?(?:key|sig|pwd|pass|auth))=)[^&\s"'<>]+""",
    re.IGNORECASE | re.VERBOSE,
)
_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


def begin_request(request_id: str | bytes | None) -> None:
    """Add the request's id to this task's lines from now on. Ignore a value that is no id."""
    text = request_id.decode("ascii", "replace") if isinstance(request_id, bytes) else request_id
    _request_id.set(text if text and _ID.fullmatch(text) else None)


def request_uuid() -> UUID | None:
    """Return the id of this task's request, or None if it is no UUID."""
    try:
        return UUID(_request_id.get() or "")
    except ValueError:
        return None


class _Ids(logging.Filter):
    """A filter that adds the service and the ids of request and trace to each record."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def filter(self, record: logging.LogRecord) -> bool:
        record.service = self._service
        if (request_id := _request_id.get()) is not None:
            record.request_id = request_id
        for name, value in tracing.ids().items():
            setattr(record, name, value)
        return True


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


class _Json(JsonFormatter):
    def format(self, record: logging.LogRecord) -> str:
        return without_secrets(super().format(record))


def without_secrets(text: str) -> str:
    """Return the text without the logins of its URLs and the secrets in their queries."""
    return _secret.sub(r"\1…", _login.sub("", text))


def log_to_stderr(settings: Settings, service: str) -> None:
    """Set up the root logger. Call it once in a process."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "text":
        handler.setFormatter(_Text(TEXT))
    else:
        handler.setFormatter(_Json("%(levelname)s%(name)s%(message)s", rename_fields=_FIELDS, timestamp=True))
        handler.addFilter(_Ids(service))
    logging.basicConfig(level=settings.log_level, handlers=[handler])
