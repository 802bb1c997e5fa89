"""Single flight: one run for concurrent calls, which no caller can stop and no later call reuses."""

import asyncio
import contextlib

import pytest

from infra.single_flight import SingleFlight
from schemas.errors import Retryable


class Runs:
    """Work that counts its runs and ends when a test lets it."""

    def __init__(self) -> None:
        self.count = 0
        self.go = asyncio.Event()
        self.fails = False

    async def __call__(self) -> int:
        self.count += 1
        run = self.count
        await self.go.wait()
        if self.fails:
            raise Retryable("away")
        return run


async def test_concurrent_calls_share_one_run_and_its_answer() -> None:
    flights, work = SingleFlight[int](), Runs()
    calls = [asyncio.create_task(flights.run("a", work)) for _ in range(20)]
    await asyncio.sleep(0)
    assert "a" in flights and "b" not in flights
    work.go.set()
    assert await asyncio.gather(*calls) == [1] * 20
    assert "a" not in flights and work.count == 1


async def test_each_key_has_its_own_run() -> None:
    flights, work = SingleFlight[int](), Runs()
    work.go.set()
    assert await asyncio.gather(*(flights.run(key, work) for key in "abc")) == [1, 2, 3]


async def test_a_call_after_the_end_runs_again() -> None:
    flights, work = SingleFlight[int](), Runs()
    work.go.set()
    assert [await flights.run("a", work) for _ in range(2)] == [1, 2]


async def test_an_exception_is_shared_and_not_remembered() -> None:
    flights, work = SingleFlight[int](), Runs()
    work.fails = True
    work.go.set()
    outcomes = await asyncio.gather(*(flights.run("a", work) for _ in range(3)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["away"] * 3 and work.count == 1
    work.fails = False
    assert await flights.run("a", work) == 2


async def test_cancelled_callers_stop_neither_the_run_nor_others() -> None:
    flights, work = SingleFlight[int](), Runs()
    first, second = (asyncio.create_task(flights.run("a", work)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.go.set()
    assert await second == 1
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await flights.run("b", work)
    await flights.settle()
    assert work.count == 2 and "b" not in flights


async def test_settling_waits_for_open_runs_whatever_their_outcome() -> None:
    flights, work = SingleFlight[int](), Runs()
    work.fails = True
    task = flights.task("a", work)
    assert flights.task("a", work) is task
    settling = asyncio.create_task(flights.settle())
    await asyncio.sleep(0.01)
    assert not settling.done()
    work.go.set()
    await settling
    assert task.done() and "a" not in flights
