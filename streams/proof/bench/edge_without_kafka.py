"""The edge with a sender that acknowledges at once: what the HTTP side alone can do, as a bound for the whole.

`python -m streams.proof.bench.edge_without_kafka`, by the settings of an edge.
"""

import itertools

from schemas.heatmap import TOPIC
from streams.edge.processes import run_one
from streams.edge.sender import Record, Sender, Sent
from streams.settings import Settings, load_settings


class Nowhere(Sender):
    """Takes every record, and keeps none."""

    def __init__(self, settings: Settings) -> None:
        self._offsets = itertools.count()
        self.ready = False

    async def start(self) -> None:
        """Nothing to connect to."""
        self.ready = True

    async def stop(self) -> None:
        """Nothing is open."""

    async def partitions(self, topic: str) -> int:
        """As many as the topic has by itself."""
        return 12 if topic == TOPIC else 1

    async def send(self, topic: str, records: list[Record]) -> list[Sent]:
        """All are acknowledged."""
        return [Sent(0, next(self._offsets)) for _ in records]


if __name__ == "__main__":
    settings = load_settings()
    run_one(settings, Nowhere(settings))
