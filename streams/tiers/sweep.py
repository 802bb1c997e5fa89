"""The removal of leftovers of interrupted runs, and the comparison of the ledger with the bucket."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta

from infra.tiers.archive import Held
from schemas.tiers import WARM_STEPS, Step, TierObject
from streams.tiers.stores import WAITING, Clock, Report, Stores

WARM_PREFIX, COLD_PREFIX = "heatmap/", "heatmap-cold/"
# An object of an earlier run may still be in writing. Writing takes no longer than this.
YOUNG = timedelta(days=1)


async def sweep(stores: Stores, clock: Clock, objects: Sequence[TierObject], report: Report) -> None:
    """Remove tables and objects that no view reads, create missing tables, and compare objects.

    Report objects that are missing, or that the ledger does not name. Remove only objects that it names, because it may
    be empty or older than the bucket.
    """
    held_warm, held_cold = await stores.archive.held(WARM_PREFIX), await stores.archive.held(COLD_PREFIX)
    await _compare(stores, clock, objects, [*held_warm, *held_cold], report)
    readable = {entry.name: entry for entry in objects if entry.step in WARM_STEPS}
    tables, keys = await stores.warm.names(), {obj.key for obj in held_warm}
    for entry in readable.values():
        if entry.name not in tables and entry.key in keys:
            await stores.warm.create(entry)
    names = tables - readable.keys()
    dead = _dead(held_warm, {entry.key: entry for entry in objects if entry.step not in WARM_STEPS}, clock)
    # A copy on Glacier of a warm object is from an interrupted move. The next move uses it.
    dead += _dead(held_cold, {entry.cold_key: entry for entry in objects if entry.step is Step.GONE}, clock)
    if not (names or dead):
        return
    if not await stores.readers_done():
        report.waiting.append(f"leftovers: {WAITING}; a later run removes them")
        return
    for name in names:
        await stores.warm.drop(name)
    await stores.archive.delete(dead)


async def _compare(
    stores: Stores, clock: Clock, objects: Sequence[TierObject], held: Sequence[Held], report: Report
) -> None:
    """Report missing and unknown objects. If only cold objects are missing, S3 has expired them."""
    keys = {obj.key for obj in held}
    known = {key for entry in objects if not entry.expired_on_s3 for key in (entry.key, entry.cold_key)}
    lost = [("S3", entry.key, entry) for entry in objects if entry.step in WARM_STEPS and entry.key not in keys]
    frozen = [entry for entry in objects if entry.step in (Step.COLD, Step.RESTORED) and entry.cold_key not in keys]
    for key in sorted(keys - known):
        report.problems.append(
            f"{key}: the table tier_objects does not name this object, so it was not removed; "
            'see "Backup and restore" in docs/production.md'
        )
    if lost or keys - known:
        lost += [("Glacier", entry.cold_key, entry) for entry in frozen]
    else:
        await _note_expired(stores, clock, frozen, report)
    for place, key, entry in lost:
        report.problems.append(f"{entry.name}: its object on {place} is missing ({key})")


async def _note_expired(stores: Stores, clock: Clock, frozen: Iterable[TierObject], report: Report) -> None:
    """Record expired objects as gone. A restored object stays until its last day."""
    for entry in frozen:
        if entry.step is Step.RESTORED and entry.until >= clock.today:
            continue
        if await stores.archive.look(entry.cold_key) is not None:
            continue
        # the warm copy of a restored object is still to be removed
        size = entry.bytes if entry.step is Step.RESTORED else 0
        gone = replace(entry, revision=entry.revision + 1, step=Step.GONE, bytes=size)
        if await stores.ledger.take([gone], clock.now):
            report.note("gone", entry.source, entry.day, entry.fingerprint.rows, entry.bytes)


def _dead(held: Iterable[Held], unread: dict[str, TierObject], clock: Clock) -> list[str]:
    """Return the keys of held objects that no view reads, without objects that may be in writing."""
    pairs = [(obj, unread[obj.key]) for obj in held if obj.key in unread and not unread[obj.key].expired_on_s3]
    return [obj.key for obj, entry in pairs if entry.revision or clock.now - obj.modified > YOUNG]
