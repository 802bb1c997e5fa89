"""The tier schedule of a heatmap worker. It runs for months, so its checks must close their clients."""

import asyncio
import gc
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from new_objects import only_new_objects
from patience import PATIENCE_S

from schemas.errors import Retryable
from streams.runtime import metrics
from streams.runtime.settings import load_settings
from streams.tiers import schedule
from streams.tiers.schedule import TierSchedule
from streams.tiers.stores import Clock, Report

LOOKS = 5
CLOCK = Clock(datetime(2026, 9, 1, tzinfo=UTC))


def failed_runs() -> float:
    return metrics.TIER_RUNS.labels("failed")._value.get()  # type: ignore[no-any-return]


def shown_problems() -> float:
    return metrics.TIER_PROBLEMS._value.get()  # type: ignore[no-any-return]


class Keys:
    """A Redis of one process, without expiry."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    async def set(self, key: str, value: object, *, px: int) -> None:
        assert px == 3_600_000
        self.values[key] = str(value).encode()


class Installation:
    """One Redis for several workers, each with its own gauge. `report` is the result of the next run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys, self.runs = Keys(), 0
        self.report: Report | Exception | None = Report()
        self.observing: Exception | None = None
        monkeypatch.setattr(schedule, "Tiers", lambda *_: self)
        self.expiries, self.expiring = 0, cast(Exception | None, None)
        monkeypatch.setattr(schedule, "observe", self._observe)
        monkeypatch.setattr(schedule, "expire", self._expire)

    async def run(self) -> Report | None:
        self.runs += 1
        if isinstance(self.report, Exception):
            raise self.report
        return self.report

    async def _observe(self, *_: object) -> None:
        if self.observing is not None:
            raise self.observing

    async def _expire(self, *_: object) -> None:
        self.expiries += 1
        if self.expiring is not None:
            raise self.expiring

    async def look(self) -> None:
        """Let a worker check the tiers once. Old objects expire once, also if the look fails."""
        stores, expiries = cast(Any, SimpleNamespace(redis=self.keys, archive=None)), self.expiries
        try:
            await TierSchedule(load_settings(tier_interval_s=3_600))._once(stores, CLOCK)
        finally:
            assert self.expiries == expiries + 1


@pytest.fixture
def installation(monkeypatch: pytest.MonkeyPatch) -> Installation:
    return Installation(monkeypatch)


@pytest.mark.parametrize(("before", "found"), [(2, []), (0, ["an object is missing"])])
async def test_each_worker_shows_the_problems_of_the_last_run(
    installation: Installation, before: int, found: list[str]
) -> None:
    installation.report = Report(problems=found)
    await installation.look()
    assert shown_problems() == len(found)
    metrics.TIER_PROBLEMS.set(before)  # a worker that saw another run before
    await installation.look()
    assert (installation.runs, shown_problems()) == (1, len(found))


async def test_a_run_of_another_worker_changes_nothing_until_it_ends(installation: Installation) -> None:
    installation.report = None
    metrics.TIER_PROBLEMS.set(2)
    await installation.look()
    assert (installation.runs, shown_problems(), installation.keys.values) == (1, 2, {})


async def test_a_failed_run_counts(installation: Installation) -> None:
    installation.report = Retryable("S3 is away")
    before = failed_runs()
    with pytest.raises(Retryable):
        await installation.look()
    assert failed_runs() - before == 1


async def test_a_failed_expiry_stops_no_run(installation: Installation) -> None:
    installation.expiring = Retryable("S3 is away")
    await installation.look()
    assert installation.runs == 1


async def test_a_failed_look_after_a_run_is_no_failed_run(installation: Installation) -> None:
    installation.observing = Retryable("ClickHouse is away")
    before = failed_runs()
    with pytest.raises(Retryable):
        await installation.look()
    assert failed_runs() == before


async def test_checks_leave_no_clients_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def failed_looks() -> int:
        return sum(record.getMessage().startswith("tiers: ") for record in caplog.records)

    monkeypatch.setattr(schedule, "FIRST_AFTER_S", 0.0)
    monkeypatch.setattr(schedule, "POLL_S", 0.01)
    nowhere = "127.0.0.1:1"
    settings = load_settings(
        clickhouse_url=f"http://{nowhere}", redis_url=f"redis://{nowhere}", s3_endpoint_url=f"http://{nowhere}",
        s3_access_key_id="key", s3_secret_access_key="secret", tier_interval_s=0,
    )  # fmt: skip
    with only_new_objects():
        before = failed_runs()
        gc.disable()  # the worker's garbage collector also runs rarely
        try:
            service = TierSchedule(settings)
            await service.start()
            async with asyncio.timeout(PATIENCE_S):
                while failed_looks() < LOOKS:
                    await asyncio.sleep(0.01)
            kinds = [f"{type(one).__module__}.{type(one).__name__}" for one in gc.get_objects()]
            await service.stop()
        finally:
            gc.enable()
    assert kinds.count("botocore.client.S3") == 1
    assert failed_runs() == before, "with an interval of 0 there are no runs"
