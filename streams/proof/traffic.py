"""Days of traffic by the visitor model: hours and pages as a site has them, and when each beacon's record came."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import msgspec
import numpy as np
import pyarrow as pa

from processors.heatmap.decode import Fold, decode
from processors.heatmap.tiers import with_days_late
from streams.proof.visitors import DEVICE_WEIGHTS, DEVICES, Visit, page_of

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
# visits by hour of the day in Tokyo, from midnight: few at night, most in the evening
HOURS = (
    0.5,
    0.3,
    0.2,
    0.1,
    0.1,
    0.2,
    0.5,
    0.9,
    1.1,
    1.1,
    1.1,
    1.2,
    1.5,
    1.3,
    1.1,
    1.1,
    1.1,
    1.2,
    1.3,
    1.5,
    1.8,
    2.0,
    1.8,
    1.0,
)
TOKYO_MS = 9 * HOUR_MS
POPULARITY = 0.8  # Zipf exponent of the pages
ON_THE_WAY_MS = 2_000
# beacons that a browser kept for later: their share, and how late they are at most
KEPT, LONGEST_KEPT_MS = 0.01, 20 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Traffic:
    """A site: its pages, and how many visits it gets a day."""

    lp_ids: tuple[str, ...]
    visits: int
    seed: int = 1

    def day(self, day: date) -> list[tuple[int, bytes]]:
        """Beacons of one day (UTC), each with its record's time (ms UTC), in the order of these."""
        rng = random.Random(f"{self.seed}/{day.isoformat()}")
        start = midnight_ms(day)
        weights = [1 / (rank + 1) ** POPULARITY for rank in range(len(self.lp_ids))]
        found = []
        for hour in rng.choices(range(24), HOURS, k=self.visits):
            lp_id = rng.choices(self.lp_ids, weights)[0]
            device = rng.choices(DEVICES, DEVICE_WEIGHTS)[0]
            begun = start + (hour * HOUR_MS - TOKYO_MS) % DAY_MS + rng.randrange(HOUR_MS)
            for beacon in Visit(rng, page_of(lp_id, device), begun).beacons():
                late = rng.randrange(LONGEST_KEPT_MS) if rng.random() < KEPT else rng.randrange(ON_THE_WAY_MS)
                found.append((beacon["t0"] + beacon["dt"][-1] + late, msgspec.json.encode(beacon)))
        return sorted(found)


def midnight_ms(day: date) -> int:
    """Beginning of a day, ms UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def folded(records: list[tuple[int, bytes]]) -> Iterator[tuple[int, dict[str, pa.Table]]]:
    """Rows of the hot tables of records that came on one date, date by date, with the time of the first (ms UTC)."""
    for date_number in sorted({at // DAY_MS for at, _ in records}):
        mine = [(at, body) for at, body in records if at // DAY_MS == date_number]
        fold = Fold()
        times = np.array([at for at, _ in mine], dtype=np.int64)
        fold.add(decode([body for _, body in mine], times).columns)
        yield mine[0][0], {table: with_days_late(rows, mine[0][0]) for table, rows in fold.tables().items()}
