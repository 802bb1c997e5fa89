"""Sessions of SQL clients: one holder at a time, an end, and bounds."""

import pytest

from infra.embedded.clickhouse_server import sessions
from infra.embedded.clickhouse_server.errors import ServerError
from infra.embedded.clickhouse_server.sessions import MOST_SESSIONS, MOST_WITH_TABLES, Asked, Sessions


class Connection:
    closed = False

    def close(self) -> None:
        self.closed = True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def asked(name: str, **changes: str) -> Asked:
    wanted = sessions.asked("analyst", {"session_id": name, **changes})
    assert wanted is not None
    return wanted


def test_a_request_without_a_session_has_none() -> None:
    assert sessions.asked("analyst", {"session_timeout": "x"}) is None
    with Sessions().held(None) as session:
        assert session is None


def test_a_session_ends_and_closes_its_connection() -> None:
    clock, connection = Clock(), Connection()
    held = Sessions(clock)
    with held.held(asked("a", session_timeout="10")) as session:
        assert session is not None
        session.connection = connection
    clock.now = 9.9
    with held.held(asked("a", session_timeout="10")) as session:
        assert session is not None and session.connection is connection
        clock.now = 100.0
        held.sweep()
        assert not connection.closed
    clock.now = 109.9
    held.sweep()
    assert not connection.closed
    clock.now = 110.0
    held.sweep()
    assert connection.closed
    with pytest.raises(ServerError) as caught, held.held(asked("a", session_check="1")):
        pass
    assert caught.value.code == 372


def test_a_held_session_is_locked_for_others() -> None:
    held = Sessions()
    with held.held(asked("a")):
        with pytest.raises(ServerError) as caught, held.held(asked("a")):
            pass
        assert caught.value.code == 373
        with held.held(asked("b")):
            pass
    with held.held(asked("a")) as session:
        assert session is not None and session.busy


def test_an_error_of_a_query_leaves_its_session() -> None:
    held = Sessions()
    with pytest.raises(KeyError), held.held(asked("a")) as session:
        assert session is not None
        session.settings = {"x": "1"}
        raise KeyError
    with held.held(asked("a", session_check="1")) as session:
        assert session is not None and session.settings == {"x": "1"}


def test_sessions_that_hold_nothing_make_room() -> None:
    held = Sessions()
    with held.held(asked("first")) as session:
        assert session is not None
        session.settings = {"x": "1"}
    for number in range(2 * MOST_SESSIONS):
        with held.held(asked(f"n{number}")):
            pass
    with held.held(asked("first", session_check="1")) as session:
        assert session is not None and session.settings == {"x": "1"}


def test_too_many_sessions_with_state_are_refused() -> None:
    held = Sessions()
    for number in range(MOST_SESSIONS):
        with held.held(asked(f"n{number}")) as session:
            assert session is not None
            session.settings = {"x": "1"}
    with pytest.raises(ServerError) as caught, held.held(asked("last")):
        pass
    assert caught.value.code == 700


def test_sessions_with_tables_are_counted_by_user() -> None:
    held = Sessions()
    for number in range(MOST_WITH_TABLES):
        with held.held(asked(f"n{number}")) as session:
            assert session is not None
            held.make_room(session)
            session.connection = Connection()
    with held.held(asked("last")) as session:
        assert session is not None
        with pytest.raises(ServerError) as caught:
            held.make_room(session)
    assert caught.value.code == 700
    with held.held(Asked("lpstream", "other", 60, must_exist=False, close=False)) as session:
        assert session is not None
        held.make_room(session)
    with held.held(asked("n0", close_session="1")):
        pass
    with held.held(asked("last")) as session:
        assert session is not None
        held.make_room(session)


@pytest.mark.parametrize("timeout", ["", "-1", "1.5", "x", "3601", "9" * 40, "\u0664"])
def test_a_wrong_time_out_is_refused(timeout: str) -> None:
    with pytest.raises(ServerError) as caught:
        asked("a", session_timeout=timeout)
    assert caught.value.code == 374


def test_a_long_name_is_refused() -> None:
    with pytest.raises(ServerError, match="session_id is longer"):
        asked("a" * 257)
