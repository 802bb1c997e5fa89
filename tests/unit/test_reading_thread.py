"""A worker's consumer thread at an unreadable batch: log, metric, retries and skips."""

import logging
from typing import Any

import pytest
from aiokafka import TopicPartition

from infra.kafka.reading import Unreadable
from schemas.errors import Retryable
from streams.runtime import metrics
from streams.transports.reading import ReadingThread

TP = TopicPartition("heatmap.events", 3)
STOP = Unreadable(70, "CorruptRecordException: Invalid CRC")


class Reader:
    """A fake reader that is stopped at one batch and records skips and retries."""

    consumer = None

    def __init__(self) -> None:
        self.unreadable = {TP: STOP}
        self.done: list[Any] = []

    def skip(self, tp: TopicPartition, to: int) -> None:
        self.done.append(("skip", to))

    def retry(self, tp: TopicPartition) -> None:
        self.done.append("retry")

    def forget(self) -> None:
        self.unreadable.clear()


class Letters:
    """Fake dead letters with a fixed answer."""

    def __init__(self) -> None:
        self.answer: int | Exception | None = None

    async def past(self, tp: TopicPartition, offset: int) -> int | None:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Any:
    async def bounds(_consumer: None, _tp: TopicPartition, offset: int) -> tuple[int, int]:
        return offset, 74

    monkeypatch.setattr("infra.kafka.skips.batch_at", bounds)
    made: Any = ReadingThread.__new__(ReadingThread)
    made.reader, made.stopped, made._letters = Reader(), {}, Letters()
    yield made
    made._forget()


def gauge() -> dict[tuple[str, ...], float]:
    return {labels: one._value.get() for labels, one in metrics.UNREADABLE._metrics.items()}


async def test_a_stop_is_logged_once_with_the_command(thread: Any, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(3):
        await thread._look(TP, STOP)
    (line,) = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
    assert line.startswith("heatmap.events[3] offset 70 cannot be read: CorruptRecordException: Invalid CRC;")
    assert line.endswith("lpstream dlq skip heatmap.events 3 70")
    assert gauge() == {("heatmap.events", "3"): 1.0}
    assert thread.reader.done == ["retry", "retry"], "another replica may have an intact batch"


async def test_a_batch_with_a_dead_letter_is_skipped_without_an_alarm(
    thread: Any, caplog: pytest.LogCaptureFixture
) -> None:
    thread._letters.answer = 74
    await thread._look(TP, STOP)
    assert thread.reader.done == [("skip", 74)]
    assert gauge() == {} and not [one for one in caplog.records if one.levelno == logging.ERROR]


@pytest.mark.parametrize(("letter", "to"), [(72, 72), (1_000_000, 74)])
async def test_a_letter_skips_no_more_than_the_batch(thread: Any, letter: int, to: int) -> None:
    thread._letters.answer = letter
    await thread._look(TP, STOP)
    assert thread.reader.done == [("skip", to)], "the letter may be of a topic that was created again"


async def test_a_stop_is_logged_when_dead_letters_are_unavailable(
    thread: Any, caplog: pytest.LogCaptureFixture
) -> None:
    thread._letters.answer = Retryable("Kafka: away")
    await thread._look(TP, STOP)
    assert "cannot be read" in caplog.text and gauge() == {("heatmap.events", "3"): 1.0}


async def test_a_revoked_partition_leaves_no_gauge(thread: Any) -> None:
    await thread._look(TP, STOP)
    thread._forget()
    assert gauge() == {} and thread.stopped == {}


async def test_a_stop_that_ended_meanwhile_is_ignored(thread: Any) -> None:
    thread.reader.unreadable.clear()
    thread._letters.answer = 74
    await thread._look(TP, STOP)
    assert thread.reader.done == [] and gauge() == {}
