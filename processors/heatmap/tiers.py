"""Which days belong in which tier, and how late a row is. Days are UTC dates; `today` is always an argument."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

import numpy as np
import pyarrow as pa

from schemas.tiers import ON_THE_WAY, Erasure, HotPartition, Step, TierObject

DAY_S = 86_400
MOST_DAYS_LATE = 255
# a day of the analysts' time zone reaches into two of UTC, so the first of theirs needs one more of ours
OTHER_ZONE_DAYS = 1


@dataclass(frozen=True, slots=True)
class TierRule:
    """Days before today that stay in the hot tables, and that are read at all, whole in every time zone."""

    hot_days: int
    warm_days: int

    def leaves_hot(self, day: date, today: date) -> bool:
        """Whether a day's place is on S3."""
        return (today - day).days > self.hot_days

    def leaves_warm(self, day: date, today: date) -> bool:
        """Whether a day's place is on Glacier."""
        return (today - day).days > self.warm_days + OTHER_ZONE_DAYS


@dataclass(frozen=True, slots=True)
class Move:
    """Partitions of one hot table that hold one day, to become the `number`th object of that table and day."""

    source: str
    day: date
    partitions: tuple[str, ...]
    number: int


def with_days_late(rows: pa.Table, record_ms: int) -> pa.Table:
    """The rows with a column `days_late` (uint8): days from the date of `window_start` (s, uint32) to the record's.

    It is a function of the log alone, as is the insert that it is part of. By the end of a date no more rows come
    that were late by that date: their partitions are complete.
    """
    late = record_ms // (DAY_S * 1000) - rows["window_start"].to_numpy().astype(np.int64) // DAY_S
    column = np.clip(late, 0, MOST_DAYS_LATE).astype(np.uint8)
    return rows.append_column("days_late", pa.array(column))


def is_complete(partition: HotPartition, today: date) -> bool:
    """Whether no more rows can come into a partition once the log is read up to the beginning of `today`."""
    return partition.days_late < MOST_DAYS_LATE and partition.day + timedelta(partition.days_late) < today


def moves(partitions: Iterable[HotPartition], objects: Iterable[TierObject], rule: TierRule, today: date) -> list[Move]:
    """What has to leave the hot tables, oldest day first, but for what is on its way already.

    The partitions must have been looked at after the objects.
    """
    known = list(objects)
    taken = {(one.source, name) for one in known if one.step in ON_THE_WAY for name in one.partitions}
    numbers = Counter((one.source, one.day) for one in known)
    due = sorted(
        (one.day, one.source, one.name)
        for one in partitions
        if rule.leaves_hot(one.day, today) and is_complete(one, today) and (one.source, one.name) not in taken
    )
    grouped = groupby(due, key=lambda one: one[:2])
    return [
        Move(source, day, tuple(name for *_, name in names), numbers[source, day] + 1)
        for (day, source), names in grouped
    ]


def to_chill(objects: Iterable[TierObject], rule: TierRule, today: date) -> list[TierObject]:
    """Objects whose place is on Glacier by now, and that are neither there nor called back."""
    return [one for one in objects if one.step is Step.SETTLED and rule.leaves_warm(one.day, today)]


def expired(objects: Iterable[TierObject], today: date) -> list[TierObject]:
    """Restored objects whose time is over."""
    return [one for one in objects if one.step is Step.RESTORED and one.until < today]


def days_behind(partitions: Iterable[HotPartition], rule: TierRule, today: date) -> int:
    """For how many days the hot partition that waits the longest could have been moved; 0 when none could before today.

    A row that comes late for a day that is moved can be moved on the day after it came.
    """
    waits = [(today - one.day).days - max(rule.hot_days, one.days_late) - 1 for one in partitions]
    return max(0, *waits, 0)


def to_erase(objects: Iterable[TierObject], erasures: Sequence[Erasure]) -> list[tuple[TierObject, list[Erasure]]]:
    """Objects that still hold pages that were to be erased, each with the erasures that concern it."""
    found = [
        (one, [erasure for erasure in erasures if erasure.number > one.erased and any(map(erasure.covers, one.lp_ids))])
        for one in objects
        if one.step is not Step.GONE
    ]
    return [(one, concerned) for one, concerned in found if concerned]
