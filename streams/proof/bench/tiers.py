"""`lpstream bench --only tiers`: forty days of a site, tiered daily, compared with untiered tables.

Traffic comes from the visitor model and is loaded day by day; the tiers get the date of the day. On the days `ASKED`
the benchmark runs the kit's queries over the last 30 days on both sides and compares the answers.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from infra.tiers.tables import HOT_TABLES
from schemas.errors import LpstreamError
from streams.proof.bench.frame import Row, Say, own_stack, quiet, row
from streams.proof.traffic import Traffic
from streams.proof.twin import COPY, Twin
from streams.tiers.run import status
from streams.tiers.stores import Report

DAYS, HOT_DAYS, WARM_DAYS = 40, 7, 30
VISITS, PAGES = 2_000, 20
# the kit is slow on both sides, so it runs on these days only: before and after the tiers fill
ASKED = (7, 8, 9, 15, 20, 25, 30, 31, 32, 33, 36, 40)
SITE = tuple(f"t1-{number:04d}" for number in range(PAGES))


@dataclass(slots=True)
class Seen:
    """The results of forty days: seconds by part of a run, and the answers and rows compared."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    answers: int = 0
    rows: int = 0

    def take(self, report: Report) -> None:
        """Add the report of a day. Raise LpstreamError if it names problems or unfinished work."""
        if report.problems or report.waiting:
            raise LpstreamError(f"tiers: problems or unfinished work: {report.problems + report.waiting}")
        for part, action in (("move", "moved"), ("chill", "chilled")):
            if action in report.done:
                self.seconds.setdefault(part, []).append(report.parts[part])


def forty_days(*, rounds: int, say: Say = quiet) -> list[Row]:
    """Return the rows `tiers`: equal answers, then bytes and seconds of each tier.

    It runs a single round, whatever `rounds` is, because the days follow each other.
    """
    del rounds
    with own_stack(say, "tansu") as stack:
        return asyncio.run(_run(Twin(stack, Traffic(SITE, VISITS), hot_days=HOT_DAYS, warm_days=WARM_DAYS), say))


async def _run(twin: Twin, say: Say) -> list[Row]:
    started, seen = time.monotonic(), Seen()
    async with twin:
        for today in range(1, DAYS + 1):
            await twin.load(today - 1)
            report = await twin.tiers(today).run()
            if report is None:
                raise LpstreamError("tiers: another run holds the lease")
            seen.take(report)
            if today in ASKED:
                await _compare(twin, today, seen)
                say(f"day {today} of {DAYS}: {seen.answers} answers of the kit are equal")
        return await _rows(twin, seen, round(time.monotonic() - started, 1))


async def _compare(twin: Twin, today: int, seen: Seen) -> None:
    first = max(0, today - WARM_DAYS)
    if await twin.sums("lpstream", first, today) != await twin.sums(COPY, first, today):
        raise LpstreamError(f"tiers: day {today}: the tiered and untiered tables differ")
    ours, theirs = await twin.kit_answers("lpstream", first, today), await twin.kit_answers(COPY, first, today)
    for name, rows in theirs.items():
        if ours[name] != rows:
            raise LpstreamError(f"tiers: day {today}: {name}: tiered {ours[name]}, untiered {rows}")
        seen.answers, seen.rows = seen.answers + 1, seen.rows + len(rows)


async def _rows(twin: Twin, seen: Seen, seconds: float) -> list[Row]:
    copy = await days_of_copy(twin)
    events = (await twin.copy.rows("SELECT sum(events) AS n FROM heatmap_windows"))[0]["n"]
    whole = {"days": DAYS, "visits_a_day": VISITS, "pages": PAGES, "events": events, "seconds": seconds}
    detail = whole | {"days_asked": ASKED, "rows_compared": seen.rows}
    equal = "untiered copy: answers of the kit that are equal"
    rows = [row("tiers", equal, seen.answers, "answers", seen.answers, detail)]
    for tier in await status(twin.settings):
        first, last = str(tier["first"]), str(tier["last"])
        untiered = sum(size for day, size in copy.items() if first <= day <= last)
        timed = {"warm": seen.seconds.get("move"), "cold": seen.seconds.get("chill")}.get(tier["tier"])
        detail = {"days": tier["days"], "first": first, "last": last, "rows": tier["rows"], **_spread(timed)}
        reference = f"untiered copy: bytes of {tier['tier']} days"
        rows.append(row("tiers", reference, tier["bytes"], "bytes", untiered, detail))
    return rows


async def days_of_copy(twin: Twin) -> dict[str, int]:
    """Merge the parts of the untiered copy, and return its bytes by day."""
    for name in HOT_TABLES:
        await twin.writer.command(f"OPTIMIZE TABLE {COPY}.{name} FINAL")
    sizes = Counter[str]()
    for partition in await twin.stores.hot.partitions(COPY):
        sizes[partition.day.isoformat()] += partition.bytes
    return sizes


def _spread(seconds: Sequence[float] | None) -> dict[str, Any]:
    if not seconds:
        return {}
    return {"runs": len(seconds), "seconds_median": round(median(seconds), 2), "seconds_max": max(seconds)}
