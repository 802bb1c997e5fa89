"""The erasure of pages and tenants from every tier.

An erasure is recorded first. Every run continues the recorded erasures: it deletes rows of the hot tables, and it
replaces each object that has such pages by an object without them, in one step. A cold object is restored for that.
The next run erases data from before the time of the erasure that comes later, by late events or by a rebuild.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from infra.redis.lease import Lease
from infra.tiers.archive import GLACIER
from schemas.errors import Refused
from schemas.tiers import ON_THE_WAY, Erasure, Step, TierObject, object_name
from streams.tiers.cold import Freezer, is_warm
from streams.tiers.moves import IDENT_LENGTH, NOTHING, Mover
from streams.tiers.stores import Clock, Report, Say, Stores

# Rows from before an erasure cannot come later than this: the log and the hot tables do not reach back further.
MOST_DAYS_LATE = 40


class Eraser:
    """The executor of recorded erasures."""

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
        """Delete the erased pages' rows from the hot tables."""
        recent = self._clock.now - timedelta(days=MOST_DAYS_LATE)
        for erasure in erasures:
            if erasure.asked_at >= recent and (rows := await self._stores.hot.erase(erasure)):
                self._report.note("erased", "hot tables", erasure.asked_at.date(), rows, 0)

    async def erase_objects(self, pairs: Sequence[tuple[TierObject, list[Erasure]]]) -> None:
        """Replace each object by an object without the pages of its erasures."""
        if pairs:
            self._say(f"{len(pairs)} objects: erasing")
        replaced = []
        for entry, concerned in pairs:
            if entry.step in ON_THE_WAY:
                self._report.waiting.append(f"{entry.name}: a move is not finished; a later run erases the pages")
                continue
            with self._report.attempt(entry.name):
                if await self._is_readable(entry) and await self._replace(entry, concerned):
                    replaced.append(entry)
        await self._freezer.remove_warm(replaced)
        with self._report.attempt(f"{len(replaced)} cold copies with erased pages"):
            await self._stores.archive.delete([entry.cold_key for entry in replaced])

    async def _is_readable(self, entry: TierObject) -> bool:
        """Restore a cold object, and return whether the object has its recorded rows on S3.

        If not, report why. Fewer rows are not a proof of an earlier erasure: the object's table may be missing.
        """
        if entry.step is Step.COLD:
            if await self._freezer.thawed(entry):
                return await self._freezer.bring_back(entry)
            self._report.waiting.append(f"{entry.name}: requested from Glacier; a later run erases the pages")
            return False
        if await self._stores.archive.look(entry.key) is None:
            raise Refused(f"its object on S3 is missing ({entry.key}); no page was erased from it")
        found = await self._stores.warm.fingerprint(entry)
        if found != entry.fingerprint:
            raise Refused(f"has {found} on S3 instead of {entry.fingerprint}; no page was erased from it")
        return True

    async def _replace(self, old: TierObject, concerned: list[Erasure]) -> bool:
        """Replace an object by another, or remove it if no row is left. Return whether this was done."""
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
        erased = max(erasure.number for erasure in concerned)
        new = replace(old, name=name, revision=1, fingerprint=NOTHING, bytes=0, erased=erased)
        await self._stores.ledger.begin(new, self._clock.now)
        await self._stores.warm.create(new)
        await self._stores.warm.copy_without(old, new, concerned)
        return new
