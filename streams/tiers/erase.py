"""Pages and tenants out of every tier.

An erasure is noted first, and every run brings what is noted further: rows of the hot tables are deleted, an object
that holds such pages is written anew without them and takes its place at one moment. A cold one is brought back for
that. What comes in later of before the time of the erasure, late or by a rebuild, is erased by the next run.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from infra.redis.lease import Lease
from infra.tiers.archive import GLACIER
from schemas.tiers import ON_THE_WAY, Erasure, Step, TierObject, object_name
from streams.tiers.cold import Freezer, is_warm
from streams.tiers.moves import IDENT_LENGTH, NOTHING, Mover
from streams.tiers.stores import Clock, Report, Say, Stores

# rows of before an erasure come no later than the log and the hot tables reach back
MOST_DAYS_LATE = 40


class Eraser:
    """Brings erasures further."""

    def __init__(
        self, stores: Stores, clock: Clock, lease: Lease, report: Report, say: Say, mover: Mover, freezer: Freezer
    ) -> None:
        self._stores = stores
        self._clock = clock
        self._lease = lease
        self._report = report
        self._say = say
        self._mover = mover
        self._freezer = freezer

    async def erase_hot(self, erasures: Sequence[Erasure]) -> None:
        """Delete rows of the hot tables."""
        recent = self._clock.now - timedelta(days=MOST_DAYS_LATE)
        for one in erasures:
            if one.asked_at >= recent and (rows := await self._stores.hot.erase(one)):
                self._report.note("erased", "hot tables", one.asked_at.date(), rows, 0)

    async def erase_objects(self, wanted: Sequence[tuple[TierObject, list[Erasure]]]) -> None:
        """Write objects anew without what was to be erased."""
        if wanted:
            self._say(f"{len(wanted)} objects: erasing")
        replaced = []
        for one, concerned in wanted:
            if one.step in ON_THE_WAY:
                self._report.waiting.append(f"{one.name}: is on its way; a later run erases in it")
                continue
            if one.step is Step.COLD:
                if not await self._freezer.thawed(one):
                    self._report.waiting.append(f"{one.name}: Glacier is asked for it; a later run erases in it")
                    continue
                if not await self._freezer.bring_back(one):
                    continue
            if await self._replace(one, concerned):
                replaced.append(one)
        await self._freezer.remove_warm(replaced)
        await self._stores.archive.delete([one.cold_key for one in replaced])

    async def _replace(self, old: TierObject, concerned: list[Erasure]) -> bool:
        """One object by another, or by nothing when no row is left; whether it was done."""
        stores = self._stores
        gone = replace(old, revision=old.revision + 1, step=Step.GONE)
        steps = [gone]
        left = await stores.warm.fingerprint(old, without=concerned)
        if left.rows:
            new = await self._rewritten(old, concerned)
            checked = await self._mover.verified(new, left)
            if checked is None:
                return False
            new = replace(checked, lp_ids=await stores.warm.lp_ids(checked))
            if old.step in (Step.COLD, Step.RESTORED):
                await stores.archive.copy(new.key, new.cold_key, GLACIER)
            steps.append(new)
        await self._lease.check()
        if not await stores.ledger.take(steps, self._clock.now):
            return False
        if len(steps) > 1 and not is_warm(steps[1]):
            await self._freezer.remove_warm(steps[1:])
        self._report.note("erased", old.source, old.day, old.fingerprint.rows - left.rows, old.bytes)
        return True

    async def _rewritten(self, old: TierObject, concerned: list[Erasure]) -> TierObject:
        name = object_name(old.source, old.day, uuid4().hex[:IDENT_LENGTH])
        erased = max(one.number for one in concerned)
        new = replace(old, name=name, revision=1, fingerprint=NOTHING, bytes=0, erased=erased)
        await self._stores.warm.create(new)
        await self._stores.warm.copy_without(old, new, concerned)
        return new
