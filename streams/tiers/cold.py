"""From warm to cold and back for a while.

To Glacier: the object is copied there, `cold` is noted, which takes it out of the views, earlier readers are waited
for, and the warm copy is removed. Back: the cold copy stays where it is and a warm one is made of it, so that nothing
that a view reads can fall back to Glacier under it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from infra.redis.lease import Lease
from infra.tiers.archive import GLACIER, STANDARD
from infra.tiers.readers import readers_done
from schemas.tiers import NO_DAY, WARM_STEPS, Step, TierObject
from streams.tiers.stores import Clock, Report, Say, Stores

# how long S3 keeps the readable copy from which ours is made
THAW_DAYS = 2
AT_ONCE = 8


class Freezer:
    """Moves objects between S3 and Glacier."""

    def __init__(self, stores: Stores, clock: Clock, lease: Lease, report: Report, say: Say) -> None:
        self._stores = stores
        self._clock = clock
        self._lease = lease
        self._report = report
        self._say = say
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def chill(self, objects: Sequence[TierObject]) -> None:
        """Move objects to Glacier."""
        if objects:
            self._say(f"{len(objects)} objects: moving to Glacier")
        await asyncio.gather(*(self._freeze(one) for one in objects))
        await self.hide(objects, "chilled")

    async def _freeze(self, one: TierObject) -> None:
        async with self._slots:
            held = await self._stores.archive.look(one.cold_key)
            if held is None or held.bytes != one.bytes or held.storage_class != GLACIER:
                await self._stores.archive.copy(one.key, one.cold_key, GLACIER)

    async def hide(self, objects: Sequence[TierObject], what: str) -> None:
        """Take objects out of the views, then remove their warm copies; the cold ones are there."""
        hidden = []
        for one in objects:
            await self._lease.check()
            held = await self._stores.archive.look(one.cold_key)
            if held is None or held.bytes != one.bytes:
                self._report.problems.append(f"{one.name}: its copy on Glacier is not whole; it stays warm")
                continue
            cold = replace(one, revision=one.revision + 1, step=Step.COLD, until=NO_DAY)
            if await self._stores.ledger.take([cold], self._clock.now):
                hidden.append(cold)
                self._report.note(what, one.source, one.day, one.fingerprint.rows, one.bytes)
        await self.remove_warm(hidden)

    async def remove_warm(self, objects: Sequence[TierObject]) -> None:
        """Remove tables and warm copies of objects that no new reader looks at."""
        if not objects:
            return
        if not await readers_done(self._stores.clickhouse, self._stores.settings.tier_patience_s):
            self._report.waiting.append(f"{len(objects)} objects: queries from before still run; a later run goes on")
            return
        for one in objects:
            await self._stores.warm.drop(one.name)
        await self._stores.archive.delete([one.key for one in objects])

    async def restore(self, objects: Sequence[TierObject], days: int) -> None:
        """Bring cold objects back until `days` days from today; what Glacier still holds is asked for, and waits."""
        until = self._clock.today + timedelta(days=days)
        asleep = [one for one in objects if one.step is Step.COLD and not await self.thawed(one)]
        if asleep:
            self._report.waiting.append(
                f"{len(asleep)} objects: Glacier is asked for them; run the command again later"
            )
        waiting = {one.name for one in asleep}
        for one in objects:
            if one.name in waiting or one.step not in (Step.COLD, Step.RESTORED):
                continue
            if one.step is Step.COLD and not await self.bring_back(one):
                continue
            await self._lease.check()
            back = replace(one, revision=one.revision + 1, step=Step.RESTORED, until=until)
            if await self._stores.ledger.take([back], self._clock.now):
                self._report.note("restored", one.source, one.day, one.fingerprint.rows, one.bytes)

    async def thawed(self, one: TierObject) -> bool:
        """Whether the cold copy can be read; it has been asked for when not."""
        return await self._stores.archive.thaw(one.cold_key, THAW_DAYS)

    async def bring_back(self, one: TierObject) -> bool:
        """A warm copy of a cold object that can be read, and its table; False, and a problem, when it differs."""
        await self._stores.archive.copy(one.cold_key, one.key, STANDARD)
        await self._stores.warm.create(one)
        found = await self._stores.warm.fingerprint(one)
        if found != one.fingerprint:
            self._report.problems.append(f"{one.name}: came back from Glacier as {found}, not {one.fingerprint}")
            await self._stores.warm.drop(one.name)
            return False
        return True


def is_warm(one: TierObject) -> bool:
    """Whether the views read it."""
    return one.step in WARM_STEPS
