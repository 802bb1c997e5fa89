"""Sessions of clients (`session_id`): they keep settings and temporary tables between queries.

As in ClickHouse a session belongs to a user, serves one query at a time, and ends `session_timeout` seconds after its
last query. Many clients name a session for each connection and leave nothing in it. Such a session is only an entry of
a dictionary. Sessions with temporary tables have a connection each, and their number is bounded.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.embedded.clickhouse_server.errors import ServerError

DEFAULT_S, LONGEST_S = 60, 3600
MOST_NAME = 256
MOST_SESSIONS = 1_000
MOST_SETTINGS = 100
MOST_WITH_TABLES = 20
# of the temporary tables of an analyst's session
MOST_BYTES, MOST_TABLES = 1 << 26, 20


@dataclass(frozen=True, slots=True)
class Asked:
    """The session that a request names."""

    user: str
    name: str
    timeout_s: int
    must_exist: bool
    close: bool


@dataclass(slots=True)
class Session:
    """A session's state. `connection` exists once it has had a temporary table."""

    asked: Asked
    settings: dict[str, str] = field(default_factory=dict)
    database: str = ""
    connection: Any = None
    ends: float = 0.0
    busy: bool = True

    @property
    def is_empty(self) -> bool:
        """Whether nothing is lost with the session."""
        return self.connection is None and not self.settings and not self.database


def asked(user: str, params: Mapping[str, str]) -> Asked | None:
    """Return the session that the parameters name, if any. Raise error 374 for a wrong time-out."""
    if "session_id" not in params:
        return None
    name, text = params["session_id"], params.get("session_timeout", str(DEFAULT_S))
    if len(name) > MOST_NAME:
        raise ServerError(36, "BAD_ARGUMENTS", f"session_id is longer than {MOST_NAME} characters.")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ServerError(374, "INVALID_SESSION_TIMEOUT", f"Invalid session timeout: '{text[:40]}'.")
    if int(text) > LONGEST_S:
        raise ServerError(
            374,
            "INVALID_SESSION_TIMEOUT",
            f"Session timeout '{text}' is larger than max_session_timeout: {LONGEST_S}.",
        )
    must_exist, close = params.get("session_check") == "1", params.get("close_session") == "1"
    return Asked(user, name, int(text), must_exist, close)


class Sessions:
    """All sessions. Methods may be called from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[tuple[str, str], Session] = {}

    @contextlib.contextmanager
    def held(self, wanted: Asked | None) -> Iterator[Session | None]:
        """Hold the session while the block runs.

        Raise error 372 if it must exist and does not, 373 if another query holds it, 700 if there are too many.
        """
        if wanted is None:
            yield None
            return
        session = self._take(wanted)
        try:
            yield session
        finally:
            self._release(session, wanted)

    def make_room(self, session: Session) -> None:
        """Raise error 700 if the user may have no further session with temporary tables."""
        with self._lock:
            user = session.asked.user
            open_ = sum(each.connection is not None and each.asked.user == user for each in self._sessions.values())
        if session.connection is None and open_ >= MOST_WITH_TABLES:
            raise _too_many(user, f"{MOST_WITH_TABLES} sessions with temporary tables")

    def drop_tables(self, session: Session) -> None:
        """Drop all temporary tables of a session. The caller must be its only user."""
        _close(session)

    def sweep(self) -> None:
        """Close the sessions whose time is over."""
        with self._lock:
            over = [key for key, each in self._sessions.items() if not each.busy and each.ends <= self._clock()]
            ended = [self._sessions.pop(key) for key in over]
        for session in ended:
            _close(session)

    def close(self) -> None:
        """Close all sessions. No query may be running."""
        with self._lock:
            ended, self._sessions = list(self._sessions.values()), {}
        for session in ended:
            _close(session)

    def _take(self, wanted: Asked) -> Session:
        self.sweep()
        key = wanted.user, wanted.name
        with self._lock:
            session = self._sessions.pop(key, None)
            if session is None:
                if wanted.must_exist:
                    raise ServerError(372, "SESSION_NOT_FOUND", f"Session {wanted.name} not found.")
                self._forget_empty(wanted.user)
                session = Session(wanted)
            self._sessions[key] = session
            if session.busy and session.asked is not wanted:
                raise ServerError(373, "SESSION_IS_LOCKED", f"Session {wanted.name} is locked by a concurrent client.")
            session.asked, session.busy = wanted, True
            return session

    def _forget_empty(self, user: str) -> None:
        """Make room for a session: drop the session that was used longest ago and holds nothing."""
        if len(self._sessions) < MOST_SESSIONS:
            return
        idle = next((key for key, each in self._sessions.items() if not each.busy and each.is_empty), None)
        if idle is None:
            raise _too_many(user, f"{MOST_SESSIONS} sessions")
        del self._sessions[idle]

    def _release(self, session: Session, wanted: Asked) -> None:
        with self._lock:
            session.busy = False
            session.ends = self._clock() + wanted.timeout_s
            if wanted.close:
                self._sessions.pop((wanted.user, wanted.name), None)
        if wanted.close:
            _close(session)


def _too_many(user: str, limit: str) -> ServerError:
    return ServerError(
        700,
        "USER_SESSION_LIMIT_EXCEEDED",
        f"User {user} has {limit}; close_session=1 or a short session_timeout helps.",
    )


def _close(session: Session) -> None:
    if session.connection is not None:
        session.connection.close()
        session.connection = None
