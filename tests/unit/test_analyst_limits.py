"""The analyst's limits in ClickHouse's users file: they cannot be raised, nor switched off with 0."""

from importlib.resources import files
from xml.etree import ElementTree

import pytest

from infra.embedded.clickhouse_server import allowed, settings
from infra.embedded.clickhouse_server.errors import ServerError

# ClickHouse takes 0 as "no limit" for each of these settings.
SWITCHED_OFF_BY_0 = {
    "max_execution_time", "max_result_rows", "max_result_bytes", "max_rows_to_read", "max_bytes_to_read",
    "max_memory_usage", "max_memory_usage_for_user", "max_concurrent_queries_for_user", "max_threads", "priority",
    "max_temporary_data_on_disk_size_for_query",
}  # fmt: skip


def profile() -> ElementTree.Element:
    text = files("infra.clickhouse").joinpath("users.d", "analyst.xml").read_text("utf-8")
    found = ElementTree.fromstring(text).find("profiles/lpstream_analyst")  # noqa: S314 - our own file
    assert found is not None
    return found


@pytest.mark.parametrize("name", sorted(SWITCHED_OFF_BY_0))
def test_zero_does_not_switch_a_limit_off(name: str) -> None:
    setting, constraint = profile().find(name), profile().find(f"constraints/{name}")
    assert setting is not None
    assert constraint is not None
    if constraint.find("readonly") is None:
        low, high = int(constraint.findtext("min", "0")), int(constraint.findtext("max", "0"))
        assert 0 < low <= int(setting.text or "0") <= high


def test_every_constraint_has_a_minimum_and_a_maximum() -> None:
    constraints = profile().find("constraints")
    assert constraints is not None
    for constraint in constraints:
        assert {end.tag for end in constraint} in ({"min", "max"}, {"readonly"}), constraint.tag


def test_clients_cannot_change_the_overflow_mode_of_time_and_reading() -> None:
    for mode in ("timeout_overflow_mode", "read_overflow_mode"):
        assert profile().findtext(mode) == "throw"
        assert profile().find(f"constraints/{mode}/readonly") is not None


def test_clients_may_ask_for_a_part_of_the_rows() -> None:
    # JDBC's setMaxRows, which DBeaver calls for each query, sends it
    assert profile().findtext("result_overflow_mode") == "throw"
    assert profile().find("constraints/result_overflow_mode") is None
    assert allowed.SETTINGS.fullmatch("result_overflow_mode")


def test_the_embedded_server_has_the_same_limits() -> None:
    own = {
        "max_memory_usage",
        "max_threads",
        "max_block_size",
    }  # lower, because the embedded server's machine is smaller
    shared = {name: int(profile().findtext(name, "0")) for name in allowed.LIMITS.keys() - own}
    assert shared == {name: allowed.LIMITS[name] for name in shared}
    assert all(limit > 0 for limit in allowed.LIMITS.values())


def test_a_query_may_ask_for_the_same_on_both_servers() -> None:
    names = allowed.LIMITS.keys() - {"max_memory_usage", "max_threads", "max_block_size"}
    most = {name: int(profile().findtext(f"constraints/{name}/max", "0")) for name in names}
    assert most == {name: allowed.HIGHEST.get(name, allowed.LIMITS[name]) for name in names}


KNOWN = {"max_execution_time": "0", "max_threads": "auto(2)", "readonly": "0", "implicit_select": "1", "extremes": "0"}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("1", 0), ("30", 0), ("1.5", 0), ("0", 452), ("0.9", 452), ("-1", 452),
        ("31", 0), ("60", 0), ("65.1", 452), ("66", 452),
        ("9" * 19, 452),
        ("9" * 5_000, 27), ("1e1", 27), ("\u0663", 27), ("", 27), ("nan", 27), ("DEFAULT", 27),
    ],
)  # fmt: skip
def test_a_limit_can_only_be_lowered(value: str, code: int) -> None:
    assert refused("max_execution_time", value) == code


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("extremes", "1", 0), ("implicit_select", "0", 0), ("implicit_select", "false", 0),
        ("implicit_select", "1", 452),
        ("readonly", "2", 0), ("readonly", "1", 164), ("readonly", "0", 164), ("nothing", "1", 115), ("", "1", 115),
        ("log_comment", "mine", 0),
    ],
)  # fmt: skip
def test_a_setting_is_free_fixed_or_unknown(name: str, value: str, code: int) -> None:
    assert refused(name, value) == code


def refused(name: str, value: str) -> int:
    """Return the code of the refusal, 0 if the value is accepted."""
    try:
        settings.check(name, value, KNOWN)
    except ServerError as error:
        assert name in error.text
        return error.code
    return 0
