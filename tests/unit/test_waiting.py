"""A time limit counts the time of the work, not a stall of our own event loop."""

import asyncio
import os
import time

import pytest

from infra.waiting import within


async def answer_of(pipe: int) -> bytes:
    """Read a byte that another process could have written during a stall."""
    loop, arrived = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pipe, arrived.set)
    try:
        await arrived.wait()
        await asyncio.sleep(0)  # a client takes some turns of the loop until its caller goes on
        return os.read(pipe, 1)
    finally:
        loop.remove_reader(pipe)


async def test_an_answer_that_came_during_a_stall_counts() -> None:
    reading, writing = os.pipe()
    asking = asyncio.create_task(within(0.1, answer_of(reading)))
    await asyncio.sleep(0)
    os.write(writing, b"x")
    time.sleep(0.5)  # noqa: ASYNC251 - the stall
    assert await asking == b"x"


async def test_work_that_never_ends_is_cancelled_at_its_limit() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await within(0.2, asyncio.sleep(600))
    assert time.monotonic() - started >= 0.2


async def test_a_loop_that_always_stalls_does_not_extend_the_limit_for_ever() -> None:
    async def stall() -> None:
        while True:
            time.sleep(0.06)  # noqa: ASYNC251 - the stalls
            await asyncio.sleep(0)

    stalling = asyncio.create_task(stall())
    with pytest.raises(TimeoutError):
        await within(0.1, asyncio.sleep(600))
    stalling.cancel()


async def test_an_error_of_the_work_is_raised() -> None:
    async def fail() -> None:
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"):
        await within(1, fail())
