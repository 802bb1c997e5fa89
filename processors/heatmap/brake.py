"""The brake against rejected records: it says when a partition must pause.

Each rejected record becomes a dead letter. If a dead-letter topic fills up, retention deletes the letters of others.
"""

from dataclasses import dataclass

import numpy as np

from processors.heatmap.decode import Decoded


@dataclass(slots=True)
class Brake:
    """The rejected records of a bucket, or of consecutive buckets of a partition.

    `run` is the number of rejected records in a row up to the last record, `longest` the highest that it was.
    """

    run: int = 0
    longest: int = 0
    records: int = 0
    rejected: int = 0

    def begin_bucket(self, most_run: int) -> None:
        """Forget counts of earlier buckets that are enough for a verdict."""
        if self.records >= most_run:
            self.records = self.rejected = 0

    def add(self, decoded: Decoded) -> None:
        """Add a slice."""
        bad, good = [each.index for each in decoded.rejected], decoded.positions
        # how many rejected records stand before the first beacon, between two beacons, and behind the last
        runs = np.bincount(np.searchsorted(good, bad), minlength=len(good) + 1) if bad else None
        if runs is not None:
            runs[0] += self.run
            self.longest, self.run = max(self.longest, int(runs.max())), int(runs[-1])
        elif len(good):
            self.run = 0
        count = len(good) + len(bad)
        self.records, self.rejected = self.records + count, self.rejected + len(bad)

    def over(self, most_run: int, most_ratio: float) -> bool:
        """Return whether the longest run or the share of rejected records is over the limit."""
        share = self.records >= most_run and self.rejected > most_ratio * self.records
        return share or self.longest >= most_run
