"""The analyst's limits in ClickHouse's users file: they cannot be raised, nor switched off with 0."""

from importlib.resources import files
from xml.etree import ElementTree

import pytest

from infra.embedded.clickhouse_server import allowed

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


def test_clients_cannot_change_the_overflow_mode() -> None:
    for mode in ("timeout_overflow_mode", "read_overflow_mode", "result_overflow_mode"):
        assert profile().findtext(mode) == "throw"
        assert profile().find(f"constraints/{mode}/readonly") is not None


def test_the_embedded_server_has_the_same_limits() -> None:
    own = {
        "max_memory_usage",
        "max_threads",
        "max_block_size",
    }  # lower, because the embedded server's machine is smaller
    shared = {name: int(profile().findtext(name, "0")) for name in allowed.LIMITS.keys() - own}
    assert shared == {name: allowed.LIMITS[name] for name in shared}
    assert all(limit > 0 for limit in allowed.LIMITS.values())


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        (None, 30),
        ("", 30),
        ("0", 30),
        ("00", 30),
        ("5", 5),
        ("31", 30),
        ("-1", 30),
        ("1e9", 30),
        ("٣", 30),
        ("9" * 5_000, 30),
    ],
)
def test_a_requested_limit_is_lowered_to_the_allowed_limit(requested: str | None, expected: int) -> None:
    assert allowed.least(requested, 30) == expected
