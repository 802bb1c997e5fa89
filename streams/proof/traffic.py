"""Days of synthetic traffic: visits spread over hours and pages, with the time of each record."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime

import msgspec
import numpy as np
import pyarrow as pa

from processors.heatmap.decode import Fold, decode
from processors.heatmap.tiers import with_days_late
from schemas.heatmap import DEVICES
from streams.proof.visitors import DEVICE_WEIGHTS, Visit, page_of

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
# beacons that a browser sends later: their share, and their longest delay
KEPT, LONGEST_KEPT_MS = 0.01, 20 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Traffic:
    """A site: its pages and its number of visits per day."""

    lp_ids: tuple[str, ...]
    visits: int
    seed: int = 1

    def day(self, day: date) -> list[tuple[int, bytes]]:
        """Return the beacons of one day (UTC) with their records' times (ms UTC), ordered by time."""
        rng = random.Random(f"{self.seed}/{day.isoformat()}")
        start = midnight_ms(day)
        weights = [1 / (rank + 1) ** POPULARITY for rank in range(len(self.lp_ids))]
        records = []
        for hour in rng.choices(range(24), HOURS, k=self.visits):
            lp_id = rng.choices(self.lp_ids, weights)[0]
            device = rng.choices(DEVICES, DEVICE_WEIGHTS)[0]
            begun = start + (hour * HOUR_MS - TOKYO_MS) % DAY_MS + rng.randrange(HOUR_MS)
            for beacon in Visit(rng, page_of(lp_id, device), begun).beacons():
                late = rng.randrange(LONGEST_KEPT_MS) if rng.random() < KEPT else rng.randrange(ON_THE_WAY_MS)
                records.append((beacon["t0"] + beacon["dt"][-1] + late, msgspec.json.encode(beacon)))
        return sorted(records)


def midnight_ms(day: date) -> int:
    """Return the start of a day in ms UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000


def folded(records: list[tuple[int, bytes]]) -> Iterator[tuple[int, dict[str, pa.Table]]]:
    """Yield the rows of the hot tables for each date of arrival, with its first record's time (ms UTC)."""
    for date_number in sorted({at // DAY_MS for at, _ in records}):
        arrived = [(at, body) for at, body in records if at // DAY_MS == date_number]
        fold = Fold()
        times = np.array([at for at, _ in arrived], dtype=np.int64)
        fold.add(decode([body for _, body in arrived], times).columns)
        yield arrived[0][0], {table: with_days_late(rows, arrived[0][0]) for table, rows in fold.tables().items()}
