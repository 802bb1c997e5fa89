"""A run through the tiers, under a lease that allows one run at a time."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from infra.redis.lease import Lease, lease
from processors.heatmap.tiers import expired, to_chill, to_erase, utc_days
from schemas.errors import LpstreamError
from schemas.tiers import ON_THE_WAY, WARM_STEPS, Erasure, Step, TierObject
from streams.runtime.settings import Settings
from streams.tiers.cold import Freezer
from streams.tiers.erase import Eraser
from streams.tiers.moves import Mover, due, why_not_yet
from streams.tiers.stores import Clock, Report, Say, Stores
from streams.tiers.sweep import sweep

LEASE, LEASE_S = "lpstream:tier", 30.0
AGAIN_S = 0.5


def silent(_: str) -> None:
    """Ignore a progress message."""


class Tiers:
    """The operations of `tier`, `restore` and the schedule. Each method opens and closes the stores."""

    def __init__(self, settings: Settings, clock: Clock, say: Say = silent) -> None:
        self._settings = settings
        self._clock = clock
        self._say = say
        self._report = Report()

    async def run(self, *, wait_s: float = 0.0) -> Report | None:
        """Move every day to its tier. Return None if another run holds the lease longer than `wait_s`."""

        async def work(run: "_Run") -> None:
            await run.all()

        return await self._under_lease(work, wait_s)

    async def restore(self, first: date, last: date, days: int, *, wait_s: float = 0.0) -> Report | None:
        """Restore the UTC days that overlap the days `first` to `last` of LPSTREAM_TIMEZONE, both included.

        They stay until `days` days from today.
        """
        start, end = utc_days(first, last, ZoneInfo(self._settings.timezone))

        async def work(run: "_Run") -> None:
            await run.restore(start, end, days)

        return await self._under_lease(work, wait_s)

    async def erase(self, lp_ids: Sequence[str], prefix: str, *, wait_s: float = 0.0) -> Report | None:
        """Erase pages in every tier, by id or by the prefix of their ids."""

        async def work(run: "_Run") -> None:
            number = 1 + max((erasure.number for erasure in await run.stores.ledger.erasures()), default=0)
            asked_at = self._clock.now.replace(microsecond=0)
            await run.stores.ledger.ask(Erasure(number, tuple(lp_ids), prefix, asked_at))
            await run.all()

        return await self._under_lease(work, wait_s)

    async def plan(self) -> dict[str, Any]:
        """Return the work that `run` would do now."""
        async with _open(self._settings) as stores:
            objects = await stores.ledger.objects()
            moves = await due(stores, self._clock.today, objects)
            return {
                "move": [{"table": move.source, "day": move.day.isoformat()} for move in moves],
                "chill": _named(to_chill(objects, stores.rule, self._clock.today)),
                "expire": _named(expired(objects, self._clock.today)),
                "erase": _named([entry for entry, _ in to_erase(objects, await stores.ledger.erasures())]),
                "finish": _named([entry for entry in objects if entry.step in ON_THE_WAY]),
                "waiting": [reason] if moves and (reason := await why_not_yet(stores, self._clock)) else [],
            }

    async def _under_lease(self, work: Callable[["_Run"], Any], wait_s: float) -> Report | None:
        started = time.monotonic()
        async with _open(self._settings) as stores:
            while True:
                async with lease(stores.redis, LEASE, stores.owner, LEASE_S) as held:
                    if held is not None:
                        await stores.catch_up()
                        await work(_Run(stores, self._clock, held, self._report, self._say))
                        self._report.seconds = round(time.monotonic() - started, 2)
                        return self._report
                if time.monotonic() - started >= wait_s:
                    return None
                await asyncio.sleep(AGAIN_S)


class _Run:
    """The parts of a run, in order."""

    def __init__(self, stores: Stores, clock: Clock, held: Lease, report: Report, say: Say) -> None:
        self.stores = stores
        self._clock = clock
        self._report = report
        self._mover = Mover(stores, clock, held, report, say)
        self._freezer = Freezer(stores, clock, held, report, say)
        self._eraser = Eraser(stores, clock, held, report, say, self._mover, self._freezer)

    async def objects(self) -> list[TierObject]:
        """Return the objects in their present state."""
        return await self.stores.ledger.objects()

    async def restore(self, start: date, end: date, days: int) -> None:
        """Restore the UTC days `start` to `end`, without objects that still hold erased pages."""
        objects = [entry for entry in await self.objects() if start <= entry.day <= end]
        concerned = to_erase(objects, await self.stores.ledger.erasures())
        erased = {entry.name for entry, _ in concerned if entry.step is Step.COLD}
        if erased:
            self._report.waiting.append(
                f"{len(erased)} objects: still hold erased pages; run `lpstream tier`, then this command again"
            )
        await self._freezer.restore([entry for entry in objects if entry.name not in erased], days)

    async def all(self) -> None:
        """Sweep leftovers, finish published objects, erase, move, chill, and expire restored days."""
        today, rule, report = self._clock.today, self.stores.rule, self._report
        with report.part("look"):
            await sweep(self.stores, self._clock, await self.objects(), report)
            await self._mover.finish([entry for entry in await self.objects() if entry.step in ON_THE_WAY])
        with report.part("erase"):
            erasures = await self._erase()
        with report.part("move"):
            await self._move(erasures)
        with report.part("chill"):
            await self._freezer.chill(to_chill(await self.objects(), rule, today))
            await self._freezer.hide(expired(await self.objects(), today), "expired")

    async def _move(self, erasures: Sequence[Erasure]) -> None:
        due_moves = await self._mover.plan(await self.objects())
        if due_moves:
            # Erase rows that came since the first erasure of this run. No more rows come into these partitions.
            await self._eraser.erase_hot(erasures)
        await self._mover.move(due_moves, erasures[-1].number if erasures else 0)

    async def _erase(self) -> list[Erasure]:
        erasures = await self.stores.ledger.erasures()
        await self._eraser.erase_hot(erasures)
        await self._eraser.erase_objects(to_erase(await self.objects(), erasures))
        return erasures


@contextlib.asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[Stores]:
    stores = Stores(settings)
    try:
        yield stores
    finally:
        await stores.close()


@contextlib.asynccontextmanager
async def no_moves(settings: Settings, wait_s: float) -> AsyncIterator[Lease]:
    """Hold the lease, so that no run moves days between the tiers. Yield it.

    Raise LpstreamError if a run does not end within `wait_s` seconds.
    """
    async with _open(settings) as stores:
        deadline = time.monotonic() + wait_s
        while True:
            async with lease(stores.redis, LEASE, stores.owner, LEASE_S) as held:
                if held is not None:
                    yield held
                    return
            if time.monotonic() > deadline:
                raise LpstreamError(f"another run of `tier` has lasted over {wait_s:g} s; try again when it has ended")
            await asyncio.sleep(AGAIN_S)


def _named(objects: Sequence[TierObject]) -> list[dict[str, Any]]:
    return [{"table": entry.source, "day": entry.day.isoformat(), "object": entry.name} for entry in objects]


async def status(settings: Settings) -> list[dict[str, Any]]:
    """Return for each tier the number of days, the first and last day, rows and bytes."""
    async with _open(settings) as stores:
        hot, objects = await stores.hot.partitions(), await stores.ledger.objects()
    held = {"hot": [(part.day, part.rows, part.bytes) for part in hot]}
    held |= {
        tier: [(entry.day, entry.fingerprint.rows, entry.bytes) for entry in mine] for tier, mine in by_tier(objects)
    }
    return [
        {
            "tier": tier,
            "days": len({day for day, *_ in rows}),
            "first": min((day.isoformat() for day, *_ in rows), default=None),
            "last": max((day.isoformat() for day, *_ in rows), default=None),
            "rows": sum(count for _, count, _ in rows),
            "bytes": sum(size for *_, size in rows),
        }
        for tier, rows in held.items()
    ]


def by_tier(objects: Sequence[TierObject]) -> list[tuple[str, list[TierObject]]]:
    """Return the objects of the warm tier and of the cold tier."""
    tiers = {"warm": WARM_STEPS, "cold": (Step.COLD,)}
    return [(tier, [entry for entry in objects if entry.step in steps]) for tier, steps in tiers.items()]
