"""The gauges of each assigned partition: its lag, and the time since its commit last advanced."""

import time
from collections.abc import Callable
from typing import Any

from faust.types import TP

from streams.heatmap.delivery import Delivery
from streams.runtime import metrics


class PartitionGauges:
    """The gauges of partitions.

    A partition is late while its log has records that are not committed. Its age counts from the last commit that
    advanced it, or from when it was last not late. Reading again from a boundary resets neither age nor lag.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._moved: dict[TP, tuple[int, float]] = {}
        self._shown: set[TP] = set()

    def update(self, consumer: Any, delivery: Delivery) -> None:
        """Set the gauges of the assigned partitions, and remove those of other partitions."""
        assigned = set(consumer.assignment())
        metrics.BRAKED.set(sum(state.braked for state in delivery.partitions.values()))
        for tp in assigned:
            self._update(tp, consumer, delivery)
        for tp in self._shown - assigned:
            del self._moved[tp]
            metrics.LAG.remove(str(tp.partition))
            metrics.COMMIT_AGE.remove(str(tp.partition))
        self._shown = assigned

    def _update(self, tp: TP, consumer: Any, delivery: Delivery) -> None:
        state = delivery.partitions.get(tp)
        end = consumer.highwater(tp) or 0
        position = state.expected if state else consumer.fetch_position(tp)
        lag = max(0, end - position) if position is not None else 0
        late = lag > 0 or (state is not None and (state.bucket is not None or state.storing))
        committed = consumer.committed_boundary(tp)
        now = self._clock()
        before, since = self._moved.get(tp, (committed or 0, now))
        if not late or (committed is not None and committed > before):
            before, since = committed or before, now
        self._moved[tp] = (before, since)
        metrics.LAG.labels(str(tp.partition)).set(lag)
        metrics.COMMIT_AGE.labels(str(tp.partition)).set(now - since)
