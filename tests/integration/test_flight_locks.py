"""Locks on a real Redis: one process makes an answer, and a step enters its lock again."""

import asyncio

from infra.embedded.process import Server
from infra.redis.line import RedisLine, open_redis
from infra.redis.locks import FlightLocks


class Store:
    """A store of one answer, which counts how often the answer is made."""

    def __init__(self, make_s: float) -> None:
        self.make_s, self.made, self.answer = make_s, 0, ""

    async def look(self) -> str | None:
        return self.answer or None

    async def make(self) -> str:
        self.made += 1
        await asyncio.sleep(self.make_s)
        self.answer = "answer"
        return self.answer


async def test_one_of_many_processes_makes_the_answer(line: RedisLine) -> None:
    store = Store(0.2)
    processes = [FlightLocks(line) for _ in range(8)]
    calls = (one.once("a", store.look, store.make, hold_s=20, poll_s=0.02) for one in processes)
    assert await asyncio.gather(*calls) == ["answer"] * 8 and store.made == 1


async def test_a_process_that_waits_too_long_makes_the_answer_too(line: RedisLine) -> None:
    dead, alive, store = FlightLocks(line), FlightLocks(line), Store(0)
    assert await dead.take("a", "dead", 60)
    assert await alive.once("a", store.look, store.make, hold_s=0.2, poll_s=0.02) == "answer"
    assert not await alive.take("a", "alive", 60), "the lock of another owner is not released"


async def test_a_redelivered_step_enters_its_lock_again(line: RedisLine) -> None:
    before, after = FlightLocks(line), FlightLocks(line)
    assert await before.take("a", "step", 60) and await after.take("a", "step", 60)
    assert not await after.take("a", "other", 60)
    await after.release("a", "step")
    assert await after.take("a", "other", 60)


async def test_without_redis_each_process_makes_the_answer(valkey: tuple[Server, str]) -> None:
    server, url = valkey
    redis, store = open_redis(url), Store(0)
    locks = FlightLocks(RedisLine(redis))
    server.kill()
    try:
        assert await locks.once("a", store.look, store.make, hold_s=20, poll_s=0.02) == "answer"
        store.answer = ""
        assert await locks.once("a", store.look, store.make, hold_s=20, poll_s=0.02) == "answer"
        assert store.made == 2
    finally:
        await asyncio.to_thread(server.restart)
        await redis.aclose()
