"""Erasures beside moves that are not finished.

The stores are in memory: a partition and an object map pages to counts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from infra.tiers.archive import STANDARD, Held
from processors.heatmap.tiers import TierRule
from schemas.tiers import Erasure, Fingerprint, HotPartition, Step, TierObject
from streams.tiers import moves
from streams.tiers.run import _Run
from streams.tiers.stores import Clock, Report

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SOURCE = "heatmap_cells"
Rows = dict[str, int]
ERASURE = Erasure(1, ("gone",), "", datetime(2026, 11, 20, tzinfo=UTC))


def kept(rows: Rows, without: Iterable[Erasure]) -> Rows:
    return {page: hits for page, hits in rows.items() if not any(order.covers(page) for order in without)}


def print_of(rows: Rows) -> Fingerprint:
    return Fingerprint(len(rows), (sum(rows.values()),), sum(map(hash, rows.items())))


@dataclass
class Fakes:
    """Hot tables, warm tables, ledger and archive at once."""

    partitions_: dict[str, Rows]
    tables: dict[str, Rows] = field(default_factory=dict)
    steps: dict[str, TierObject] = field(default_factory=dict)
    orders: list[Erasure] = field(default_factory=list)
    ready: bool = True

    def stores(self) -> Any:
        settings = SimpleNamespace(kafka_bootstrap_servers="")
        return SimpleNamespace(
            hot=Hot(self), warm=Warm(self), ledger=self, archive=self, rule=TierRule(7, 30), settings=settings,
            readers_done=self.readers_done,
        )  # fmt: skip

    async def readers_done(self) -> bool:
        return self.ready

    async def run(self) -> Report:
        report, held = Report(), SimpleNamespace(check=_nothing)
        await _Run(self.stores(), Clock(NOW), held, report, lambda text: None).all()  # type: ignore[arg-type]
        return report

    async def objects(self) -> list[TierObject]:
        return list(self.steps.values())

    async def erasures(self) -> list[Erasure]:
        return self.orders

    async def publish(self, item: TierObject, number: int, now: datetime) -> bool:
        return await self.take([item], now)

    async def take(self, steps: Sequence[TierObject], now: datetime) -> bool:
        self.steps |= {step.name: step for step in steps}
        return True

    async def held(self, prefix: str) -> list[Held]:
        entries = [entry for entry in self.steps.values() if entry.key.startswith(prefix)]
        return [Held(entry.key, 1, "", STANDARD, NOW) for entry in entries]

    async def look(self, key: str) -> Held:
        return Held(key, 1, "", STANDARD, NOW)

    async def delete(self, keys: list[str]) -> None:
        pass


async def _nothing() -> None:
    pass


@dataclass
class Hot:
    fakes: Fakes

    def _rows(self, names: Sequence[str]) -> Rows:
        return {page: hits for name in names for page, hits in self.fakes.partitions_.get(name, {}).items()}

    async def partitions(self) -> list[HotPartition]:
        days = {name: date(int(name[:4]), int(name[4:6]), int(name[6:8])) for name in self.fakes.partitions_}
        return [HotPartition(SOURCE, day, 0, name, 1, 1) for name, day in days.items()]

    async def fingerprint(self, source: str, names: Sequence[str], without: Sequence[Erasure] = ()) -> Fingerprint:
        return print_of(kept(self._rows(names), without))

    async def lp_ids(self, source: str, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(self._rows(names))

    async def drop(self, source: str, names: Sequence[str]) -> None:
        for name in names:
            self.fakes.partitions_.pop(name, None)

    async def erase(self, order: Erasure) -> int:
        for name, rows in self.fakes.partitions_.items():
            self.fakes.partitions_[name] = kept(rows, [order])
        return 1


@dataclass
class Warm:
    fakes: Fakes

    async def names(self) -> set[str]:
        return set(self.fakes.tables)

    async def create(self, item: TierObject) -> None:
        self.fakes.tables.setdefault(item.name, {})

    async def fill(self, item: TierObject) -> None:
        self.fakes.tables[item.name] = Hot(self.fakes)._rows(item.partitions)

    async def copy_without(self, old: TierObject, new: TierObject, orders: Sequence[Erasure]) -> None:
        self.fakes.tables[new.name] = kept(self.fakes.tables[old.name], orders)

    async def fingerprint(self, item: TierObject, without: Sequence[Erasure] = ()) -> Fingerprint:
        return print_of(kept(self.fakes.tables[item.name], without))

    async def lp_ids(self, item: TierObject) -> tuple[str, ...]:
        return tuple(self.fakes.tables[item.name])

    async def drop(self, name: str) -> None:
        self.fakes.tables.pop(name, None)


@pytest.fixture(autouse=True)
def log_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def read(*_: object) -> bool:
        return True

    monkeypatch.setattr(moves, "has_read", read)


def published(rows: Rows, partition: Rows) -> Fakes:
    """Return stores with a published object of 10 November, and another day whose move is due."""
    name = f"{SOURCE}_20261110_a"
    entry = TierObject(
        SOURCE, date(2026, 11, 10), name, 1, Step.PUBLISHED, ("20261110-0",), print_of(rows), 1, tuple(rows)
    )
    return Fakes({"20261110-0": partition, "20261111-0": {"gone": 3, "stays": 4}}, {name: rows}, {name: entry})


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
