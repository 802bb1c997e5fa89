"""From hot to warm: see the steps in the package's text."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from uuid import uuid4

from infra.kafka.progress import has_read
from infra.redis.lease import Lease
from infra.tiers.readers import readers_done
from processors.heatmap.tiers import Move, moves
from schemas.errors import Refused, Retryable
from schemas.heatmap import GROUP, TOPIC
from schemas.tiers import Fingerprint, Step, TierObject, object_name
from streams.tiers.stores import Clock, Report, Say, Stores

IDENT_LENGTH = 12
NOTHING = Fingerprint(0, (), 0)


class Mover:
    """Moves days from the hot tables to S3."""

    def __init__(self, stores: Stores, clock: Clock, lease: Lease, report: Report, say: Say) -> None:
        self._stores = stores
        self._clock = clock
        self._lease = lease
        self._report = report
        self._say = say

    async def plan(self, objects: Sequence[TierObject]) -> list[Move]:
        """What has to move; nothing, and the report says why, while the workers have not read the log up to today.

        Until then rows may still come into partitions that look complete.
        """
        found = await due(self._stores, self._clock.today, objects)
        if found and (reason := await why_not_yet(self._stores, self._clock)):
            self._report.waiting.append(reason)
            return []
        return found

    async def move(self, wanted: Sequence[Move], erased: int) -> None:
        """Steps 1 to 5, day by day."""
        for day, group in groupby(wanted, key=lambda one: one.day):
            self._say(f"{day}: moving to S3")
            of_day = list(group)
            made = await asyncio.gather(*(self._export(one, erased) for one in of_day))
            await self._publish([(one, move.number) for one, move in zip(made, of_day, strict=True) if one is not None])

    async def _export(self, wanted: Move, erased: int) -> TierObject | None:
        """Steps 1 and 2; None when nothing is left to move, and, with a problem, when the object does not say what the
        partitions say.
        """
        stores = self._stores
        if not (await stores.hot.fingerprint(wanted.source, wanted.partitions)).rows:
            await self._lease.check()
            await stores.hot.drop(wanted.source, wanted.partitions)
            return None
        lp_ids = await stores.hot.lp_ids(wanted.source, wanted.partitions)
        one = TierObject(
            source=wanted.source,
            day=wanted.day,
            name=object_name(wanted.source, wanted.day, uuid4().hex[:IDENT_LENGTH]),
            revision=1,
            step=Step.PUBLISHED,
            partitions=wanted.partitions,
            fingerprint=NOTHING,
            bytes=0,
            lp_ids=lp_ids,
            erased=erased,
        )
        await stores.warm.create(one)
        await stores.warm.fill(one)
        expected = await stores.hot.fingerprint(one.source, one.partitions)
        return await self.verified(one, expected)

    async def verified(self, one: TierObject, expected: Fingerprint) -> TierObject | None:
        """The object with its fingerprint and size when it is as expected; else None, and a problem is noted."""
        found = await self._stores.warm.fingerprint(one)
        held = await self._stores.archive.look(one.key)
        if found != expected or held is None:
            self._report.problems.append(f"{one.name}: holds {found}, not {expected}; it is not published")
            await self._stores.warm.drop(one.name)
            return None
        return replace(one, fingerprint=found, bytes=held.bytes)

    async def _publish(self, made: Sequence[tuple[TierObject, int]]) -> None:
        """Steps 3 to 5."""
        published = []
        for one, number in made:
            await self._lease.check()
            if await self._stores.ledger.publish(one, number, self._clock.now):
                published.append(one)
            else:
                self._report.waiting.append(f"{one.name}: someone else moved this day in the meantime")
        await self.finish(published)

    async def finish(self, published: Sequence[TierObject]) -> None:
        """Steps 4 and 5, for objects that are published."""
        if not published:
            return
        if not await readers_done(self._stores.clickhouse, self._stores.settings.tier_patience_s):
            self._report.waiting.append(f"{len(published)} objects: queries from before still run; a later run goes on")
            return
        await asyncio.gather(*(self._drop(one) for one in published))

    async def _drop(self, one: TierObject) -> None:
        """Step 5. Where a run was cut off some partitions may be gone: that they were whole is told by the step."""
        stores = self._stores
        if await stores.archive.look(one.key) is None:
            self._report.problems.append(f"{one.name}: its object is missing; the partitions are kept")
            return
        if one.step is Step.PUBLISHED:
            if not await self._is_whole(one):
                return
            await self._lease.check()
            one = replace(one, revision=one.revision + 1, step=Step.DROPPING)
            if not await stores.ledger.take([one], self._clock.now):
                return
        await self._lease.check()
        await stores.hot.drop(one.source, one.partitions)
        await stores.ledger.take([replace(one, revision=one.revision + 1, step=Step.SETTLED)], self._clock.now)
        self._report.note("moved", one.source, one.day, one.fingerprint.rows, one.bytes)

    async def _is_whole(self, one: TierObject) -> bool:
        """Whether the partitions hold what the object holds, or nothing any more; a problem is noted when not."""
        left = await self._stores.hot.fingerprint(one.source, one.partitions)
        # no rows: dropped by the table's TTL
        if not left.rows or left == one.fingerprint:
            return True
        self._report.problems.append(
            f"{one.name}: partitions {', '.join(one.partitions)} of {one.source} hold {left}, the object holds "
            f"{one.fingerprint}; they are kept, and the views read the object"
        )
        return False


async def due(stores: Stores, today: date, objects: Sequence[TierObject]) -> list[Move]:
    """What has to leave the hot tables."""
    return moves(await stores.hot.partitions(), objects, stores.rule, today)


async def why_not_yet(stores: Stores, clock: Clock) -> str:
    """Why nothing can move now; empty when it can."""
    try:
        read = await has_read(stores.settings.kafka_bootstrap_servers, GROUP, TOPIC, clock.midnight_ms)
    except (Retryable, Refused) as error:
        return f"whether the log of {TOPIC} is read cannot be told: {error}"
    return "" if read else f"the heatmap workers have not read {TOPIC} up to {clock.today} yet"
