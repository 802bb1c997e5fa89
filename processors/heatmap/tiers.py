"""Rules of the tiers: the tier of each day, and the lateness of rows.

Days are UTC dates unless a zone is given; `today` is always an argument.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from schemas.tiers import ON_THE_WAY, WARM_STEPS, Erasure, HotPartition, Step, TierObject

DAY_S = 86_400
MOST_DAYS_LATE = 255
# a day in the analysts' time zone overlaps two UTC days, so their first day needs one more UTC day
OTHER_ZONE_DAYS = 1


@dataclass(frozen=True, slots=True)
class TierRule:
    """Limits in days before today: `hot_days` stay in the hot tables, `warm_days` are readable.

    The readable days are complete in every time zone. S3 may delete an object `cold_days` after its move to Glacier, or
    never if that is 0.
    """

    hot_days: int
    warm_days: int
    cold_days: int = 0

    def leaves_hot(self, day: date, today: date) -> bool:
        """Return whether a day is too old for the hot tables and belongs on S3."""
        return (today - day).days > self.hot_days

    def leaves_warm(self, day: date, today: date) -> bool:
        """Return whether a day is too old for S3 and belongs on Glacier."""
        return (today - day).days > self.warm_days + OTHER_ZONE_DAYS

    def may_be_expired(self, day: date, today: date) -> bool:
        """Return whether S3 may have deleted a day from Glacier by its age."""
        return 0 < self.cold_days < (today - day).days - self.warm_days - OTHER_ZONE_DAYS


@dataclass(frozen=True, slots=True)
class Move:
    """Partitions of one hot table and one day that will become object `number` of that table and day."""

    source: str
    day: date
    partitions: tuple[str, ...]
    number: int


def utc_days(first: date, last: date, zone: ZoneInfo) -> tuple[date, date]:
    """Return the first and last UTC day that overlap days of a zone, both `first` and `last` included."""
    start, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (first, last + timedelta(1)))
    return start.date(), (end - timedelta(microseconds=1)).date()


def with_days_late(rows: pa.Table, record_ms: int) -> pa.Table:
    """Return the rows with a column `days_late` (uint8).

    It has the days from the date of `window_start` (s, uint32) to the record's date. It depends only on the log, as the
    whole insert does. A partition of a day and its `days_late` gets no rows after the date that they add up to, so it
    is complete when that date ends.
    """
    late = record_ms // (DAY_S * 1000) - rows["window_start"].to_numpy().astype(np.int64) // DAY_S
    column = np.clip(late, 0, MOST_DAYS_LATE).astype(np.uint8)
    return rows.append_column("days_late", pa.array(column))


def is_complete(partition: HotPartition, today: date) -> bool:
    """Return whether a partition gets no more rows once the log is read up to the start of `today`."""
    return partition.days_late < MOST_DAYS_LATE and partition.day + timedelta(partition.days_late) < today


def moves(partitions: Iterable[HotPartition], objects: Iterable[TierObject], rule: TierRule, today: date) -> list[Move]:
    """Return the moves out of the hot tables that are due and not under way yet, oldest day first.

    The caller must list the objects first and the partitions after them.
    """
    known = list(objects)
    taken = {(item.source, name) for item in known if item.step in ON_THE_WAY for name in item.partitions}
    numbers = Counter((item.source, item.day) for item in known if item.revision)
    due = sorted(
        (part.day, part.source, part.name)
        for part in partitions
        if rule.leaves_hot(part.day, today) and is_complete(part, today) and (part.source, part.name) not in taken
    )
    grouped = groupby(due, key=lambda entry: entry[:2])
    return [
        Move(source, day, tuple(name for *_, name in names), numbers[source, day] + 1)
        for (day, source), names in grouped
    ]


def to_chill(objects: Iterable[TierObject], rule: TierRule, today: date) -> list[TierObject]:
    """Return the objects that belong on Glacier and are neither there nor restored nor asked for."""
    settled = [item for item in objects if item.step is Step.SETTLED and item.until < today]
    return [item for item in settled if rule.leaves_warm(item.day, today)]


def needs_step(item: TierObject, rule: TierRule, until: date) -> bool:
    """Return whether an object needs a step so that readers find it up to the day `until`."""
    if item.step in (Step.COLD, Step.RESTORED):
        return True
    return item.step in WARM_STEPS and item.until < until and rule.leaves_warm(item.day, until)


def expired(objects: Iterable[TierObject], today: date) -> list[TierObject]:
    """Return the restored objects whose last readable day is over."""
    return [item for item in objects if item.step is Step.RESTORED and item.until < today]


def days_behind(partitions: Iterable[HotPartition], rule: TierRule, today: date) -> int:
    """Return the days for which the most overdue hot partition could have been moved, or 0.

    A late row of a moved day can be moved on the day after it came.
    """
    return max((_overdue(part, rule, today) for part in partitions), default=0)


def overdue_age(partitions: Iterable[HotPartition], rule: TierRule, today: date) -> int:
    """Return the age in days of the oldest hot partition that is a day or more behind, or 0."""
    return max(((today - part.day).days for part in partitions if _overdue(part, rule, today)), default=0)


def _overdue(part: HotPartition, rule: TierRule, today: date) -> int:
    return max(0, (today - part.day).days - max(rule.hot_days, part.days_late) - 1)


def to_erase(objects: Iterable[TierObject], erasures: Sequence[Erasure]) -> list[tuple[TierObject, list[Erasure]]]:
    """Return the objects that still hold pages to erase, each with the erasures that apply to it."""
    candidates = [
        (item, [order for order in erasures if order.number > item.erased and any(map(order.covers, item.lp_ids))])
        for item in objects
        if item.step is not Step.GONE
    ]
    return [(item, orders) for item, orders in candidates if orders]
