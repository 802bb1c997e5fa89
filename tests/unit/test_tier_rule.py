"""The tier rule: which tier a day belongs to, what moves, and when tiering is behind."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from infra.tiers.tables import HOT_TABLES, HotTable
from processors.heatmap.tiers import (
    Move,
    TierRule,
    days_behind,
    expired,
    is_complete,
    moves,
    overdue_age,
    to_chill,
    to_erase,
    utc_days,
    with_days_late,
)
from schemas.tiers import Erasure, Fingerprint, HotPartition, Step, TierObject

RULE = TierRule(hot_days=7, warm_days=30)
TODAY = date(2026, 11, 24)


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def partition(days_ago: int, days_late: int = 0, source: str = "heatmap_cells") -> HotPartition:
    day = ago(days_ago)
    return HotPartition(source, day, days_late, f"{day:%Y%m%d}-{days_late}", 10, 100)


def tier_object(
    days_ago: int, step: Step, partitions: tuple[str, ...] = (), lp_ids: tuple[str, ...] = ("a",)
) -> TierObject:
    day = ago(days_ago)
    name = f"heatmap_cells_{day:%Y%m%d}_x"
    return TierObject("heatmap_cells", day, name, 1, step, partitions, Fingerprint(1, (1,), 1), 1, lp_ids)


def test_days_leave_hot_after_7_and_warm_after_31_days() -> None:
    assert [RULE.leaves_hot(ago(days), TODAY) for days in (0, 7, 8)] == [False, False, True]
    assert [RULE.leaves_warm(ago(days), TODAY) for days in (30, 31, 32)] == [False, False, True]


@pytest.mark.parametrize(
    ("days", "late", "complete"), [(8, 0, True), (1, 0, True), (0, 0, False), (1, 1, False), (2, 1, True)]
)
def test_a_partition_is_complete_when_its_records_date_is_over(days: int, late: int, complete: bool) -> None:
    assert is_complete(partition(days, late), TODAY) == complete


def test_rows_with_the_maximum_days_late_never_move() -> None:
    assert not is_complete(partition(400, 255), TODAY)


def test_a_move_takes_complete_partitions_not_already_moving() -> None:
    found = [
        partition(9, 1),
        partition(9),
        partition(8),
        partition(8, 8),
        partition(7),
        partition(9, 0, "heatmap_views"),
    ]
    planned = moves(found, [], RULE, TODAY)
    assert planned == [
        Move("heatmap_cells", ago(9), (found[1].name, found[0].name), 1),
        Move("heatmap_views", ago(9), (found[5].name,), 1),
        Move("heatmap_cells", ago(8), (found[2].name,), 1),
    ]
    for step, left in ((Step.PUBLISHED, 1), (Step.DROPPING, 1), (Step.SETTLED, 2)):
        again = moves([found[0], found[2]], [tier_object(9, step, (found[0].name,))], RULE, TODAY)
        assert len(again) == left
        assert again[0].number == (2 if step is Step.SETTLED else 1)


def test_days_late_count_from_the_window_to_the_record() -> None:
    second = int(datetime(2026, 11, 24, 23, 59, 55, tzinfo=UTC).timestamp())
    rows = pa.table({"window_start": pa.array(np.array([second, second - 86_400, second + 5], dtype=np.uint32))})
    assert with_days_late(rows, (second + 10) * 1000)["days_late"].to_pylist() == [1, 2, 0]
    early = with_days_late(rows, (second - 3 * 86_400) * 1000)
    assert early["days_late"].to_pylist() == [0, 0, 0]


def test_days_behind_count_since_a_partition_could_move() -> None:
    assert days_behind([], RULE, TODAY) == 0
    assert [days_behind([partition(days)], RULE, TODAY) for days in (7, 8, 9, 12)] == [0, 0, 1, 4]
    assert days_behind([partition(12, 10)], RULE, TODAY) == 1


@pytest.mark.parametrize("hot_days", [7, 21])
def test_the_age_of_an_overdue_day_leaves_a_week_before_the_ttl(hot_days: int) -> None:
    rule = TierRule(hot_days, 30)
    assert overdue_age([], rule, TODAY) == overdue_age([partition(hot_days + 1)], rule, TODAY) == 0
    assert overdue_age([partition(hot_days + 2), partition(23), partition(25, 24)], rule, TODAY) == 23


def test_s3_may_expire_cold_days_after_the_set_age_or_never() -> None:
    rule = TierRule(7, 30, 90)
    assert [rule.leaves_warm(ago(days), TODAY) for days in (31, 32)] == [False, True]
    assert [rule.may_be_expired(ago(days), TODAY) for days in (32 + 89, 32 + 90)] == [False, True]
    assert not RULE.may_be_expired(ago(9_999), TODAY)


def test_settled_objects_chill_and_restored_objects_expire() -> None:
    old = [tier_object(32, step) for step in Step]
    assert [one.step for one in to_chill(old, RULE, TODAY)] == [Step.SETTLED]
    until = [replace(tier_object(40, Step.RESTORED), until=ago(days)) for days in (-1, 0, 1)]
    assert expired(until, TODAY) == until[2:]


def test_an_erasure_covers_objects_that_still_hold_its_pages() -> None:
    page = Erasure(1, ("a",), "", datetime.now(UTC))
    tenant = Erasure(2, (), "t1-", datetime.now(UTC))
    both = tier_object(9, Step.SETTLED, lp_ids=("a", "t1-x"))
    assert to_erase([both], [page, tenant]) == [(both, [page, tenant])]
    free = replace(both, erased=1)
    assert to_erase([free], [page, tenant]) == [(free, [tenant])]
    assert to_erase([replace(both, step=Step.GONE), replace(both, lp_ids=("t1", "ab"))], [page, tenant]) == []


def test_columns_of_a_later_migration_change_no_recorded_fingerprint() -> None:
    for table in HOT_TABLES.values():
        for generations in range(len(table.added)):
            earlier = HotTable(table.keys, table.measures, table.added[:generations])
            added = table.fingerprint.removeprefix(earlier.fingerprint.removesuffix(") AS digest"))
            assert added.startswith(" + if(") and added.count("= 0, 0, ") == len(table.added) - generations


@pytest.mark.parametrize(
    ("zone", "first", "last"),
    [
        ("Asia/Tokyo", date(2026, 9, 30), date(2026, 10, 3)),
        ("UTC", date(2026, 10, 1), date(2026, 10, 3)),
        ("America/New_York", date(2026, 10, 1), date(2026, 10, 4)),
        ("Asia/Kathmandu", date(2026, 9, 30), date(2026, 10, 3)),
    ],
)
def test_days_of_a_zone_are_restored_with_all_utc_days_that_they_overlap(zone: str, first: date, last: date) -> None:
    assert utc_days(date(2026, 10, 1), date(2026, 10, 3), ZoneInfo(zone)) == (first, last)
