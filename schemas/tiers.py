"""Data outside the hot tables: objects of the warm and the cold tier, their steps, and erasures."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from schemas.heatmap import LATE_LIMIT_MS, WINDOW_MS


class Step(StrEnum):
    """The state of an object. The DDL of table `tier_objects` explains each state for readers.

    `gone` at revision 0 says that a run begins to write the object. `gone` with 0 bytes says that S3 expired it.
    """

    PUBLISHED = "published"
    DROPPING = "dropping"
    SETTLED = "settled"
    COLD = "cold"
    RESTORED = "restored"
    GONE = "gone"


ON_THE_WAY = (Step.PUBLISHED, Step.DROPPING)
WARM_STEPS = (*ON_THE_WAY, Step.SETTLED, Step.RESTORED)
NO_DAY = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """A checksum of summed rows: their number, the sum of each measure, the sum of hashes (mod 2^64)."""

    rows: int
    sums: tuple[int, ...]
    digest: int


@dataclass(frozen=True, slots=True)
class HotPartition:
    """A partition of a hot table: events of `day` whose records came `days_late` days later.

    Days are UTC.
    """

    source: str
    day: date
    days_late: int
    name: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class TierObject:
    """A Parquet object with rows of one hot table and one day (UTC), after its step number `revision`."""

    source: str
    day: date
    name: str
    revision: int
    step: Step
    partitions: tuple[str, ...]
    fingerprint: Fingerprint
    bytes: int
    lp_ids: tuple[str, ...]
    erased: int = 0
    until: date = NO_DAY

    @property
    def key(self) -> str:
        """The object's key while it is warm."""
        return f"heatmap/table={self.source}/date={self.day.isoformat()}/{self.name.rpartition('_')[2]}.parquet"

    @property
    def cold_key(self) -> str:
        """The object's key from the day on which it becomes cold."""
        return f"heatmap-cold/{self.key.removeprefix('heatmap/')}"

    @property
    def expired_on_s3(self) -> bool:
        """Whether S3 expired the object. If S3 has it again, it is cold again."""
        return self.step is Step.GONE and self.revision > 0 and not self.bytes


def object_name(source: str, day: date, ident: str) -> str:
    """Return the name of an object and of its table; `ident` consists of letters and digits."""
    return f"{source}_{day:%Y%m%d}_{ident}"


@dataclass(frozen=True, slots=True)
class Erasure:
    """An order to erase all counts of pages up to `asked_at` (UTC), by page id or id prefix."""

    number: int
    lp_ids: tuple[str, ...]
    prefix: str
    asked_at: datetime

    @property
    def before(self) -> datetime:
        """The end of the windows to erase: visitors' clocks may be fast."""
        return self.asked_at + timedelta(milliseconds=LATE_LIMIT_MS + WINDOW_MS)

    def covers(self, lp_id: str) -> bool:
        """Return whether the erasure includes a page."""
        return lp_id in self.lp_ids or (bool(self.prefix) and lp_id.startswith(self.prefix))
