"""The removal of leftovers of interrupted runs, and the comparison of the ledger with the bucket."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta

from infra.tiers.archive import Held
from processors.heatmap.tiers import TierRule
from schemas.tiers import WARM_STEPS, Step, TierObject
from streams.tiers.stores import WAITING, Clock, Report, Stores

WARM_PREFIX, COLD_PREFIX = "heatmap/", "heatmap-cold/"
# An object of an earlier run may still be in writing. Writing takes no longer than this.
YOUNG = timedelta(days=1)


async def sweep(stores: Stores, clock: Clock, objects: Sequence[TierObject], report: Report) -> None:
    """Remove tables and objects that no view reads, and create missing tables.

    Report objects that are missing, or that the ledger does not name. Remove only objects that it names, because it may
    be empty or older than the bucket.
    """
    held_warm, held_cold = await stores.archive.held(WARM_PREFIX), await stores.archive.held(COLD_PREFIX)
    held = {obj.key: obj for obj in [*held_warm, *held_cold]}
    _compare(objects, held, stores.rule, clock, report)
    await _note_expired(stores, clock, objects, held, report)
    readable = {entry.name: entry for entry in objects if entry.step in WARM_STEPS}
    tables = await stores.warm.names()
    for entry in readable.values():
        if entry.name not in tables and entry.key in held:
            await stores.warm.create(entry)
    names = tables - readable.keys()
    gone = [entry for entry in objects if entry.step is Step.GONE]
    chilled = [entry for entry in objects if entry.step is Step.COLD and entry.cold_key in held]
    dead = _dead(held_warm, {entry.key: entry for entry in [*gone, *chilled]}, clock)
    # A copy on Glacier of a warm object is from an interrupted move. The next move uses it.
    dead += _dead(held_cold, {entry.cold_key: entry for entry in gone if not entry.expired_on_s3}, clock)
    if not (names or dead):
        return
    if not await stores.readers_done():
        report.waiting.append(f"leftovers: {WAITING}; a later run removes them")
        return
    for name in names:
        await stores.warm.drop(name)
    with report.attempt("leftovers"):
        await stores.archive.delete(dead)


def _compare(
    objects: Sequence[TierObject], held: Mapping[str, Held], rule: TierRule, clock: Clock, report: Report
) -> None:
    """Report objects that are missing, and objects that the ledger does not name."""
    known = {key for entry in objects for key in (entry.key, entry.cold_key)}
    for key in sorted(held.keys() - known):
        report.problems.append(
            f"{key}: the table tier_objects does not name this object, so it was not removed; "
            'see "Backup and restore" in docs/production.md'
        )
    for entry in objects:
        if entry.step in WARM_STEPS and entry.key not in held:
            report.problems.append(f"{entry.name}: its object on S3 is missing ({entry.key})")
        if _is_cold_copy_missing(entry, held) and not rule.may_be_expired(entry.day, clock.today):
            report.problems.append(
                f"{entry.name}: its object on Glacier is missing ({entry.cold_key}); restore it from the "
                "bucket's versions, or set LPSTREAM_TIER_COLD_DAYS if S3 deletes objects of this age"
            )


async def _note_expired(
    stores: Stores, clock: Clock, objects: Sequence[TierObject], held: Mapping[str, Held], report: Report
) -> None:
    """Record objects as gone if S3 has expired them, and as cold if S3 has them again.

    A restored object stays until its last day.
    """
    for entry in objects:
        if entry.expired_on_s3 and entry.cold_key in held:
            what, step, size = "returned", Step.COLD, held[entry.cold_key].bytes
        elif _is_cold_copy_missing(entry, held) and stores.rule.may_be_expired(entry.day, clock.today):
            what, step, size = "gone", Step.GONE, 0
        else:
            continue
        if entry.step is Step.RESTORED and entry.until >= clock.today:
            continue
        after = replace(entry, revision=entry.revision + 1, step=step, bytes=size)
        if await stores.ledger.take([after], clock.now):
            report.note(what, entry.source, entry.day, entry.fingerprint.rows, size or entry.bytes)


def _is_cold_copy_missing(entry: TierObject, held: Mapping[str, Held]) -> bool:
    return entry.step in (Step.COLD, Step.RESTORED) and entry.cold_key not in held


def _dead(held: Iterable[Held], unread: Mapping[str, TierObject], clock: Clock) -> list[str]:
    """Return the keys of held objects that no view reads, without objects that may be in writing."""
    pairs = [(obj, unread[obj.key]) for obj in held if obj.key in unread]
    return [obj.key for obj, entry in pairs if entry.revision or clock.now - obj.modified > YOUNG]
