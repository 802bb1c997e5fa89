"""The optimizer's reader of `lp.experiments`: it catches up with the topic and loses no record."""

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from aiokafka.structs import TopicPartition

from infra.kafka.reading import Fetched
from processors.experiments.known import Known
from schemas.errors import Retryable
from schemas.experiments import EXPERIMENTS, ExperimentCommand
from schemas.generation import encode_model
from streams.experiments import topic as module
from streams.experiments.topic import TopicReader

PLACES = [TopicPartition(EXPERIMENTS, number) for number in range(2)]


class Log:
    """A consumer and its reader in memory. Each fetch returns one record of one partition."""

    def __init__(self) -> None:
        self.records: dict[TopicPartition, list[Any]] = {tp: [] for tp in PLACES}
        self.at = dict.fromkeys(PLACES, 0)
        self.silent = False
        self.consumer = self
        self.unreadable: dict[TopicPartition, Any] = {}

    def append(self, place: int, key: bytes, value: bytes | None) -> None:
        self.records[PLACES[place]].append(SimpleNamespace(key=key, value=value))

    def assignment(self) -> set[TopicPartition]:
        return set(PLACES)

    async def end_offsets(self, places: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        return {tp: len(self.records[tp]) for tp in places}

    async def position(self, tp: TopicPartition) -> int:
        return self.at[tp]

    async def fetch(self, _: float) -> dict[TopicPartition, Fetched]:
        for tp, records in self.records.items():
            if not self.silent and (at := self.at[tp]) < len(records):
                self.at[tp] += 1
                return {tp: Fetched(at, records[at : at + 1], at + 1)}
        return {}


def command() -> ExperimentCommand:
    values = {"command": "start", "experiment_id": uuid4(), "tenant_id": "demo", "lp_id": "demo-a", "requested_ms": 1}
    return ExperimentCommand.model_validate(values | {"arms": ["demo-a", "demo-b"]})


async def test_catching_up_reads_every_partition_and_keeps_the_records() -> None:
    log, order = Log(), command()
    topic = TopicReader(cast(Any, log), Known())
    log.append(0, order.key, encode_model(order))
    log.append(1, b"demo-x", None)
    log.append(1, b"demo-y", None)
    await topic.catch_up()
    assert list(log.at.values()) == [1, 2] and topic.known.has("demo-a")
    log.append(0, order.key, None)
    await topic.catch_up()
    assert not topic.known.has("demo-a")
    assert await topic.more(0) == [order] and await topic.more(0) == []


async def test_a_topic_that_cannot_be_read_to_its_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CATCH_UP_S", 0.0)
    log = Log()
    log.append(0, b"demo-a", None)
    log.silent = True
    with pytest.raises(Retryable, match="not read to its end"):
        await TopicReader(cast(Any, log), Known()).catch_up()
