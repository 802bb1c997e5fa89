"""Stores of the tiers in memory: a partition and an object map pages to counts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from infra.tiers.archive import GLACIER, STANDARD, Held
from processors.heatmap.tiers import TierRule
from schemas.errors import Refused
from schemas.tiers import Erasure, Fingerprint, HotPartition, Step, TierObject
from streams.tiers.run import _Run
from streams.tiers.stores import Clock, Report

NOW = datetime(2026, 11, 22, tzinfo=UTC)
SOURCE = "heatmap_cells"
Rows = dict[str, int]
ERASURE = Erasure(1, ("gone",), "", datetime(2026, 11, 20, tzinfo=UTC))


def kept(rows: Rows, without: Iterable[Erasure]) -> Rows:
    return {page: hits for page, hits in rows.items() if not any(order.covers(page) for order in without)}


def print_of(rows: Rows) -> Fingerprint:
    return Fingerprint(len(rows), (sum(rows.values()),), sum(map(hash, rows.items())) % 2**64)


def tier_object(day: date, step: Step, rows: Rows, ident: str = "a") -> TierObject:
    """Return an object of the table SOURCE with these rows."""
    name = f"{SOURCE}_{day:%Y%m%d}_{ident}"
    return TierObject(SOURCE, day, name, 1, step, (f"{day:%Y%m%d}-0",), print_of(rows), 1, tuple(rows))


@dataclass
class Fakes:
    """Hot tables, warm tables, ledger and bucket at once.

    `bucket` has the rows and the storage class of each key; `tables` the key that each table reads.
    """

    partitions_: dict[str, Rows] = field(default_factory=dict)
    bucket: dict[str, tuple[Rows, str]] = field(default_factory=dict)
    tables_: dict[str, str] = field(default_factory=dict)
    steps: dict[str, TierObject] = field(default_factory=dict)
    orders: list[Erasure] = field(default_factory=list)
    ready: bool = True
    thawing: bool = False
    age: timedelta = timedelta(days=20)
    cold_days: int = 0

    def hold(self, entry: TierObject, rows: Rows) -> None:
        """Add an object with its rows, in the tier of its step."""
        self.steps[entry.name] = entry
        if entry.step is not Step.COLD:
            self.bucket[entry.key], self.tables_[entry.name] = (rows, STANDARD), entry.key
        if entry.step in (Step.COLD, Step.RESTORED):
            self.bucket[entry.cold_key] = rows, GLACIER

    @property
    def tables(self) -> dict[str, Rows]:
        """The rows of each table of the warm tier."""
        return {name: self.bucket[key][0] if key in self.bucket else {} for name, key in self.tables_.items()}

    def stores(self) -> Any:
        settings = SimpleNamespace(kafka_bootstrap_servers="")
        return SimpleNamespace(
            hot=Hot(self), warm=Warm(self), ledger=self, archive=self, readers_done=self.readers_done,
            rule=TierRule(7, 30, self.cold_days), settings=settings,
        )  # fmt: skip

    async def readers_done(self) -> bool:
        return self.ready

    def a_run(self, report: Report, now: datetime = NOW) -> _Run:
        held: Any = SimpleNamespace(check=_nothing)
        return _Run(self.stores(), Clock(now), held, report, lambda text: None)

    async def run(self, now: datetime = NOW) -> Report:
        report = Report()
        await self.a_run(report, now).all()
        return report

    async def restore(self, first: date, last: date, days: int) -> Report:
        report = Report()
        await self.a_run(report).restore(first, last, days)
        return report

    async def objects(self) -> list[TierObject]:
        return list(self.steps.values())

    async def erasures(self) -> list[Erasure]:
        return self.orders

    async def begin(self, item: TierObject, now: datetime) -> None:
        await self.take([replace(item, revision=0, step=Step.GONE)], now)

    async def publish(self, item: TierObject, number: int, now: datetime) -> bool:
        return await self.take([item], now)

    async def take(self, steps: Sequence[TierObject], now: datetime) -> bool:
        self.steps |= {step.name: step for step in steps}
        return True

    async def held(self, prefix: str) -> list[Held]:
        return [self._held(key) for key in self.bucket if key.startswith(prefix)]

    def _held(self, key: str) -> Held:
        return Held(key, 1, "", self.bucket[key][1], NOW - self.age)

    async def look(self, key: str) -> Held | None:
        return self._held(key) if key in self.bucket else None

    async def copy(self, key: str, to: str, storage_class: str) -> None:
        if key not in self.bucket:
            raise Refused("S3 bucket lpstream: 404", 404)
        self.bucket[to] = self.bucket[key][0], storage_class

    async def thaw(self, key: str, days: int) -> bool:
        if key not in self.bucket:
            raise Refused(f"its object on Glacier is missing ({key})", 404)
        return not self.thawing

    async def delete(self, keys: list[str]) -> None:
        for key in keys:
            self.bucket.pop(key, None)


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

    def _rows(self, item: TierObject) -> Rows:
        """Return the rows as a table of engine Merge does: none without a table."""
        return self.fakes.tables.get(item.name, {})

    def _write(self, item: TierObject, rows: Rows) -> None:
        self.fakes.bucket[self.fakes.tables_[item.name]] = rows, STANDARD

    async def names(self) -> set[str]:
        return set(self.fakes.tables_)

    async def create(self, item: TierObject) -> None:
        self.fakes.tables_.setdefault(item.name, item.key)

    async def fill(self, item: TierObject) -> None:
        self._write(item, Hot(self.fakes)._rows(item.partitions))

    async def copy_without(self, old: TierObject, new: TierObject, orders: Sequence[Erasure]) -> None:
        self._write(new, kept(self._rows(old), orders))

    async def fingerprint(self, item: TierObject, without: Sequence[Erasure] = ()) -> Fingerprint:
        return print_of(kept(self._rows(item), without))

    async def lp_ids(self, item: TierObject) -> tuple[str, ...]:
        return tuple(self._rows(item))

    async def drop(self, name: str) -> None:
        self.fakes.tables_.pop(name, None)
