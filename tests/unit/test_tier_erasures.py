"""Erasures beside moves that are not finished, and of objects that cannot be read."""

from datetime import UTC, date, datetime

import pytest
from tier_fakes import ERASURE, SOURCE, Fakes, Rows, tier_object

from schemas.tiers import Erasure, Step
from streams.tiers import moves


@pytest.fixture(autouse=True)
def log_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(*_: object) -> bool:
        return True

    monkeypatch.setattr(moves, "has_read", read)


def published(rows: Rows, partition: Rows) -> Fakes:
    """Return stores with a published object of 10 November, and another day whose move is due."""
    fakes = Fakes({"20261110-0": partition, "20261111-0": {"gone": 3, "stays": 4}})
    fakes.hold(tier_object(date(2026, 11, 10), Step.PUBLISHED, rows), rows)
    return fakes


async def test_an_erasure_beside_an_unfinished_move_completes_in_the_next_run() -> None:
    fakes = published({"gone": 1, "stays": 2}, {"gone": 1, "stays": 2})
    fakes.orders, fakes.ready = [ERASURE], False
    report = await fakes.run()
    assert report.problems == []
    assert any("a later run erases the pages" in line for line in report.waiting)
    assert fakes.partitions_["20261111-0"] == {"stays": 4}
    fakes.ready = True
    report = await fakes.run()
    assert (report.problems, report.waiting) == ([], [])
    assert sorted(fakes.tables.values(), key=str) == [{"stays": 2}, {"stays": 4}]
    assert fakes.partitions_ == {}


async def test_a_published_day_with_erased_partitions_recovers() -> None:
    late = Erasure(2, ("late",), "", datetime(2026, 11, 21, tzinfo=UTC))
    fakes = published({"gone": 1, "late": 5, "stays": 2}, {"late": 5, "stays": 2})
    fakes.orders = [ERASURE, late]
    report = await fakes.run()
    assert (report.problems, report.waiting) == ([], [])
    assert {"stays": 2} in fakes.tables.values()
    assert not any({"gone", "late"} & rows.keys() for rows in fakes.tables.values())


@pytest.mark.parametrize("orders", [[], [ERASURE]])
async def test_partitions_with_other_rows_than_their_object_are_kept(orders: list[Erasure]) -> None:
    fakes = published({"gone": 1, "stays": 2}, {"stays": 3})
    fakes.orders = orders
    report = await fakes.run()
    assert len(report.problems) == 1 and "they are kept" in report.problems[0]
    assert fakes.partitions_["20261110-0"] == {"stays": 3}
    assert fakes.steps[f"{SOURCE}_20261110_a"].step is Step.PUBLISHED
