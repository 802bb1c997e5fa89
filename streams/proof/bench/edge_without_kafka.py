"""The edge with a sender that acknowledges at once. Its rate is the upper bound of the HTTP side.

Run `python -m streams.proof.bench.edge_without_kafka` with the settings of an edge.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Callable

from infra.kafka.producer import partition_of
from streams.edge.beacons.sender import Record, Sender, Sent
from streams.edge.processes import run_one
from streams.runtime.settings import Settings, load_settings

PARTITIONS = 3


class Nowhere(Sender):
    """A sender that accepts every record and discards it."""

    def __init__(self, settings: Settings) -> None:
        self._offsets = itertools.count()
        self._waiting = Counter()
        self.ready = False

    async def start(self) -> None:
        """Become ready; there is no broker to connect to."""
        self.ready = True

    async def stop(self) -> None:
        """Do nothing; no connection is open."""

    async def partitions(self, topic: str) -> int:
        """Return the topic's default number of partitions."""
        return PARTITIONS

    def knows(self, topic: str) -> bool:
        """Return True: the number of partitions is always known."""
        return True

    def send_one(self, topic: str, record: Record, done: Callable[[Sent], None]) -> None:
        """Acknowledge the record in the loop's next iteration, as an infinitely fast broker would."""
        partition = partition_of(record.place_by or b"", PARTITIONS)
        asyncio.get_running_loop().call_soon(done, Sent(partition, next(self._offsets)))

    async def send(self, topic: str, records: list[Record]) -> list[Sent]:
        """Acknowledge all records."""
        return [Sent(0, next(self._offsets)) for _ in records]


if __name__ == "__main__":
    settings = load_settings()
    run_one(settings, Nowhere(settings))
