"""Acks are sent in order of offset, in whatever order events finish."""

import random
from dataclasses import dataclass, field
from types import SimpleNamespace

from streams.generation.ordered_acks import OrderedAcks


@dataclass
class Event:
    offset: int
    acked: list[int]
    tp: str = "t-0"
    message: SimpleNamespace = field(init=False)

    def __post_init__(self) -> None:
        self.message = SimpleNamespace(tp=self.tp, offset=self.offset)

    def ack(self) -> bool:
        self.acked.append(self.offset)
        return True


def test_acks_ascend_without_gaps_for_any_finishing_order() -> None:
    rng = random.Random(1)
    for _ in range(200):
        acks, acked = OrderedAcks(), list[int]()
        entries = [acks.begin(Event(offset, acked)) for offset in range(8)]
        finished: set[int] = set()
        for entry in rng.sample(entries, 8):
            acks.finish(entry)
            finished.add(entry.event.message.offset)
            assert acked == list(range(len(acked)))
            assert set(acked) <= finished
        assert acked == list(range(8))


def test_partitions_do_not_wait_for_each_other() -> None:
    acks, acked = OrderedAcks(), list[int]()
    acks.begin(Event(0, acked, "t-0"))
    second = acks.begin(Event(7, acked, "t-1"))
    assert acks.finish(second) == 1
    assert acked == [7]
