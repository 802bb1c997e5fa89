"""Helpers for tests of the rebuild: a log in memory, and visits with times of their own."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from aiokafka import TopicPartition
from beacons import example_beacon

from infra.kafka.reading import Fetched


@dataclass
class Record:
    """A record of the log."""

    offset: int
    timestamp: int
    value: bytes


class LogOf:
    """A log of one partition, which is fetched in parts of `size` records."""

    def __init__(self, place: TopicPartition, records: list[Any], size: int) -> None:
        self.place, self.records, self.size = place, records, size
        self.begins = {place: 0}
        self.read = 0

    def left(self, until: Any) -> int:
        return len(self.records) - self.read

    async def fetch(self, until: Any) -> dict[TopicPartition, Fetched]:
        begin, self.read = self.read, min(self.read + self.size, len(self.records))
        return {self.place: Fetched(begin, self.records[begin : self.read], self.read)}


def visit(number: int, record_ms: int, event_ms: int) -> Record:
    """Return the record of a visit with one click."""
    one = {"type": "c", "dt": [0], "x": [0], "y": [0], "dwell": [0], "fixed": [], "elements": ["cta"]}
    beacon = example_beacon(pageview_id=f"{UUID(int=number)}", t0=event_ms, **one)
    return Record(number, record_ms, msgspec.json.encode(beacon))
