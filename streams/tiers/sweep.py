"""What runs that were cut off left behind, and objects that are missing."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

from infra.tiers.archive import Held
from infra.tiers.readers import readers_done
from schemas.tiers import WARM_STEPS, Step, TierObject
from streams.tiers.stores import Clock, Report, Stores

WARM_PREFIX, COLD_PREFIX = "heatmap/", "heatmap-cold/"
# an object that nobody knows may be one that is being written, for no longer than this
YOUNG = timedelta(days=1)


async def sweep(stores: Stores, clock: Clock, objects: Sequence[TierObject], report: Report) -> None:
    """Remove tables and objects that nobody reads; note a problem for each object that should be there and is not."""
    warm = {one.key: one for one in objects if one.step in WARM_STEPS}
    cold = {one.cold_key: one for one in objects if one.step in (Step.COLD, Step.RESTORED)}
    held_warm, held_cold = await stores.archive.held(WARM_PREFIX), await stores.archive.held(COLD_PREFIX)
    for place, expected, held in (("S3", warm, held_warm), ("Glacier", cold, held_cold)):
        for key in expected.keys() - {one.key for one in held}:
            report.problems.append(f"{expected[key].name}: its object on {place} is missing ({key})")
    names = await stores.warm.names() - {one.name for one in warm.values()}
    dead = _dead(held_warm, warm.keys(), {one.key for one in objects}, clock)
    # a copy on Glacier of what is still warm belongs to a move that was cut off, and is used by the next one
    alive = {one.cold_key for one in objects if one.step is not Step.GONE}
    dead += _dead(held_cold, alive, {one.cold_key for one in objects}, clock)
    if not (names or dead):
        return
    if not await readers_done(stores.clickhouse, stores.settings.tier_patience_s):
        report.waiting.append("leftovers: queries from before still run; a later run removes them")
        return
    for name in names:
        await stores.warm.drop(name)
    await stores.archive.delete(dead)


def _dead(held: Iterable[Held], alive: Iterable[str], known: set[str], clock: Clock) -> list[str]:
    kept = set(alive)
    return [one.key for one in held if one.key not in kept and (one.key in known or clock.now - one.modified > YOUNG)]
