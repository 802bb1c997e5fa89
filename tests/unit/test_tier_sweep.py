"""The ledger of the tiers beside a bucket or tables that do not match it."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from tier_fakes import ERASURE, NOW, SOURCE, Fakes, Warm, tier_object

from infra.tiers.archive import GLACIER, STANDARD, Archive
from schemas.errors import Refused
from schemas.tiers import Step, TierObject
from streams.runtime import metrics
from streams.tiers import moves
from streams.tiers.schedule import observe
from streams.tiers.stores import Clock

TODAY = NOW.date()
MOVED = date(2026, 11, 10)
COLD = date(2026, 9, 1)
AGE = (TODAY - COLD).days - 31  # the days on Glacier, and one more
ROWS = {"gone": 5, "a": 7, "b": 9}


@pytest.fixture(autouse=True)
def log_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(*_: object) -> bool:
        return True

    monkeypatch.setattr(moves, "has_read", read)


def with_due_day() -> Fakes:
    """Return stores with a hot day whose move is due."""
    return Fakes({"20261111-0": {"a": 3}})


def lose(fakes: Fakes, entry: TierObject) -> TierObject:
    """Name an object in the ledger that the bucket does not have."""
    fakes.hold(entry, ROWS)
    fakes.bucket.pop(entry.cold_key if entry.step is Step.COLD else entry.key)
    return entry


def step_of(fakes: Fakes, entry: TierObject) -> Step:
    return fakes.steps[entry.name].step


@pytest.mark.parametrize("orders", [[], [ERASURE]])
async def test_a_cold_object_that_s3_expired_is_gone_and_stops_nothing(orders: list[Any]) -> None:
    fakes = with_due_day()
    fakes.cold_days = AGE - 1
    entry = lose(fakes, tier_object(COLD, Step.COLD, ROWS))
    fakes.orders = orders
    report = await fakes.run()
    assert (report.problems, len(report.done["gone"]), len(report.done["moved"])) == ([], 1, 1)
    assert step_of(fakes, entry) is Step.GONE
    again = await fakes.run()
    assert (again.problems, "gone" in again.done) == ([], False)


@pytest.mark.parametrize("cold_days", [0, AGE])
async def test_a_missing_object_that_s3_may_not_have_expired_is_a_problem(cold_days: int) -> None:
    fakes = Fakes(cold_days=cold_days)
    entries = [lose(fakes, tier_object(COLD + timedelta(days=number), Step.COLD, ROWS)) for number in range(3)]
    report = await fakes.run()
    assert [line.split(":")[0] for line in report.problems] == [entry.name for entry in entries]
    assert all("LPSTREAM_TIER_COLD_DAYS" in line for line in report.problems)
    assert {step_of(fakes, entry) for entry in entries} == {Step.COLD}


async def test_an_expired_object_is_gone_beside_unknown_and_lost_ones() -> None:
    fakes = Fakes(cold_days=AGE - 1)
    lost, old = tier_object(MOVED, Step.SETTLED, ROWS), tier_object(COLD, Step.COLD, ROWS)
    lose(fakes, lost), lose(fakes, old)
    fakes.bucket[f"heatmap/table={SOURCE}/date=2026-11-01/unknown.parquet"] = ROWS, STANDARD
    report = await fakes.run()
    assert (len(report.problems), step_of(fakes, old)) == (2, Step.GONE)


async def test_an_expired_object_that_comes_back_is_cold_and_is_erased() -> None:
    fakes = Fakes(cold_days=AGE - 1)
    entry = lose(fakes, tier_object(COLD, Step.COLD, ROWS))
    await fakes.run()
    fakes.bucket[entry.cold_key] = ROWS, GLACIER
    report = await fakes.run()
    assert (report.problems, fakes.bucket) == ([], {entry.cold_key: (ROWS, GLACIER)})
    assert (step_of(fakes, entry), len(report.done["returned"])) == (Step.COLD, 1)
    assert fakes.steps[entry.name].bytes == entry.bytes
    fakes.orders = [ERASURE]
    assert (await fakes.run()).problems == []
    assert [rows for rows, _ in fakes.bucket.values()] == [{"a": 7, "b": 9}]


async def test_cold_objects_are_not_gone_if_the_bucket_lacks_warm_ones_too() -> None:
    fakes = with_due_day()
    cold, warm = tier_object(COLD, Step.COLD, ROWS), tier_object(MOVED, Step.SETTLED, ROWS)
    lose(fakes, cold), lose(fakes, warm)
    report = await fakes.run()
    assert sorted(line.split(":")[0] for line in report.problems) == sorted([cold.name, warm.name])
    assert step_of(fakes, cold) is Step.COLD


async def test_a_restored_object_whose_cold_copy_expired_ends_on_its_last_day() -> None:
    fakes = Fakes(cold_days=AGE - 1)
    entry = replace(tier_object(COLD, Step.RESTORED, ROWS), until=TODAY)
    fakes.hold(entry, ROWS)
    fakes.bucket.pop(entry.cold_key)
    assert (await fakes.run()).problems == []
    assert step_of(fakes, entry) is Step.RESTORED
    for _ in range(2):
        assert (await fakes.run(NOW + timedelta(days=1))).problems == []
    assert (step_of(fakes, entry), fakes.bucket, fakes.tables) == (Step.GONE, {}, {})


async def test_a_restored_object_without_cold_copy_stays_until_it_is_repaired() -> None:
    fakes = Fakes()
    entry = replace(tier_object(COLD, Step.RESTORED, ROWS), until=TODAY - timedelta(days=1))
    fakes.hold(entry, ROWS)
    copy = fakes.bucket.pop(entry.cold_key)
    for _ in range(2):
        assert entry.cold_key in (await fakes.run()).problems[0]
        assert (step_of(fakes, entry), list(fakes.bucket)) == (Step.RESTORED, [entry.key])
    fakes.bucket[entry.cold_key] = copy
    assert (await fakes.run()).problems == []
    assert (step_of(fakes, entry), fakes.bucket) == (Step.COLD, {entry.cold_key: copy})


async def test_the_warm_copy_of_a_cold_object_goes_only_if_the_cold_copy_exists() -> None:
    fakes = Fakes()
    entry = lose(fakes, tier_object(COLD, Step.COLD, ROWS))
    fakes.bucket[entry.key] = ROWS, STANDARD
    assert len((await fakes.run()).problems) == 1
    assert list(fakes.bucket) == [entry.key]
    fakes.bucket[entry.cold_key] = ROWS, GLACIER
    assert (await fakes.run()).problems == []
    assert list(fakes.bucket) == [entry.cold_key]


@pytest.mark.parametrize("step", [Step.SETTLED, Step.COLD])
async def test_a_missing_object_stops_neither_other_erasures_nor_moves(step: Step) -> None:
    fakes = with_due_day()
    fakes.orders = [ERASURE]
    lost = lose(fakes, tier_object(COLD if step is Step.COLD else MOVED, step, ROWS))
    lose(fakes, tier_object(MOVED, Step.SETTLED, {"b": 1}, "x"))
    for ident, other in (("b", Step.SETTLED), ("c", Step.RESTORED), ("d", Step.COLD)):
        fakes.hold(replace(tier_object(MOVED, other, ROWS, ident), until=TODAY), ROWS)
    report = await fakes.run()
    assert any(line.startswith(lost.name) and "is missing" in line for line in report.problems)
    erased = [row for row in report.done["erased"] if row["table"] == SOURCE]
    assert (len(erased), len(report.done["moved"])) == (3, 1)
    assert not any("gone" in rows for rows, _ in fakes.bucket.values())
    assert step_of(fakes, lost) is step


async def test_a_missing_object_stops_neither_a_restore_nor_a_move_to_glacier() -> None:
    fakes = Fakes()
    lost, cold = (tier_object(COLD, Step.COLD, ROWS, ident) for ident in "ab")
    lose(fakes, lost)
    fakes.hold(cold, ROWS)
    report = await fakes.restore(COLD, COLD, 3)
    assert [line for line in report.problems if lost.name in line] == report.problems != []
    assert (step_of(fakes, lost), step_of(fakes, cold)) == (Step.COLD, Step.RESTORED)
    fakes = Fakes()
    lost, warm = (tier_object(COLD, Step.SETTLED, ROWS, ident) for ident in "ab")
    lose(fakes, lost)
    fakes.hold(warm, ROWS)
    assert lost.name in " ".join((await fakes.run()).problems)
    assert (step_of(fakes, lost), step_of(fakes, warm)) == (Step.SETTLED, Step.COLD)


async def test_a_missing_cold_object_is_refused_and_not_called_readable() -> None:
    class Client:
        def head_object(self, **_: str) -> None:
            raise ClientError({"Error": {"Code": "404"}}, "HeadObject")

    archive = Archive(None, Client(), "bucket")  # type: ignore[arg-type]
    with pytest.raises(Refused, match="heatmap-cold/a"):
        await archive.thaw("heatmap-cold/a", 2)


class Denying:
    """A client of S3 that lists the objects that it did not delete, with status 200."""

    def __init__(self) -> None:
        self.calls = 0

    def delete_objects(self, Delete: dict[str, Any], **_: Any) -> dict[str, Any]:  # noqa: N803  # boto3's name
        self.calls += 1
        return {"Errors": [{"Key": one["Key"], "Code": "AccessDenied"} for one in Delete["Objects"][:1]]}


async def test_a_delete_that_s3_refuses_is_an_error_after_the_other_deletes() -> None:
    client = Denying()
    archive = Archive(None, client, "bucket")  # type: ignore[arg-type]
    with pytest.raises(Refused, match="2 objects were not deleted, the first is key0: AccessDenied"):
        await archive.delete([f"key{number}" for number in range(1_001)])
    assert client.calls == 2


async def test_refused_deletes_stop_neither_erasures_nor_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(*_: object) -> None:
        raise Refused("S3 bucket lpstream: AccessDenied")

    monkeypatch.setattr(Fakes, "delete", refused)
    fakes = with_due_day()
    fakes.orders = [ERASURE]
    fakes.hold(tier_object(MOVED, Step.SETTLED, ROWS, "b"), ROWS)
    fakes.hold(tier_object(COLD, Step.SETTLED, {"a": 1}), {"a": 1})
    leftover = tier_object(COLD, Step.GONE, ROWS, "c")
    fakes.hold(leftover, ROWS)
    report = await fakes.run()
    assert {"erased", "moved", "chilled"} <= report.done.keys()
    assert len(report.problems) >= 3 and all("AccessDenied" in line for line in report.problems)


async def test_the_missing_table_of_a_readable_object_is_created() -> None:
    fakes = Fakes()
    entry = tier_object(MOVED, Step.SETTLED, ROWS)
    fakes.hold(entry, ROWS)
    fakes.tables_.clear()
    assert (await fakes.run()).problems == []
    assert fakes.tables == {entry.name: ROWS}


async def test_an_erasure_with_missing_tables_removes_only_the_erased_page() -> None:
    fakes = Fakes(orders=[ERASURE])
    fakes.hold(tier_object(MOVED, Step.SETTLED, ROWS), ROWS)
    fakes.tables_.clear()
    assert (await fakes.run()).problems == []
    assert list(fakes.tables.values()) == [{"a": 7, "b": 9}]


async def test_fewer_rows_than_recorded_are_not_taken_for_an_erasure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lagging(self: Warm, item: TierObject) -> None:
        pass

    monkeypatch.setattr(Warm, "create", lagging)
    fakes = Fakes(orders=[ERASURE])
    entry = tier_object(MOVED, Step.SETTLED, ROWS)
    fakes.hold(entry, ROWS)
    fakes.tables_.clear()
    report = await fakes.run()
    assert len(report.problems) == 1 and "no page was erased from it" in report.problems[0]
    assert (step_of(fakes, entry), list(fakes.bucket)) == (Step.SETTLED, [entry.key])


async def test_an_empty_ledger_removes_nothing_and_reports_the_objects() -> None:
    fakes = Fakes()
    fakes.hold(tier_object(MOVED, Step.SETTLED, ROWS), ROWS)
    fakes.hold(tier_object(COLD, Step.COLD, ROWS), ROWS)
    fakes.steps.clear()
    report = await fakes.run()
    assert [line.split(":")[0] for line in report.problems] == sorted(fakes.bucket)
    assert len(fakes.bucket) == 2


async def test_an_older_ledger_removes_no_object_that_was_written_after_it() -> None:
    fakes = Fakes(orders=[ERASURE])
    fakes.hold(tier_object(MOVED, Step.SETTLED, ROWS), ROWS)
    fakes.hold(tier_object(COLD, Step.COLD, ROWS), ROWS)
    older = dict(fakes.steps)
    await fakes.run()
    rewritten = dict(fakes.bucket)
    fakes.steps = older
    report = await fakes.run()
    assert fakes.bucket == rewritten
    assert {entry.step for entry in fakes.steps.values()} == {Step.SETTLED, Step.COLD}
    assert len([line for line in report.problems if "is missing" in line]) >= 2


@pytest.mark.parametrize(("age", "left"), [(timedelta(hours=1), 1), (timedelta(days=2), 0)])
async def test_an_object_whose_write_was_interrupted_goes_after_a_day(age: timedelta, left: int) -> None:
    fakes = Fakes(age=age)
    entry = tier_object(MOVED, Step.PUBLISHED, ROWS)
    await fakes.begin(entry, NOW)
    fakes.bucket[entry.key], fakes.tables_[entry.name] = (ROWS, STANDARD), entry.key
    report = await fakes.run()
    assert (report.problems, fakes.tables_, len(fakes.bucket)) == ([], {}, left)


async def test_each_written_object_is_first_named_in_the_ledger(monkeypatch: pytest.MonkeyPatch) -> None:
    fakes, named = with_due_day(), list[bool]()
    fakes.orders = [ERASURE]
    fakes.hold(tier_object(MOVED, Step.SETTLED, ROWS), ROWS)
    create = Warm.create

    async def seen(self: Warm, item: TierObject) -> None:
        named.append(fakes.steps[item.name].revision == 0)
        await create(self, item)

    monkeypatch.setattr(Warm, "create", seen)
    assert (await fakes.run()).problems == []
    assert named == [True, True]


async def test_a_restore_leaves_out_objects_that_still_hold_erased_pages() -> None:
    fakes = Fakes(orders=[ERASURE])
    erased, clean = tier_object(COLD, Step.COLD, ROWS, "a"), tier_object(COLD, Step.COLD, {"a": 1}, "b")
    fakes.hold(erased, ROWS)
    fakes.hold(clean, {"a": 1})
    report = await fakes.restore(COLD, COLD, 3)
    assert len(report.waiting) == 1 and "lpstream tier" in report.waiting[0]
    assert (step_of(fakes, erased), step_of(fakes, clean)) == (Step.COLD, Step.RESTORED)
    await fakes.run()
    assert (await fakes.restore(COLD, COLD, 3)).waiting == []
    assert all(entry.step is not Step.COLD for entry in fakes.steps.values())
    assert not any("gone" in rows for rows in fakes.tables.values())


async def test_every_day_of_a_restored_range_stays_until_the_asked_day() -> None:
    fakes = Fakes()
    first = TODAY - timedelta(days=33)
    for number, step in enumerate((Step.COLD, Step.COLD, Step.SETTLED, Step.SETTLED)):
        fakes.hold(tier_object(first + timedelta(days=number), step, ROWS), ROWS)
    report = await fakes.restore(first, first + timedelta(days=3), 30)
    assert (len(report.done["restored"]), len(report.done["extended"])) == (2, 2)
    for days in (1, 30):
        await fakes.run(NOW + timedelta(days=days))
        assert {entry.step for entry in fakes.steps.values()} == {Step.RESTORED, Step.SETTLED}
    await fakes.run(NOW + timedelta(days=31))
    assert {entry.step for entry in fakes.steps.values()} == {Step.COLD}


async def test_a_shorter_restore_does_not_shorten_an_earlier_one() -> None:
    fakes = Fakes()
    fakes.hold(tier_object(COLD, Step.COLD, ROWS), ROWS)
    warm = TODAY - timedelta(days=31)
    fakes.hold(tier_object(warm, Step.SETTLED, ROWS), ROWS)
    for days in (30, 1):
        await fakes.restore(COLD, warm, days)
    assert {entry.until for entry in fakes.steps.values()} == {TODAY + timedelta(days=30)}


async def test_the_gauge_has_the_age_of_the_oldest_overdue_day() -> None:
    for name, age in (("20261030-0", 23), ("20261114-0", 0)):
        await observe(Fakes({name: {"a": 1}}).stores(), Clock(NOW))
        assert metrics.TIER_OVERDUE_AGE._value.get() == age
