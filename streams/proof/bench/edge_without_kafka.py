"""The edge with a sender that acknowledges at once: what the HTTP side alone can do, as a bound for the whole.

`python -m streams.proof.bench.edge_without_kafka`, by the settings of an edge.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable

from infra.kafka.producer import partition_of
from streams.edge.beacons.sender import Record, Sender, Sent
from streams.edge.processes import run_one
from streams.runtime.settings import Settings, load_settings

PARTITIONS = 12


class Nowhere(Sender):
    """Takes every record, and keeps none."""

    def __init__(self, settings: Settings) -> None:
        self._offsets = itertools.count()
        self._waiting = Counter()
        self.ready = False

    async def start(self) -> None:
        """Nothing to connect to."""
        self.ready = True

    async def stop(self) -> None:
        """Nothing is open."""

    async def partitions(self, topic: str) -> int:
        """As many as the topic has by itself."""
        return PARTITIONS

    def knows(self, topic: str) -> bool:
        """They are known."""
        return True

    def send_one(self, topic: str, record: Record, done: Callable[[Sent], None]) -> None:
        """It is acknowledged, in the next turn of the loop as by a broker that takes no time."""
        place = partition_of(record.place_by or b"", PARTITIONS)
        asyncio.get_running_loop().call_soon(done, Sent(place, next(self._offsets)))

    async def send(self, topic: str, records: list[Record]) -> list[Sent]:
        """All are acknowledged."""
        return [Sent(0, next(self._offsets)) for _ in records]


if __name__ == "__main__":
    settings = load_settings()
    run_one(settings, Nowhere(settings))
