"""Identities of beacons that a partition's log held in its last 30 minutes.

Every retry of a beacon lands in the partition of its first try, so the partition's owner alone can recognise it. A
beacon is a retry when its identity was seen within the last 30 minutes of the log, counted or not. So the last 30
minutes of the log alone decide, and a worker that reads them back knows exactly what the one before it knew.

A partition remembers `MOST` beacons at most, so that a flood of small beacons cannot fill the worker's memory. Beyond
that it forgets the oldest bucket numbers first, which is a function of the log as well.

Times are numbers of slices' 5-second buckets: a slice has one, and it is a function of the log.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from processors.heatmap.cuts import WINDOW_MS

RETRY_WINDOW_MS = 30 * 60 * 1000
RETRY_WINDOW = RETRY_WINDOW_MS // WINDOW_MS
# 30 minutes at 2,000 beacons/s over 12 partitions. A beacon takes 108 bytes, so 12 partitions take 390 MB at most.
MOST = 300_000


@dataclass(slots=True)
class Identities:
    """Identities of one partition, with the bucket number at which each was last seen.

    `held` counts the beacons in `order`, retries too. `early` counts those forgotten before their 30 minutes were over.
    """

    most: int = MOST
    known: dict[bytes, int] = field(default_factory=dict)
    order: deque[tuple[int, list[bytes]]] = field(default_factory=deque)
    held: int = 0
    early: int = 0

    def fresh(self, identities: list[bytes], number: int) -> NDArray[np.bool_]:
        """Return which beacons are counted (True) and which are retries, and remember them all.

        `identities` has one entry a beacon, in log order; `number` is the number of their slice's bucket.
        """
        batch = dict.fromkeys(identities, number)
        keep = np.ones(len(identities), dtype=bool)
        if len(batch) < len(identities) or not self.known.keys().isdisjoint(batch):
            seen = set()
            for position, identity in enumerate(identities):
                last = self.known.get(identity)
                keep[position] = identity not in seen and (last is None or number - last > RETRY_WINDOW)
                seen.add(identity)
        self.see(identities, number)
        return keep

    def see(self, identities: list[bytes], number: int) -> None:
        """Remember identities as seen in that bucket. Forget those past the window, and the oldest beyond `most`."""
        self.known.update(dict.fromkeys(identities, number))
        self.order.append((number, identities))
        self.held += len(identities)
        while number - self.order[0][0] > RETRY_WINDOW:
            self._forget_oldest()
        while self.held > self.most and self.order[0][0] < number:
            oldest, before = self.order[0][0], self.held
            while self.order[0][0] == oldest:
                self._forget_oldest()
            self.early += before - self.held

    def _forget_oldest(self) -> None:
        then, old = self.order.popleft()
        self.held -= len(old)
        for identity in old:
            if self.known.get(identity) == then:
                del self.known[identity]
