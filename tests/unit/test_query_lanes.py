"""Query lanes: bounded queues with a timeout, each with its own threads."""

import asyncio
import threading

import pytest
from patience import PATIENCE_S

from infra.embedded.clickhouse_server.errors import ServerError
from infra.embedded.clickhouse_server.lanes import Lane


def set_event(event: threading.Event) -> bool:
    event.set()
    return True


async def test_a_full_lane_refuses_while_another_lane_continues() -> None:
    gate = threading.Event()
    slow, other = Lane[bool]("analyst", 1, 2, 30), Lane[bool]("lpstream", 1, 2, 30)
    held = [asyncio.create_task(slow.run(gate.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ServerError, match="Too many simultaneous queries for analyst: Maximum: 2") as caught:
        await slow.run(gate.wait)
    assert caught.value.code == 202
    assert await other.run(lambda: True)
    gate.set()
    assert await asyncio.gather(*held) == [True, True]
    assert await slow.run(lambda: True)
    slow.close()
    other.close()


async def test_cancelling_a_caller_does_not_free_its_place_early() -> None:
    gate, begun = threading.Event(), threading.Event()
    lane = Lane[bool]("analyst", 1, 1, 30)
    task = asyncio.create_task(lane.run(lambda: set_event(begun) and gate.wait()))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ServerError):
        await lane.run(lambda: True)
    gate.set()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                assert await lane.run(lambda: True)
                break
            except ServerError:
                await asyncio.sleep(0.01)
    lane.close()


async def test_work_that_waited_too_long_is_not_started() -> None:
    gate, ran = threading.Event(), threading.Event()
    lane = Lane[bool]("analyst", 1, 2, 0.05)
    first = asyncio.create_task(lane.run(gate.wait))
    second = asyncio.create_task(lane.run(lambda: set_event(ran)))
    await asyncio.sleep(0.1)
    gate.set()
    with pytest.raises(ServerError, match="waited 0 s for its turn"):
        await second
    assert await first
    assert not ran.is_set()
    lane.close()


async def test_cancelled_work_in_the_queue_is_not_started() -> None:
    gate, ran = threading.Event(), threading.Event()
    lane = Lane[bool]("analyst", 1, 2, 30)
    first = asyncio.create_task(lane.run(gate.wait))
    second = asyncio.create_task(lane.run(lambda: set_event(ran)))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    gate.set()
    assert await first
    lane.close()
    assert not ran.is_set()
