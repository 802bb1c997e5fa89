"""The reader of results: records of other programs do not stop it, and its end is an error."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from infra.kafka.reading import Fetched
from schemas.errors import LpstreamError, Retryable
from streams.proof import results
from streams.proof.beside import beside, must_run
from streams.proof.orders import Answer, Orders
from streams.proof.results import read
from streams.proof.verify.counts import Answers
from streams.proof.verify.run import _Run

TP = ("lp.results", 0)
GOOD = SimpleNamespace(key=b"good", value=b"{}", timestamp=7, headers=())


class Reader:
    """A fake reader that gives the prepared answers, then nothing. "bad" is an unreadable batch."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.unreadable: dict[Any, str] = {}

    async def fetch(self, _: float) -> dict[Any, Fetched]:
        if not self.answers:
            await asyncio.sleep(3_600)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if answer == "bad":
            self.unreadable[TP] = answer
            return {}
        return {TP: Fetched(0, [answer], 1)}


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Skip unreadable batches in the fake reader; return the skipped batches."""
    passed: list[str] = []

    async def pass_over(reader: Any) -> None:
        passed.extend(reader.unreadable.values())
        reader.unreadable.clear()

    monkeypatch.setattr(results, "pass_over", pass_over)
    monkeypatch.setattr(results, "AGAIN_S", 0)
    return passed


async def taken_after(first: Any) -> list[tuple[str, bytes, int]]:
    """Return the results that the reader passes on from a first answer and the good record."""
    taken: list[tuple[str, bytes, int]] = []
    ended = asyncio.Event()

    def take(*result: Any) -> None:
        taken.append(result)
        if result[0] == "good":
            ended.set()

    async with beside(read(cast(Any, Reader(first, GOOD)), take), "reader") as reading:
        await asyncio.wait({reading, asyncio.create_task(ended.wait())}, return_when=asyncio.FIRST_COMPLETED)
    return taken


@pytest.mark.parametrize("key", [b"\xff\xfe", b"caf\xe9", b"\xed\xa0\x80", b"", None])
async def test_a_key_of_any_bytes_does_not_stop_the_reader(passed: list[str], key: bytes | None) -> None:
    (strange, *_), good = await taken_after(SimpleNamespace(key=key, value=b"?", timestamp=1))
    assert strange == (key or b"").decode(errors="replace")
    assert good == ("good", b"{}", 7)


async def test_a_tombstone_is_no_result(passed: list[str]) -> None:
    assert await taken_after(SimpleNamespace(key=b"erased", value=None, timestamp=1)) == [("good", b"{}", 7)]


async def test_an_unreadable_batch_is_passed_over(passed: list[str]) -> None:
    assert await taken_after("bad") == [("good", b"{}", 7)]
    assert passed == ["bad"]


@pytest.mark.parametrize("error", [KafkaConnectionError(), Retryable("Kafka: no leader")])
async def test_a_broker_that_is_away_is_asked_again(passed: list[str], error: Exception) -> None:
    assert await taken_after(error) == [("good", b"{}", 7)]


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError("lp.results"), ValueError("surprise")])
async def test_an_error_that_stays_ends_the_reader(passed: list[str], error: Exception) -> None:
    with pytest.raises(LpstreamError, match=f"reader ended unexpectedly: {type(error).__name__}"):
        await taken_after(error)


async def fails() -> None:
    raise ValueError("surprise")


async def returns() -> None:
    pass


async def is_cancelled() -> None:
    raise asyncio.CancelledError


async def ended(work: Callable[[], Any]) -> asyncio.Task[None]:
    """Return a task of the name "the reader" that has ended."""
    task: asyncio.Task[None] = asyncio.create_task(work(), name="the reader")
    await asyncio.wait([task])
    return task


@pytest.mark.parametrize("work", [fails, returns, is_cancelled])
async def test_no_wait_outlives_its_reader(work: Callable[[], Any]) -> None:
    reading = await ended(work)
    with pytest.raises(LpstreamError, match="the reader ended unexpectedly"):
        await Answers({}, reading).wait(["a"], 3_600)
    with pytest.raises(LpstreamError, match="the reader ended unexpectedly"):
        await Orders(cast(Any, None), {"a": Answer(1)}, reading).wait(3_600)


async def test_a_wait_ends_when_its_reader_ends_later() -> None:
    async def later() -> None:
        await asyncio.sleep(0)
        await fails()

    async def wait() -> None:
        async with beside(later(), "the reader") as reading:
            await Orders(cast(Any, None), {"a": Answer(1)}, reading).wait(3_600)

    with pytest.raises(LpstreamError, match=r"the reader ended unexpectedly: ValueError\('surprise'\)"):
        await wait()


async def test_a_verify_run_ends_with_a_task_beside_its_load() -> None:
    run = _Run.__new__(_Run)
    run.faults, run.stop, run.asked = [], asyncio.Event(), cast(Any, SimpleNamespace(seconds=3_600))
    run._tasks = [await ended(fails)]
    with pytest.raises(LpstreamError, match="the reader ended unexpectedly"):
        await run._watch_over(asyncio.get_running_loop().time())


async def test_work_beside_a_block_is_checked_at_its_end() -> None:
    with pytest.raises(LpstreamError, match="the work ended unexpectedly") as raised:
        async with beside(fails(), "the work"):
            await asyncio.sleep(0.01)
    assert isinstance(raised.value.__cause__, ValueError)


async def test_the_error_of_a_block_comes_before_that_of_its_work() -> None:
    with pytest.raises(KeyError):
        async with beside(fails(), "the work"):
            await asyncio.sleep(0.01)
            raise KeyError


async def test_endless_work_ends_with_its_block() -> None:
    async with beside(asyncio.sleep(3_600), "the work") as task:
        must_run(task)
    assert task.cancelled()
