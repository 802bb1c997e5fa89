"""The analyst's limits on a real server, by its users file: none can be raised, and none can be switched off with 0."""

from importlib.resources import files
from xml.etree import ElementTree

import pytest

from infra.embedded.clickhouse_server import allowed

# for each of these ClickHouse takes 0 as "no limit"
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
def test_a_limit_is_not_switched_off_with_0(name: str) -> None:
    setting, constraint = profile().find(name), profile().find(f"constraints/{name}")
    assert setting is not None
    assert constraint is not None
    if constraint.find("readonly") is None:
        low, high = int(constraint.findtext("min", "0")), int(constraint.findtext("max", "0"))
        assert 0 < low <= int(setting.text or "0") <= high


def test_every_constraint_has_both_ends() -> None:
    constraints = profile().find("constraints")
    assert constraints is not None
    for one in constraints:
        assert {end.tag for end in one} in ({"min", "max"}, {"readonly"}), one.tag


def test_what_happens_at_a_limit_is_not_the_clients_choice() -> None:
    for mode in ("timeout_overflow_mode", "read_overflow_mode", "result_overflow_mode"):
        assert profile().findtext(mode) == "throw"
        assert profile().find(f"constraints/{mode}/readonly") is not None


def test_the_embedded_server_has_the_same_limits() -> None:
    own = {"max_memory_usage", "max_threads", "max_block_size"}  # as its machine is smaller
    held = {name: int(profile().findtext(name, "0")) for name in allowed.LIMITS.keys() - own}
    assert held == {name: allowed.LIMITS[name] for name in held}
    assert all(limit > 0 for limit in allowed.LIMITS.values())


@pytest.mark.parametrize(
    ("asked", "given"),
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
def test_the_least_of_what_is_asked_and_the_limit(asked: str | None, given: int) -> None:
    assert allowed.least(asked, 30) == given
