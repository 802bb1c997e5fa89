"""The removal of leftovers of interrupted runs, and the check for missing objects."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from infra.tiers.archive import Held
from schemas.tiers import WARM_STEPS, Step, TierObject
from streams.tiers.stores import WAITING, Clock, Report, Stores

WARM_PREFIX, COLD_PREFIX = "heatmap/", "heatmap-cold/"
# An unknown object may be one that is being written. Writing takes no longer than this.
YOUNG = timedelta(days=1)


async def sweep(stores: Stores, clock: Clock, objects: Sequence[TierObject], report: Report) -> None:
    """Remove tables and objects that no view reads. Report a problem for each missing object."""
    warm = {entry.key: entry for entry in objects if entry.step in WARM_STEPS}
    cold = {entry.cold_key: entry for entry in objects if entry.step in (Step.COLD, Step.RESTORED)}
    held_warm, held_cold = await stores.archive.held(WARM_PREFIX), await stores.archive.held(COLD_PREFIX)
    for place, expected, held in (("S3", warm, held_warm), ("Glacier", cold, held_cold)):
        for key in expected.keys() - {obj.key for obj in held}:
            report.problems.append(f"{expected[key].name}: its object on {place} is missing ({key})")
    names = await stores.warm.names() - {entry.name for entry in warm.values()}
    dead = _dead(held_warm, warm.keys(), {entry.key for entry in objects}, clock)
    # A copy on Glacier of a warm object is from an interrupted move. The next move uses it.
    alive = {entry.cold_key for entry in objects if entry.step is not Step.GONE}
    dead += _dead(held_cold, alive, {entry.cold_key for entry in objects}, clock)
    if not (names or dead):
        return
    if not await stores.readers_done():
        report.waiting.append(f"leftovers: {WAITING}; a later run removes them")
        return
    for name in names:
        await stores.warm.drop(name)
    await stores.archive.delete(dead)


def _dead(held: Iterable[Held], alive: Iterable[str], known: set[str], clock: Clock) -> list[str]:
    live = set(alive)
    return [obj.key for obj in held if obj.key not in live and (obj.key in known or clock.now - obj.modified > YOUNG)]
