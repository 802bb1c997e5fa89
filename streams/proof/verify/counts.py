"""What was acknowledged against what came of it: events in ClickHouse, results on their topic."""

import asyncio
import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from aiokafka.errors import KafkaError

from infra.clickhouse.client import ClickHouse
from infra.kafka.admin import partitions_of
from infra.kafka.consumer import build_consumer
from schemas.errors import LpstreamError
from schemas.generation import RESULTS
from schemas.heatmap import Kind

LOOK_S, FETCH_MS, SETTLE_S = 1.0, 200, 6.0
KINDS = [kind.value for kind in Kind]
CROWD_COLUMNS = ("clicks", "moves", "scrolls")  # all that the crowd does
BY_PAGE = (
    "SELECT lp_id, sum(clicks) - sum(rage_clicks) - sum(dead_clicks) AS click, sum(rage_clicks) AS rage_click,"
    " sum(dead_clicks) AS dead_click, sum(moves) AS move, sum(scrolls) AS scroll, sum(goals) AS goal"
    " FROM heatmap_windows WHERE lp_id IN {lp_ids:Array(String)} GROUP BY lp_id"
)
BY_PREFIX = (
    "SELECT sum(clicks) AS clicks, sum(moves) AS moves, sum(scrolls) AS scrolls FROM heatmap_windows"
    " WHERE startsWith(lp_id, {prefix:String})"
)

Tally = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Difference:
    """Events: acknowledged, counted, and what the two do not have in common, cell by cell."""

    acknowledged: int
    counted: int
    lost: int
    doubled: int
    unresolved: int = 0


def compare(acknowledged: Tally, counted: Tally, unresolved: Tally) -> Difference:
    """By page and kind. What was posted and never answered may be counted or not: it is neither lost nor doubled."""
    lost = doubled = 0
    for page in acknowledged.keys() | counted.keys():
        kinds, found, open_ = acknowledged.get(page, {}), counted.get(page, {}), unresolved.get(page, {})
        for kind in kinds.keys() | found.keys():
            missing = kinds.get(kind, 0) - found.get(kind, 0)
            lost += max(0, missing)
            doubled += max(0, -missing - open_.get(kind, 0))
    return Difference(_total(acknowledged), _total(counted), lost, doubled, _total(unresolved))


def _total(tally: Tally) -> int:
    return sum(sum(kinds.values()) for kinds in tally.values())


async def counted_by_page(clickhouse: ClickHouse, lp_ids: Collection[str]) -> dict[str, Counter[str]]:
    """Events in ClickHouse by page and kind."""
    rows = await clickhouse.rows(BY_PAGE, {"lp_ids": list(lp_ids)})
    return {row["lp_id"]: Counter({kind: int(row[kind]) for kind in KINDS if row[kind]}) for row in rows}


async def settled(
    clickhouse: ClickHouse, acknowledged: Tally, unresolved: Tally, prefix: str, crowd: Mapping[str, int],
    within_s: float,
) -> tuple[Difference, Difference]:  # fmt: skip
    """Visitors' events and the crowd's, once nothing is missing and a while has passed, or after the longest wait."""
    until = time.monotonic() + within_s
    quiet_until: float | None = None
    while True:
        try:
            pages = compare(acknowledged, await counted_by_page(clickhouse, acknowledged), unresolved)
            row = (await clickhouse.rows(BY_PREFIX, {"prefix": prefix}))[0] if crowd else {}
        except LpstreamError:
            if time.monotonic() > until:
                raise
            await asyncio.sleep(LOOK_S)
            continue
        found = {name: int(value) for name, value in row.items()}
        columns = compare({"crowd": crowd}, {"crowd": found}, {})
        now = time.monotonic()
        if not pages.lost and not columns.lost:
            quiet_until = quiet_until or now + SETTLE_S
        if now > until or (quiet_until is not None and now > quiet_until):
            return pages, columns
        await asyncio.sleep(LOOK_S)


@dataclass(slots=True)
class Answers:
    """What `lp.results` told while it was read: the different results of each request, by hash."""

    servers: str
    told: dict[str, set[bytes]] = field(default_factory=lambda: defaultdict(set))
    reading: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        """From now on, until cancelled. The broker may go away meanwhile: the consumer finds it again."""
        consumer = build_consumer(self.servers)
        await consumer.start()
        try:
            places = await partitions_of(self.servers, RESULTS)
            consumer.assign(places)
            await consumer.seek_to_end(*places)
            for place in places:
                await consumer.position(place)
            self.reading.set()
            while True:
                try:
                    batches = await consumer.getmany(timeout_ms=FETCH_MS)
                except KafkaError:
                    await asyncio.sleep(LOOK_S)
                    continue
                for records in batches.values():
                    for record in records:
                        digest = hashlib.blake2b(record.value or b"", digest_size=16).digest()
                        self.told[(record.key or b"").decode()].add(digest)
        finally:
            await consumer.stop()

    async def wait(self, asked: Collection[str], within_s: float) -> tuple[int, int]:
        """How many of those asked for have no result after so long, and how many have several different ones."""
        until = time.monotonic() + within_s
        while True:
            lost = sum(one not in self.told for one in asked)
            if not lost or time.monotonic() > until:
                return lost, sum(len(self.told.get(one, ())) > 1 for one in asked)
            await asyncio.sleep(LOOK_S)
