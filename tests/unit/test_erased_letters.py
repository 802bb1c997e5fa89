"""`lpstream dlq replay` does not bring data of erased pages back."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import msgspec
import pytest
from aiokafka import TopicPartition
from beacons import some_beacons
from page_requests import least

from processors.pages.brief import brief_of
from schemas.generation import REQUESTS, STEP_RESULTS, STEPS, Step, StepName, StepResult, encode_model, lp_id_of
from schemas.heatmap import TOPIC as HEATMAP
from schemas.plan import Plan
from schemas.tiers import Erasure
from streams.operate import dead_letters
from streams.operate.dead_letters import DeadLetters, Letter
from streams.runtime.settings import Settings
from streams.transports.dead_letters import dead_letter_headers

ASKED = datetime(2027, 3, 1, tzinfo=UTC)
LATEST = timedelta(minutes=5, seconds=5)
REQUEST_ID = uuid.UUID(int=7)
PAGE = lp_id_of("acme", REQUEST_ID)


def values() -> dict[str, bytes]:
    """Return a record of the page, by topic."""
    request = least(request_id=REQUEST_ID, tenant_id="acme")
    plan = Plan(request=request, brief=brief_of(request), created_ms=1, deadline_ms=2, validate_ms=1)
    ids = {"request_id": REQUEST_ID, "step_id": REQUEST_ID, "step": StepName.COPY}
    planned = {"plan": plan.model_dump(mode="json")}
    return {
        HEATMAP: msgspec.json.encode(some_beacons(PAGE, 1)[0]),
        REQUESTS: encode_model(request),
        STEPS: encode_model(Step(**ids, deadline_ms=2, input=planned)),
        STEP_RESULTS: encode_model(StepResult(**ids, status="ok", output=planned, elapsed_ms=1)),
    }


class Broker:
    """Records sent values and committed offsets. It stands for the consumer and the producer."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.committed: list[int] = []

    async def send_and_wait(self, topic: str, value: bytes, **_: object) -> None:
        self.sent.append((topic, value))

    async def commit(self, offsets: dict[TopicPartition, int]) -> None:
        self.committed += offsets.values()


async def replayed(
    monkeypatch: pytest.MonkeyPatch, topic: str, erasure: Erasure, value: bytes, recorded: datetime, requeued: bool
) -> tuple[Broker, list[str]]:
    """Replay a letter. Return the broker and the outcomes. A requeue has given the letter a new time."""
    broker, recorded_ms = Broker(), int(recorded.timestamp() * 1_000)
    headers = dead_letter_headers("wrong", topic, 0, 7, recorded_ms)
    written_ms = recorded_ms + (20 * 86_400_000 if requeued else 1_000)
    record = SimpleNamespace(partition=0, offset=3, timestamp=written_ms, key=None, value=value, headers=headers)

    @asynccontextmanager
    async def opened(_: object) -> AsyncIterator[Broker]:
        yield broker

    async def spans(*_: object) -> dict[TopicPartition, tuple[int, int]]:
        return {TopicPartition(f"{topic}.dlq", 0): (3, 4)}

    async def stretch(*_: object) -> AsyncIterator[Letter]:
        yield Letter.of(record)

    async def erasures(_: object) -> list[Erasure]:
        return [erasure]

    for name, stand_in in (("_consumer", opened), ("_producer", opened), ("_spans", spans), ("_erasures", erasures)):
        monkeypatch.setattr(DeadLetters, name, stand_in)
    monkeypatch.setattr(dead_letters, "_stretch", stretch)
    outcomes = [outcome async for _, outcome, _ in DeadLetters(Settings(), topic).replay(10, "stop")]
    return broker, outcomes


@pytest.mark.parametrize("topic", [HEATMAP, REQUESTS, STEPS, STEP_RESULTS])
@pytest.mark.parametrize(
    ("erasure", "after", "outcome"),
    [
        (Erasure(1, (PAGE,), "", ASKED), timedelta(days=-10), "erased"),
        (Erasure(1, (), "acme-", ASKED), timedelta(days=-10), "erased"),
        (Erasure(1, (PAGE,), "", ASKED), LATEST, "replayed"),
        (Erasure(1, ("acme-other",), "acm-", ASKED), timedelta(days=-10), "replayed"),
    ],
)
async def test_a_letter_of_an_erased_page_is_marked_but_not_sent(
    monkeypatch: pytest.MonkeyPatch, topic: str, erasure: Erasure, after: timedelta, outcome: str
) -> None:
    value = values()[topic]
    broker, outcomes = await replayed(monkeypatch, topic, erasure, value, ASKED + after, requeued=False)
    assert outcomes == [outcome] and broker.committed == [4]
    assert broker.sent == ([] if outcome == "erased" else [(topic, value)])


async def test_a_requeued_letter_keeps_the_time_of_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    value, erasure = values()[HEATMAP], Erasure(1, (PAGE,), "", ASKED)
    before = ASKED - timedelta(days=10)
    broker, outcomes = await replayed(monkeypatch, HEATMAP, erasure, value, before, requeued=True)
    assert (outcomes, broker.sent) == (["erased"], [])
