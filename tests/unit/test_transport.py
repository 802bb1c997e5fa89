"""The slice transport: slices of a fetch, and records that a rebalance interrupts."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from aiokafka.structs import TopicPartition
from faust.types import TP
from test_delivery import Record

from infra.kafka.reading import Fetched
from streams.runtime.settings import Settings
from streams.transports.slices import Consumer
from streams.workers.app import build_app

TP0, TP1 = TP("heatmap.events", 0), TP("heatmap.events", 1)


@dataclass
class Thread:
    """A fake of the thread that owns aiokafka's consumer; tests/guarantees run the real thread."""

    assigned: set[TP] = field(default_factory=lambda: {TP0, TP1})
    offsets: dict[TP, int] = field(default_factory=dict)
    seeks: list[tuple[TP, int]] = field(default_factory=list)
    failures: int = 0
    commits: list[dict[TP, int]] = field(default_factory=list)

    def assignment(self) -> set[TP]:
        return self.assigned

    def highwater(self, tp: TP) -> int:
        return 0

    async def committed(self, tp: TP) -> tuple[int, str] | None:
        return (self.offsets[tp], "") if tp in self.offsets else None

    async def earliest(self, tp: TP) -> int:
        return 3

    async def commit(self, offsets: dict[TP, int]) -> bool:
        await asyncio.sleep(0.01)
        self.commits.append(dict(offsets))
        return True

    async def seek_wait(self, places: dict[TP, int]) -> None:
        if self.failures:
            self.failures -= 1
            raise IllegalStateError
        self.seeks.extend(places.items())


@dataclass
class Broker:
    """A fake broker that returns `fetches` in turn and runs `meanwhile` during each fetch."""

    fetches: list[dict[TP, list[Record]]] = field(default_factory=list)
    meanwhile: Callable[[], None] = lambda: None

    async def fetch(self, timeout: float) -> tuple[dict[TP, Fetched], set[TP]]:
        self.meanwhile()
        fetched = self.fetches.pop(0) if self.fetches else {}
        passed = {tp: Fetched(log[0].offset, log, log[-1].offset + 1) for tp, log in fetched.items()}  # type: ignore[arg-type]
        return passed, {TP0, TP1}


@pytest.fixture
def consumer() -> Any:
    consumer = build_app(Settings(), "heatmap").consumer
    assert isinstance(consumer, Consumer)
    consumer._thread = Thread()
    consumer.flow_active = True
    consumer.sleep = asyncio.sleep
    return consumer


def rebalance(consumer: Any) -> None:
    consumer._forget()
    consumer._forget()


async def slices_of_fetch(consumer: Any) -> list[tuple[int, int, int]]:
    """Return (partition, begin, next) of each slice of one fetch."""
    return [(tp.partition, one.value.begin, one.value.next) async for tp, one in consumer.getmany(0.0)]


async def test_partitions_take_turns_and_slices_end_at_five_seconds(consumer: Any) -> None:
    log = [Record(7, 1_000), Record(8, 4_999), Record(9, 5_000)]
    consumer._wait_next_records = Broker([{TP0: log, TP1: [Record(1, 2_000)]}]).fetch
    assert await slices_of_fetch(consumer) == [(0, 7, 9), (1, 1, 2), (0, 9, 10)]
    assert await slices_of_fetch(consumer) == []
    assert consumer._thread.seeks == []


async def test_a_fetch_during_a_rebalance_is_read_again(consumer: Any) -> None:
    """Otherwise its records would stay uncounted until later records arrive."""
    broker = Broker([{TP0: [Record(7, 1_000)], TP1: [Record(5, 1_000)]}], lambda: rebalance(consumer))
    consumer._wait_next_records = broker.fetch
    consumer._thread.offsets = {TP0: 7}
    assert await slices_of_fetch(consumer) == []
    broker.meanwhile = lambda: None
    consumer._thread.failures = 1
    await slices_of_fetch(consumer)
    assert sorted(consumer._thread.seeks) == [(TP0, 7), (TP1, 3)], "to the committed offset, or to the start of the log"
    await slices_of_fetch(consumer)
    assert len(consumer._thread.seeks) == 2


async def test_slices_left_by_a_rebalance_are_read_again(consumer: Any) -> None:
    consumer._wait_next_records = Broker([{TP0: [Record(7, 1_000)], TP1: [Record(5, 1_000)]}]).fetch
    taken = consumer.getmany(0.0)
    assert (await anext(taken))[1].value.begin == 7
    rebalance(consumer)
    consumer._thread.assigned = {TP1}
    assert [one async for one in taken] == []
    await slices_of_fetch(consumer)
    assert consumer._thread.seeks == [(TP1, 3)]


async def test_waiting_boundaries_share_the_next_commit(consumer: Any) -> None:
    """Otherwise twelve partitions that are assigned at once would commit one after another."""
    places = [TP("heatmap.events", number) for number in range(12)]
    for offset, tp in enumerate(places):
        consumer.complete(tp, offset, consumer.epoch)
        if not offset:
            first = asyncio.create_task(consumer.commit_boundary(tp))
            await asyncio.sleep(0)
    assert await asyncio.gather(first, *map(consumer.commit_boundary, places[1:])) == [True] * 12
    assert consumer._thread.commits == [{places[0]: 0}, dict(zip(places[1:], range(1, 12), strict=True))]


async def test_a_held_partition_is_not_fetched_until_released(consumer: Any) -> None:
    broker = Broker([{TopicPartition(*TP0): [Record(0, 1_000)]}])  # type: ignore[dict-item]
    consumer._wait_next_records = broker.fetch
    consumer._set_active_tps({TP0, TP1})
    (tp,) = [message.value.tp async for _, message in consumer.getmany(1.0)]
    consumer.on_buffer_full(tp)
    assert consumer._get_active_partitions() == {TP1}
    consumer.on_buffer_drop(tp)
    assert consumer._get_active_partitions() == {TP0, TP1}


async def test_a_braked_partition_stays_paused_when_its_lane_empties(consumer: Any) -> None:
    consumer._set_active_tps({TP0, TP1})
    consumer.on_buffer_full(TP0)
    consumer.brake({TP0})
    consumer.on_buffer_drop(TP0)
    assert consumer._get_active_partitions() == {TP1}
