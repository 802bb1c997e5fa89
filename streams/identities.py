"""Identities of beacons already counted, by partition, for the last 30 minutes of the log.

Every retry of a beacon lands in the partition of its first try, so the partition's owner alone can tell. An
identity carries the time of its bucket's first record: what is a retry is a function of the log.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

RETRY_WINDOW_MS = 30 * 60 * 1000


@dataclass(slots=True)
class Identities:
    """Counted identities of one partition, with the log time (ms) at which each was first counted."""

    known: dict[bytes, int] = field(default_factory=dict)
    order: deque[tuple[int, list[bytes]]] = field(default_factory=deque)

    def fresh(self, identities: list[bytes], at_ms: int) -> NDArray[np.bool_]:
        """Which beacons are counted (True) and which are retries; the counted ones are known from here on.

        `identities` has one entry a beacon, in log order; `at_ms` is the time of the bucket's first record.
        """
        batch = dict.fromkeys(identities, at_ms)
        if len(batch) == len(identities) and self.known.keys().isdisjoint(batch):
            self.known.update(batch)
            return np.ones(len(identities), dtype=bool)
        keep = np.zeros(len(identities), dtype=bool)
        for position, identity in enumerate(identities):
            first = self.known.get(identity)
            if first is None or at_ms - first > RETRY_WINDOW_MS:
                self.known[identity] = at_ms
                keep[position] = True
        return keep

    def close_bucket(self, at_ms: int, counted: list[bytes]) -> None:
        """Note the identities that a closed bucket counted, and forget those past the window."""
        self.order.append((at_ms, counted))
        while self.order and at_ms - self.order[0][0] > RETRY_WINDOW_MS:
            then, old = self.order.popleft()
            for identity in old:
                if self.known.get(identity) == then:
                    del self.known[identity]

    def load(self, buckets: list[tuple[int, list[bytes]]]) -> None:
        """Take over closed buckets (time, identities), oldest first."""
        for at_ms, counted in buckets:
            self.known.update(dict.fromkeys(counted, at_ms))
            self.order.append((at_ms, counted))
