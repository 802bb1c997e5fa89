"""The moves between S3 (warm) and Glacier (cold).

To Glacier: copy the object, record `cold`, which removes it from the views, wait for earlier readers, and remove the
warm copy. Back: keep the cold copy and create a warm copy from it, so that no object that a view reads can return to
Glacier.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, timedelta

from infra.redis.lease import Lease
from infra.tiers.archive import GLACIER, STANDARD
from processors.heatmap.tiers import needs_step
from schemas.tiers import NO_DAY, WARM_STEPS, Step, TierObject
from streams.tiers.stores import WAITING, Clock, Report, Say, Stores

# Days that S3 keeps the readable copy of an object from Glacier, from which the warm copy is created.
THAW_DAYS = 2
AT_ONCE = 8


class Freezer:
    """The mover of objects between S3 and Glacier."""

    def __init__(self, stores: Stores, clock: Clock, lease: Lease, report: Report, say: Say) -> None:
        self._stores = stores
        self._clock = clock
        self._lease = lease
        self._report = report
        self._say = say
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def chill(self, objects: Sequence[TierObject]) -> None:
        """Copy objects to Glacier, then remove their warm copies."""
        if objects:
            self._say(f"{len(objects)} objects: moving to Glacier")
        await asyncio.gather(*(self._freeze(entry) for entry in objects))
        await self.hide(objects, "chilled")

    async def _freeze(self, entry: TierObject) -> None:
        async with self._slots:
            with self._report.attempt(entry.name):
                held = await self._stores.archive.look(entry.cold_key)
                if held is None or held.bytes != entry.bytes or held.storage_class != GLACIER:
                    await self._stores.archive.copy(entry.key, entry.cold_key, GLACIER)

    async def hide(self, objects: Sequence[TierObject], what: str) -> None:
        """Remove objects from the views, then their warm copies. Each must have a copy on Glacier."""
        hidden = []
        for entry in objects:
            await self._lease.check()
            held = await self._stores.archive.look(entry.cold_key)
            if held is None or held.bytes != entry.bytes:
                self._report.problems.append(
                    f"{entry.name}: its copy on Glacier is missing or incomplete; it stays warm"
                )
                continue
            cold = replace(entry, revision=entry.revision + 1, step=Step.COLD, until=NO_DAY)
            if await self._stores.ledger.take([cold], self._clock.now):
                hidden.append(cold)
                self._report.note(what, entry.source, entry.day, entry.fingerprint.rows, entry.bytes)
        await self.remove_warm(hidden)

    async def remove_warm(self, objects: Sequence[TierObject]) -> None:
        """Remove tables and warm copies of objects that are no longer in the views, after their readers."""
        if not objects:
            return
        if not await self._stores.readers_done():
            self._report.waiting.append(f"{len(objects)} objects: {WAITING}; a later run continues")
            return
        for entry in objects:
            await self._stores.warm.drop(entry.name)
        with self._report.attempt(f"{len(objects)} warm copies"):
            await self._stores.archive.delete([entry.key for entry in objects])

    async def restore(self, objects: Sequence[TierObject], days: int) -> None:
        """Make objects readable until `days` days from today, or longer if an earlier call asked for it.

        Request objects from Glacier that are not readable yet; a later call restores them.
        """
        until = self._clock.today + timedelta(days=days)
        ready, frozen = list[TierObject](), 0
        for entry in objects:
            with self._report.attempt(entry.name):
                if entry.step is Step.COLD and not await self.thawed(entry):
                    frozen += 1
                elif needs_step(entry, self._stores.rule, until):
                    ready.append(entry)
        if frozen:
            self._report.waiting.append(f"{frozen} objects: requested from Glacier; run the command again later")
        for entry in ready:
            with self._report.attempt(entry.name):
                await self._make_readable(entry, until)

    async def _make_readable(self, entry: TierObject, until: date) -> None:
        step = entry.step
        if step is Step.COLD:
            if not await self.bring_back(entry):
                return
            step = Step.RESTORED
        await self._lease.check()
        back = replace(entry, revision=entry.revision + 1, step=step, until=max(entry.until, until))
        if await self._stores.ledger.take([back], self._clock.now):
            what = "restored" if step is Step.RESTORED else "extended"
            self._report.note(what, entry.source, entry.day, entry.fingerprint.rows, entry.bytes)

    async def thawed(self, entry: TierObject) -> bool:
        """Return whether the cold copy can be read. If not, request it from Glacier.

        Raise Refused if it is missing.
        """
        return await self._stores.archive.thaw(entry.cold_key, THAW_DAYS)

    async def bring_back(self, entry: TierObject) -> bool:
        """Create the warm copy and the table of a cold object that can be read.

        Return False and report a problem if the copy differs from the object.
        """
        await self._stores.archive.copy(entry.cold_key, entry.key, STANDARD)
        await self._stores.warm.create(entry)
        fingerprint = await self._stores.warm.fingerprint(entry)
        if fingerprint != entry.fingerprint:
            self._report.problems.append(
                f"{entry.name}: its copy from Glacier has {fingerprint} instead of {entry.fingerprint}; it stays cold"
            )
            await self._stores.warm.drop(entry.name)
            return False
        return True


def is_warm(entry: TierObject) -> bool:
    """Return whether the views read the object."""
    return entry.step in WARM_STEPS
