"""The comparison of acknowledged events and LPs with ClickHouse and the results topic."""

import asyncio
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from infra.clickhouse.client import ClickHouse
from schemas.errors import LpstreamError
from schemas.heatmap import Kind
from streams.proof.beside import must_run
from streams.proof.results import new_results

POLL_S, SETTLE_S = 1.0, 6.0
# the kinds that simulated visitors send, and the column of each in the tables
STORED = {
    Kind.CLICK: "sum(clicks) - sum(rage_clicks) - sum(dead_clicks)",
    Kind.RAGE_CLICK: "sum(rage_clicks)",
    Kind.DEAD_CLICK: "sum(dead_clicks)",
    Kind.MOVE: "sum(moves)",
    Kind.SCROLL: "sum(scrolls)",
    Kind.GOAL: "sum(goals_custom)",
    Kind.CONVERSION: "sum(conversions)",
}
BY_KIND = ", ".join(f"{sums} AS {kind.value}" for kind, sums in STORED.items())
BY_PAGE = f"SELECT lp_id, {BY_KIND} FROM heatmap_windows WHERE lp_id IN {{lp_ids:Array(String)}} GROUP BY lp_id"

Tally = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Difference:
    """Acknowledged and counted events, with losses and doubles summed cell by cell."""

    acknowledged: int
    counted: int
    lost: int
    doubled: int
    unresolved: int = 0


def compare(acknowledged: Tally, counted: Tally, unresolved: Tally) -> Difference:
    """Compare by page and kind.

    Unresolved events, posted but never answered, may be counted or not: they are neither lost nor doubled.
    """
    lost = doubled = 0
    for page in acknowledged.keys() | counted.keys():
        sent, stored, open_ = acknowledged.get(page, {}), counted.get(page, {}), unresolved.get(page, {})
        for kind in sent.keys() | stored.keys():
            missing = sent.get(kind, 0) - stored.get(kind, 0)
            lost += max(0, missing)
            doubled += max(0, -missing - open_.get(kind, 0))
    return Difference(_total(acknowledged), _total(counted), lost, doubled, _total(unresolved))


def _total(tally: Tally) -> int:
    return sum(sum(kinds.values()) for kinds in tally.values())


async def counted_by_page(clickhouse: ClickHouse, lp_ids: Collection[str]) -> dict[str, Counter[str]]:
    """Return the events in ClickHouse by page and kind."""
    rows = await clickhouse.rows(BY_PAGE, {"lp_ids": list(lp_ids)})
    return {row["lp_id"]: Counter({str(kind): int(row[kind]) for kind in STORED if row[kind]}) for row in rows}


async def settled(clickhouse: ClickHouse, acknowledged: Tally, unresolved: Tally, within_s: float) -> Difference:
    """Return the difference once no event is missing for SETTLE_S, at the latest after `within_s`."""
    until = time.monotonic() + within_s
    quiet_until: float | None = None
    while True:
        try:
            difference = compare(acknowledged, await counted_by_page(clickhouse, acknowledged), unresolved)
        except LpstreamError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(POLL_S)
            continue
        now = time.monotonic()
        if not difference.lost:
            quiet_until = quiet_until or now + SETTLE_S
        if now > until or (quiet_until is not None and now > quiet_until):
            return difference
        await asyncio.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class Answers:
    """The results that `reading` reads from `lp.results`: the hashes of each request's different results."""

    told: Mapping[str, Collection[bytes]]
    reading: asyncio.Task[None]

    async def wait(self, asked: Collection[str], within_s: float) -> tuple[int, int]:
        """Wait for the results. Return how many requests have no result, and how many have different ones.

        Raise LpstreamError if the reader has ended, because requests would count as lost.
        """
        until = time.monotonic() + within_s
        while True:
            must_run(self.reading)
            lost = sum(request_id not in self.told for request_id in asked)
            if not lost or time.monotonic() > until:
                return lost, sum(len(self.told.get(request_id, ())) > 1 for request_id in asked)
            await asyncio.sleep(POLL_S)


@asynccontextmanager
async def answers(servers: str) -> AsyncIterator[Answers]:
    """Collect new results while the block runs."""
    told: dict[str, set[bytes]] = defaultdict(set)

    def take(request_id: str, value: bytes, _: int) -> None:
        told[request_id].add(hashlib.blake2b(value, digest_size=16).digest())

    async with new_results(servers, take) as reading:
        yield Answers(told, reading)
