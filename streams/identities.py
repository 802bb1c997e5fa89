"""Identities of beacons that a partition's log held in its last 30 minutes.

Every retry of a beacon lands in the partition of its first try, so the partition's owner alone can recognise it. A
beacon is a retry when its identity was seen within the last 30 minutes of the log, counted or not. So the last 30
minutes of the log alone decide, and a worker that reads them back knows exactly what the one before it knew.

Times are numbers of slices' 5-second buckets: a slice has one, and it is a function of the log.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from processors.cuts import WINDOW_MS

RETRY_WINDOW_MS = 30 * 60 * 1000
RETRY_WINDOW = RETRY_WINDOW_MS // WINDOW_MS


@dataclass(slots=True)
class Identities:
    """Identities of one partition, with the bucket number at which each was last seen."""

    known: dict[bytes, int] = field(default_factory=dict)
    order: deque[tuple[int, list[bytes]]] = field(default_factory=deque)

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
        self.see(list(batch), number)
        return keep

    def see(self, identities: list[bytes], number: int) -> None:
        """Remember identities as seen in that bucket, and forget those past the window."""
        self.known.update(dict.fromkeys(identities, number))
        self.order.append((number, identities))
        while number - self.order[0][0] > RETRY_WINDOW:
            then, old = self.order.popleft()
            for identity in old:
                if self.known.get(identity) == then:
                    del self.known[identity]
