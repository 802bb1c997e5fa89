"""The moves from hot to warm, with the steps of the package's docstring."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from itertools import groupby
from uuid import uuid4

from infra.kafka.progress import has_read
from infra.redis.lease import Lease
from processors.heatmap.tiers import Move, moves
from schemas.errors import Refused, Retryable
from schemas.heatmap import GROUP, TOPIC
from schemas.tiers import Fingerprint, Step, TierObject, object_name
from streams.tiers.stores import WAITING, Clock, Report, Say, Stores

IDENT_LENGTH = 12
NOTHING = Fingerprint(0, (), 0)


class Mover:
    """The mover of days from the hot tables to S3."""

    def __init__(self, stores: Stores, clock: Clock, lease: Lease, report: Report, say: Say) -> None:
        self._stores = stores
        self._clock = clock
        self._lease = lease
        self._report = report
        self._say = say

    async def plan(self, objects: Sequence[TierObject]) -> list[Move]:
        """Return the moves that are due. Return none while the workers have not read the log up to today.

        Until then rows may still come into partitions that look complete. The report gets the reason.
        """
        due_moves = await due(self._stores, self._clock.today, objects)
        if due_moves and (reason := await why_not_yet(self._stores, self._clock)):
            self._report.waiting.append(reason)
            return []
        return due_moves

    async def move(self, due_moves: Sequence[Move], erased: int) -> None:
        """Do steps 1 to 5, day by day."""
        for day, group in groupby(due_moves, key=lambda move: move.day):
            self._say(f"{day}: moving to S3")
            of_day = list(group)
            exports = await asyncio.gather(*(self._export(move, erased) for move in of_day))
            pairs = zip(exports, of_day, strict=True)
            await self._publish([(export, move.number) for export, move in pairs if export is not None])

    async def _export(self, move: Move, erased: int) -> TierObject | None:
        """Do steps 1 and 2 of a move. Return None if no rows are left, or if object and partitions differ.

        The second case is a problem in the report.
        """
        stores = self._stores
        if not (await stores.hot.fingerprint(move.source, move.partitions)).rows:
            await self._lease.check()
            await stores.hot.drop(move.source, move.partitions)
            return None
        lp_ids = await stores.hot.lp_ids(move.source, move.partitions)
        entry = TierObject(
            source=move.source,
            day=move.day,
            name=object_name(move.source, move.day, uuid4().hex[:IDENT_LENGTH]),
            revision=1,
            step=Step.PUBLISHED,
            partitions=move.partitions,
            fingerprint=NOTHING,
            bytes=0,
            lp_ids=lp_ids,
            erased=erased,
        )
        await stores.ledger.begin(entry, self._clock.now)
        await stores.warm.create(entry)
        await stores.warm.fill(entry)
        expected = await stores.hot.fingerprint(entry.source, entry.partitions)
        return await self.verified(entry, expected)

    async def verified(self, entry: TierObject, expected: Fingerprint) -> TierObject | None:
        """Return the object with its fingerprint and size if it has the expected rows.

        Otherwise drop its table, report a problem and return None.
        """
        fingerprint = await self._stores.warm.fingerprint(entry)
        held = await self._stores.archive.look(entry.key)
        if fingerprint != expected or held is None:
            self._report.problems.append(
                f"{entry.name}: has {fingerprint} on S3 instead of {expected}; it is not published"
            )
            await self._stores.warm.drop(entry.name)
            return None
        return replace(entry, fingerprint=fingerprint, bytes=held.bytes)

    async def _publish(self, exports: Sequence[tuple[TierObject, int]]) -> None:
        """Do steps 3 to 5."""
        published = []
        for entry, number in exports:
            await self._lease.check()
            if await self._stores.ledger.publish(entry, number, self._clock.now):
                published.append(entry)
            else:
                self._report.waiting.append(f"{entry.name}: another process has moved this day meanwhile")
        await self.finish(published)

    async def finish(self, published: Sequence[TierObject]) -> None:
        """Do steps 4 and 5 for published objects."""
        if not published:
            return
        if not await self._stores.readers_done():
            self._report.waiting.append(f"{len(published)} objects: {WAITING}; a later run continues")
            return
        await asyncio.gather(*(self._drop(entry) for entry in published))

    async def _drop(self, entry: TierObject) -> None:
        """Do step 5.

        An interrupted run may have dropped some partitions: the step `dropping` says that they were compared before.
        """
        stores = self._stores
        if await stores.archive.look(entry.key) is None:
            self._report.problems.append(f"{entry.name}: its object on S3 is missing; the partitions are kept")
            return
        if entry.step is Step.PUBLISHED:
            if not await self._is_whole(entry):
                return
            await self._lease.check()
            entry = replace(entry, revision=entry.revision + 1, step=Step.DROPPING)
            if not await stores.ledger.take([entry], self._clock.now):
                return
        await self._lease.check()
        await stores.hot.drop(entry.source, entry.partitions)
        await stores.ledger.take([replace(entry, revision=entry.revision + 1, step=Step.SETTLED)], self._clock.now)
        self._report.note("moved", entry.source, entry.day, entry.fingerprint.rows, entry.bytes)

    async def _is_whole(self, entry: TierObject) -> bool:
        """Return whether the partitions equal the object or have no rows. If not, report a problem.

        Rows of erased pages do not count: an erasure deletes them from the partitions before it finds the object.
        """
        hot, warm = self._stores.hot, self._stores.warm
        left = await hot.fingerprint(entry.source, entry.partitions)
        # no rows: the table's TTL has dropped them
        if not left.rows or left == entry.fingerprint:
            return True
        erasures = [order for order in await self._stores.ledger.erasures() if any(map(order.covers, entry.lp_ids))]
        if erasures and await hot.fingerprint(entry.source, entry.partitions, erasures) == await warm.fingerprint(
            entry, erasures
        ):
            return True
        self._report.problems.append(
            f"{entry.name}: partitions {', '.join(entry.partitions)} of {entry.source} have {left}, the object has "
            f"{entry.fingerprint}; they are kept, and the views read the object"
        )
        return False


async def due(stores: Stores, today: date, objects: Sequence[TierObject]) -> list[Move]:
    """Return the moves that the rule requires today."""
    return moves(await stores.hot.partitions(), objects, stores.rule, today)


async def why_not_yet(stores: Stores, clock: Clock) -> str:
    """Return why no day can move now, or "" if days can move."""
    try:
        read = await has_read(stores.settings.kafka_bootstrap_servers, GROUP, TOPIC, clock.midnight_ms)
    except (Retryable, Refused) as error:
        return f"could not check whether the workers have read the log of {TOPIC}: {error}"
    return "" if read else f"the heatmap workers have not read {TOPIC} up to {clock.today} yet"
