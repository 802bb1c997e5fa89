"""Expected results of browser visits in ClickHouse, and their check."""

import asyncio
import dataclasses
import json
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from beacons import PARTITIONS, assert_tables_equal
from patience import PATIENCE_S

from infra.clickhouse.client import ClickHouse

Cells = Counter[tuple[str, bool, int, int]]
Elements = Counter[tuple[str, str]]


@dataclasses.dataclass
class Expected:
    """The expected totals of a page and, if given, its cells, reached bands, sections and elements."""

    lp_id: str
    totals: dict[str, int]
    cells: Cells | None = None
    reached: Counter[int] | None = None
    sections: Counter[str] | None = None
    elements: Elements | None = None


class Expectations:
    """The expectations of all tests of a module. The last test checks them together, to wait only once."""

    def __init__(self, clickhouse: ClickHouse, kafka: str) -> None:
        self._clickhouse = clickhouse
        self._kafka = kafka
        self.expected: list[Expected] = []

    async def totals(self, lp_id: str, names: Iterable[str]) -> dict[str, int]:
        """Return the totals of a page."""
        sums = ", ".join(f"sum({name}) AS {name}" for name in names)
        query = f"SELECT {sums} FROM heatmap_windows WHERE lp_id = {{lp:String}}"
        row = (await self._clickhouse.rows(query, {"lp": lp_id}))[0]
        return {name: int(row[name]) for name in names}

    async def differing(self) -> dict[str, Any]:
        """Return (found, expected) totals of the pages that differ."""
        found = {one.lp_id: await self.totals(one.lp_id, one.totals) for one in self.expected}
        return {one.lp_id: (found[one.lp_id], one.totals) for one in self.expected if found[one.lp_id] != one.totals}

    async def cells(self, lp_id: str) -> Cells:
        """Return hits by kind, fixed, x and y, without pointer rests."""
        query = (
            "SELECT kind, fixed, x, y, sum(hits) AS hits FROM heatmap_cells"
            " WHERE lp_id = {lp:String} AND kind != 'move' GROUP BY kind, fixed, x, y"
        )
        rows = await self._clickhouse.rows(query, {"lp": lp_id})
        return Counter({(row["kind"], bool(row["fixed"]), row["x"], row["y"]): int(row["hits"]) for row in rows})

    async def reached(self, lp_id: str) -> Counter[int]:
        """Return the number of views that reached each band of 100 px."""
        query = "SELECT band, sum(reached) AS reached FROM heatmap_scroll WHERE lp_id = {lp:String} GROUP BY band"
        rows = await self._clickhouse.rows(query, {"lp": lp_id})
        return Counter({int(row["band"]): int(row["reached"]) for row in rows if int(row["reached"])})

    async def sections(self, lp_id: str) -> Counter[str]:
        """Return the number of views that reached each section."""
        query = "SELECT section, sum(reached) AS n FROM heatmap_sections WHERE lp_id = {lp:String} GROUP BY section"
        rows = await self._clickhouse.rows(query, {"lp": lp_id})
        return Counter({row["section"]: int(row["n"]) for row in rows if int(row["n"])})

    async def elements(self, lp_id: str) -> Elements:
        """Return the clicks and dead clicks by element and kind. `clicks` of the table has all kinds."""
        query = (
            "SELECT element, sum(clicks) - sum(dead_clicks) AS click, sum(dead_clicks) AS dead_click"
            " FROM heatmap_elements WHERE lp_id = {lp:String} GROUP BY element"
        )
        rows = await self._clickhouse.rows(query, {"lp": lp_id})
        return +Counter({(row["element"], kind): int(row[kind]) for row in rows for kind in ("click", "dead_click")})

    async def check(self) -> None:
        """Wait until all totals are as expected and stay so, then compare cells, bands and tables."""
        deadline = time.monotonic() + PATIENCE_S
        while differing := await self.differing():
            assert time.monotonic() < deadline, differing
            await asyncio.sleep(0.5)
        await asyncio.sleep(7)  # duplicates would be counted in the next windows
        assert await self.differing() == {}
        for one in self.expected:
            for name in ("cells", "reached", "sections", "elements"):
                if (expected := getattr(one, name)) is not None:
                    found = await getattr(self, name)(one.lp_id)
                    assert found == expected, f"{one.lp_id}, {name}: found {found}, expected {expected}"
        log = await self._log()
        for one in self.expected:
            await assert_tables_equal(self._clickhouse, one.lp_id, log.get(one.lp_id, []))

    async def _log(self) -> dict[str, list[dict[str, Any]]]:
        """Return the beacons in the log without duplicates, by page."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka, auto_offset_reset="earliest")
        await consumer.start()
        places = [TopicPartition("heatmap.events", number) for number in range(PARTITIONS)]
        consumer.assign(places)
        found: dict[tuple[str, int], dict[str, Any]] = {}
        try:
            ends = await consumer.end_offsets(places)
            while any([await consumer.position(place) < ends[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=300)).values():
                    beacons = [json.loads(record.value) for record in records if record.value]
                    found |= {
                        (one["pageview_id"], one["seq"]): one for one in beacons if one["lp_id"].startswith("e2e_")
                    }
        finally:
            await consumer.stop()
        pages: dict[str, list[dict[str, Any]]] = {}
        for beacon in found.values():
            pages.setdefault(beacon["lp_id"], []).append(beacon)
        return pages
