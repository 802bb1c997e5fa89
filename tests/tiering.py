"""Helpers for tests of tiers.

Tiered tables with an untiered copy, concurrent readers, and killed runs.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from multiprocessing.connection import Connection
from typing import Any

from infra.clickhouse.client import ClickHouse
from infra.redis.lease import Lease
from infra.tiers.archive import Archive
from streams.proof.twin import COPY, Twin
from streams.runtime.settings import Settings
from streams.tiers.run import Tiers
from streams.tiers.stores import Clock, Report

PAUSE_S = 0.1
LP_IDS = tuple(f"t1-{number:04d}" for number in range(6))


class World(Twin):
    """The tiered tables and their untiered copy, with assertions for tests."""

    async def run(self, number: int) -> Report:
        """Run `tier` on a day; assert that it reports no problems and leaves nothing waiting."""
        return clean(await self.tiers(number).run(wait_s=5))

    async def assert_same(self, first: int, until: int, where: str = "1") -> None:
        """Assert that readers get the rows of the untiered copy, and that there are rows."""
        expected = await self.sums(COPY, first, until, where)
        assert await self.sums("lpstream", first, until, where) == expected
        assert "0" not in {rows[0][0] for rows in expected.values()}

    @contextlib.asynccontextmanager
    async def read(self, first: int, until: int, where: str = "1") -> AsyncIterator[list[int]]:
        """Query repeatedly while the block runs and compare with the copy.

        Yield a list with the number of queries.
        """
        expected, stop, queries = await self.sums(COPY, first, until, where), asyncio.Event(), [0]

        async def ask() -> None:
            while not stop.is_set():
                assert await self.sums("lpstream", first, until, where) == expected
                queries[0] += 1
                await asyncio.sleep(PAUSE_S)

        task = asyncio.create_task(ask())
        try:
            yield queries
        finally:
            stop.set()
            await task


def clean(report: Report | None) -> Report:
    """Return the report after asserting that everything was done."""
    assert report is not None, "another run is in progress"
    assert (report.problems, report.waiting) == ([], [])
    return report


FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["streams.tiers.run"])


async def killed(world: World, number: int, call: int, delay_s: float = 0.0) -> tuple[int, str]:
    """Run `tier` in a process that kills itself `delay_s` after the start of its `call`th store call.

    Return the number of started calls and the last call; its text is empty if the run finished before the kill.
    """
    ours, theirs = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_run_and_die, args=(world.settings, world.day(number), call, delay_s, theirs))
    process.start()
    theirs.close()
    begun: list[str] = []
    while process.is_alive() or ours.poll():
        try:
            while ours.poll(0):
                begun.append(ours.recv())
        except EOFError:
            break
        await asyncio.sleep(0.01)
    await asyncio.to_thread(process.join, 120)
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return len(begun), begun[-1] if process.exitcode else ""


def _run_and_die(settings: Settings, today: date, call: int, delay_s: float, calls: Connection) -> None:
    count = 0

    def counting(owner: type, name: str) -> None:
        original = getattr(owner, name)

        async def counted(self: Any, first: Any = "", *rest: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            calls.send(" ".join(f"{owner.__name__}.{name} {first}".split()[:6]))
            if count == call:
                threading.Timer(delay_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return await original(self, *((first, *rest) if first != "" else ()), **named)

        setattr(owner, name, counted)

    for owner, names in (
        (ClickHouse, "rows command insert"),
        (Archive, "held look copy delete thaw"),
        (Lease, "check"),
    ):
        for name in names.split():
            counting(owner, name)
    asyncio.run(Tiers(settings, Clock.at(today, datetime.now(UTC))).run(wait_s=5))
    os._exit(0)  # a timer may still be pending
