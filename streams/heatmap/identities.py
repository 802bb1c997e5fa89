"""Identities of the beacons in the last 30 minutes of a partition's log.

Every retry of a beacon lands in the partition of its first try, so the partition's owner can recognise it alone. A
beacon is a retry if its identity was seen within the last 30 minutes of the log, counted or not. So only the last 30
minutes of the log decide: a worker that reads them back has exactly the identities of the worker before it.

A partition remembers `most_of_partition` beacons at most, so that a flood of small beacons cannot fill the worker's
memory. Beyond that it forgets the oldest bucket numbers first. That is also a function of the log.

Times are numbers of the slices' 5-second buckets. Each slice has one, which is a function of the log.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.heatmap import WINDOW_MS

RETRY_WINDOW_MS = 30 * 60 * 1000
RETRY_WINDOW = RETRY_WINDOW_MS // WINDOW_MS
# 30 minutes at 2,000 beacons/s. A beacon takes 108 bytes, so a topic of up to 12 partitions takes 390 MB at most.
MOST_OF_TOPIC, LEAST_OF_PARTITION = 3_600_000, 300_000


def most_of_partition(partitions: int) -> int:
    """Return how many beacons each partition remembers. A topic's number of `partitions` never changes."""
    return max(MOST_OF_TOPIC // partitions, LEAST_OF_PARTITION)


@dataclass(slots=True)
class Identities:
    """The identities of one partition, with the bucket number in which each was last seen.

    `held` counts the beacons in `order`, including retries. `early` counts the beacons that were forgotten before
    their 30 minutes were over.
    """

    most: int = MOST_OF_TOPIC
    known: dict[bytes, int] = field(default_factory=dict)
    order: deque[tuple[int, list[bytes]]] = field(default_factory=deque)
    held: int = 0
    early: int = 0

    def fresh(self, identities: list[bytes], number: int) -> NDArray[np.bool_]:
        """Remember all beacons. Return which of them count (True) and which are retries (False).

        `identities` has one entry for each beacon, in log order. `number` is the bucket number of their slice.
        """
        # Contract 8: the log of the last 30 minutes decides.
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
        """Remember identities as seen in bucket `number`.

        Forget identities that are older than the window, and the oldest beyond `most`.
        """
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
