"""A run through the tiers, under a lease: one at a time, whoever starts it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import date
from typing import Any

from infra.redis.lease import Lease, lease
from processors.heatmap.tiers import expired, to_chill, to_erase
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
    """Say nothing."""


class Tiers:
    """What `tier`, `restore` and the schedule do. Every method opens the stores and closes them."""

    def __init__(self, settings: Settings, clock: Clock, say: Say = silent) -> None:
        self._settings = settings
        self._clock = clock
        self._say = say
        self._report = Report()

    async def run(self, *, wait_s: float = 0.0) -> Report | None:
        """Bring every day where it belongs; None when someone else is at it for longer than `wait_s`."""

        async def work(run: "_Run") -> None:
            await run.all()

        return await self._under_lease(work, wait_s)

    async def restore(self, first: date, last: date, days: int, *, wait_s: float = 0.0) -> Report | None:
        """Bring the cold days from `first` to `last` (both included) back until `days` days from today."""

        async def work(run: "_Run") -> None:
            found = [one for one in await run.objects() if first <= one.day <= last]
            await run.freezer.restore(found, days)

        return await self._under_lease(work, wait_s)

    async def erase(self, lp_ids: Sequence[str], prefix: str, *, wait_s: float = 0.0) -> Report | None:
        """Erase pages, by id or by the beginning of their ids, in every tier."""

        async def work(run: "_Run") -> None:
            number = 1 + max((one.number for one in await run.stores.ledger.erasures()), default=0)
            asked_at = self._clock.now.replace(microsecond=0)
            await run.stores.ledger.ask(Erasure(number, tuple(lp_ids), prefix, asked_at))
            await run.all()

        return await self._under_lease(work, wait_s)

    async def plan(self) -> dict[str, Any]:
        """What `run` would do now."""
        async with _open(self._settings) as stores:
            objects = await stores.ledger.objects()
            moves = await due(stores, self._clock.today, objects)
            return {
                "move": [{"table": one.source, "day": one.day.isoformat()} for one in moves],
                "chill": _named(to_chill(objects, stores.rule, self._clock.today)),
                "expire": _named(expired(objects, self._clock.today)),
                "erase": _named([one for one, _ in to_erase(objects, await stores.ledger.erasures())]),
                "finish": _named([one for one in objects if one.step in ON_THE_WAY]),
                "waiting": [reason] if moves and (reason := await why_not_yet(stores, self._clock)) else [],
            }

    async def _under_lease(self, work: Callable[["_Run"], Any], wait_s: float) -> Report | None:
        started = time.monotonic()
        async with _open(self._settings) as stores:
            while True:
                async with lease(stores.redis, LEASE, stores.owner, LEASE_S) as held:
                    if held is not None:
                        await work(_Run(stores, self._clock, held, self._report, self._say))
                        self._report.seconds = round(time.monotonic() - started, 2)
                        return self._report
                if time.monotonic() - started >= wait_s:
                    return None
                await asyncio.sleep(AGAIN_S)


class _Run:
    """One run: its parts in order."""

    def __init__(self, stores: Stores, clock: Clock, held: Lease, report: Report, say: Say) -> None:
        self.stores = stores
        self._clock = clock
        self._report = report
        self.mover = Mover(stores, clock, held, report, say)
        self.freezer = Freezer(stores, clock, held, report, say)
        self._eraser = Eraser(stores, clock, held, report, say, self.mover, self.freezer)

    async def objects(self) -> list[TierObject]:
        """As they are now."""
        return await self.stores.ledger.objects()

    async def all(self) -> None:
        """What was left over, what was published, erasures, moves, Glacier, restored days whose time is over."""
        today, rule, report = self._clock.today, self.stores.rule, self._report
        with report.part("look"):
            await sweep(self.stores, self._clock, await self.objects(), report)
            await self.mover.finish([one for one in await self.objects() if one.step in ON_THE_WAY])
        with report.part("erase"):
            erasures = await self._erase()
        with report.part("move"):
            await self._move(erasures)
        with report.part("chill"):
            await self.freezer.chill(to_chill(await self.objects(), rule, today))
            await self.freezer.hide(expired(await self.objects(), today), "expired")

    async def _move(self, erasures: Sequence[Erasure]) -> None:
        wanted = await self.mover.plan(await self.objects())
        if wanted:
            # rows that came since, of what was to be erased: none come into these partitions any more
            await self._eraser.erase_hot(erasures)
        await self.mover.move(wanted, erasures[-1].number if erasures else 0)

    async def _erase(self) -> list[Erasure]:
        erasures = await self.stores.ledger.erasures()
        objects = await self.objects()
        if erasures and any(one.step in ON_THE_WAY for one in objects):
            # what the partitions of a move hold must not change before they are held against the object
            self._report.waiting.append("erasures: a move is on its way; a later run goes on")
            return erasures
        await self._eraser.erase_hot(erasures)
        await self._eraser.erase_objects(to_erase(objects, erasures))
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
    """Nothing moves between the tiers while inside and the lease is held; LpstreamError when a run does not end."""
    async with _open(settings) as stores:
        deadline = time.monotonic() + wait_s
        while True:
            async with lease(stores.redis, LEASE, stores.owner, LEASE_S) as held:
                if held is not None:
                    yield held
                    return
            if time.monotonic() > deadline:
                raise LpstreamError(f"a run of `tier` goes on for over {wait_s:g} s; try again when it has ended")
            await asyncio.sleep(AGAIN_S)


def _named(objects: Sequence[TierObject]) -> list[dict[str, Any]]:
    return [{"table": one.source, "day": one.day.isoformat(), "object": one.name} for one in objects]


async def status(settings: Settings) -> list[dict[str, Any]]:
    """What each tier holds: days, the first and the last of them, rows, bytes."""
    async with _open(settings) as stores:
        hot, objects = await stores.hot.partitions(), await stores.ledger.objects()
    held = {"hot": [(one.day, one.rows, one.bytes) for one in hot]}
    held |= {tier: [(one.day, one.fingerprint.rows, one.bytes) for one in mine] for tier, mine in by_tier(objects)}
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
    """Objects of the warm and of the cold tier."""
    tiers = {"warm": WARM_STEPS, "cold": (Step.COLD,)}
    return [(tier, [one for one in objects if one.step in steps]) for tier, steps in tiers.items()]
