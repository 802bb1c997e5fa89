"""`lpstream bench --only tiers`: forty days of a site, tiered each day, against the same tables untiered.

Traffic is the visitor model's, by hours of the day, loaded day by day; `tier` is told what day it is. Each day the kit
over the last 30 days, 30 days of Tokyo, is asked of both.
"""

import asyncio
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.embedded.stack import Stack
from infra.tiers.tables import HOT_TABLES
from schemas.errors import LpstreamError
from streams.local.prepare import settings_of
from streams.proof.traffic import Traffic
from streams.proof.twin import COPY, Twin
from streams.tiers.run import status
from streams.tiers.stores import Report

DAYS, HOT_DAYS, WARM_DAYS = 40, 7, 30
VISITS, PAGES = 2_000, 20
# the kit on both sides takes a while: on these days, when the tiers are about to fill and after
ASKED = (7, 8, 9, 15, 20, 25, 30, 31, 32, 33, 36, 40)
SITE = tuple(f"t1-{number:04d}" for number in range(PAGES))
Row = dict[str, Any]
Say = Callable[[str], None]


@dataclass(slots=True)
class Seen:
    """What forty days showed. Seconds by part of a run; answers that were compared, and rows in them."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    answers: int = 0
    rows: int = 0

    def take(self, report: Report) -> None:
        """A day's run; LpstreamError when it left anything wrong or waiting."""
        if report.problems or report.waiting:
            raise LpstreamError(f"tiers: {report.problems + report.waiting}")
        for part, what in (("move", "moved"), ("chill", "chilled")):
            if what in report.done:
                self.seconds.setdefault(part, []).append(report.parts[part])


def forty_days(*, rounds: int, say: Say = lambda _: None) -> list[Row]:
    """Rows `tiers`: equal answers, then bytes and seconds of each tier. One round only: days follow each other."""
    del rounds
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), "tansu", say) as stack:
        rule = {"tier_hot_days": HOT_DAYS, "tier_warm_days": WARM_DAYS}
        twin = Twin(settings_of(stack).model_copy(update=rule), Traffic(SITE, VISITS))
        return asyncio.run(_run(twin, say))


async def _run(twin: Twin, say: Say) -> list[Row]:
    started, seen = time.monotonic(), Seen()
    try:
        await twin.open()
        for today in range(1, DAYS + 1):
            await twin.load(today - 1)
            report = await twin.tiers(today).run()
            if report is None:
                raise LpstreamError("tiers: someone else holds the lease")
            seen.take(report)
            if today in ASKED:
                await _compare(twin, today, seen)
                say(f"day {today} of {DAYS}: {seen.answers} answers of the kit are equal")
        return await _rows(twin, seen, round(time.monotonic() - started, 1))
    finally:
        await twin.close()


async def _compare(twin: Twin, today: int, seen: Seen) -> None:
    first = max(0, today - WARM_DAYS)
    if await twin.sums("lpstream", first, today) != await twin.sums(COPY, first, today):
        raise LpstreamError(f"tiers: day {today}: the tables differ")
    ours, theirs = await twin.kit_answers("lpstream", first, today), await twin.kit_answers(COPY, first, today)
    for name, rows in theirs.items():
        if ours[name] != rows:
            raise LpstreamError(f"tiers: day {today}: {name}: {ours[name]} is not {rows}")
        seen.answers, seen.rows = seen.answers + 1, seen.rows + len(rows)


async def _rows(twin: Twin, seen: Seen, seconds: float) -> list[Row]:
    copy = await days_of_copy(twin)
    events = (await twin.copy.rows("SELECT sum(events) AS n FROM heatmap_windows"))[0]["n"]
    whole = {"days": DAYS, "visits_a_day": VISITS, "pages": PAGES, "events": events, "seconds": seconds}
    detail = whole | {"days_asked": ASKED, "rows_compared": seen.rows}
    found = [_row("untiered copy: answers of the kit that are equal", seen.answers, "answers", seen.answers, detail)]
    for tier in await status(twin.settings):
        first, last = str(tier["first"]), str(tier["last"])
        untiered = sum(size for day, size in copy.items() if first <= day <= last)
        timed = {"warm": seen.seconds.get("move"), "cold": seen.seconds.get("chill")}.get(tier["tier"])
        detail = {"days": tier["days"], "first": first, "last": last, "rows": tier["rows"], **_spread(timed)}
        found.append(_row(f"untiered copy: bytes of {tier['tier']} days", tier["bytes"], "bytes", untiered, detail))
    return found


async def days_of_copy(twin: Twin) -> dict[str, int]:
    """Bytes of the untiered copy by day, its parts merged."""
    for name in HOT_TABLES:
        await twin.writer.command(f"OPTIMIZE TABLE {COPY}.{name} FINAL")
    sizes = Counter[str]()
    for one in await twin.stores.hot.partitions(COPY):
        sizes[one.day.isoformat()] += one.bytes
    return sizes


def _spread(seconds: Sequence[float] | None) -> dict[str, Any]:
    if not seconds:
        return {}
    return {"runs": len(seconds), "seconds_median": round(statistics.median(seconds), 2), "seconds_max": max(seconds)}


def _row(reference: str, value: float, unit: str, reference_value: float, detail: dict[str, Any]) -> Row:
    return {
        "id": "tiers",
        "reference": reference,
        "value": value,
        "unit": unit,
        "reference_value": reference_value,
        "ratio": round(value / reference_value, 2) if reference_value else None,
        "detail": detail,
    }
