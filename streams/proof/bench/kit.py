"""`lpstream bench --only kit`: times of the analysts' kit on ten million cells, warm and hot.

The data are seven days of a site: one day of the visitor model's traffic, copied to each day and to more pages. The
queries run first on hot data, then again after the data have moved to S3 (warm).
"""

import asyncio
from statistics import median

from infra.tiers.tables import HOT_TABLES, HotTable
from schemas.errors import LpstreamError
from streams.proof.bench.frame import Row, Say, own_stack, quiet, row
from streams.proof.traffic import Traffic
from streams.proof.twin import COPY, Answers, Twin
from streams.tiers.run import status

DAYS, COPIES, VISITS = 7, 6, 21_000
PAGES = tuple(f"t1-{number:04d}" for number in range(20))
Times = dict[str, list[float]]


def kit_times(*, rounds: int, say: Say = quiet) -> list[Row]:
    """Return a row `kit` for each query: the median ms on warm data, with hot data as the reference.

    The first round of each side is not counted.
    """
    with own_stack(say, "tansu") as stack:
        return asyncio.run(_run(Twin(stack, Traffic(PAGES, VISITS), hot_days=1, warm_days=30), rounds, say))


async def _run(twin: Twin, rounds: int, say: Say) -> list[Row]:
    async with twin:
        await _fill(twin, say)
        hot, hot_answers = await _times(twin, rounds)
        say("moving to S3")
        report = await twin.tiers(DAYS + 2).run()
        held = {row["tier"]: row for row in await status(twin.settings)}
        if report is None or report.problems or report.waiting or held["hot"]["rows"]:
            raise LpstreamError(f"kit: not all data were moved to S3: {held} {report}")
        warm, warm_answers = await _times(twin, rounds)
        if hot_answers != warm_answers:
            raise LpstreamError("kit: hot and warm answers differ")
        cells = (await twin.analyst.rows("SELECT count() AS n FROM tiered_cells"))[0]["n"]
    shared = {"cells": cells, "rows": held["warm"]["rows"], "rounds": rounds, "move_seconds": report.parts["move"]}
    rows = []
    for name in hot:
        detail = shared | {"max": round(max(warm[name]), 1), "hot_max": round(max(hot[name]), 1)}
        value, reference = median(warm[name]), median(hot[name])
        rows.append(row("kit", f"{name}: warm against hot", value, "ms", reference, detail, digits=1))
    return rows


async def _fill(twin: Twin, say: Say) -> None:
    say(f"{DAYS} days of {COPIES} times {VISITS:,} visits")
    await twin.load(0)
    for name, table in HOT_TABLES.items():
        for day in range(DAYS):
            for copy in range(COPIES):
                if day or copy:
                    await twin.writer.command(_copied(name, table, day, copy))
        await twin.writer.command(f"OPTIMIZE TABLE {name} FINAL")


def _copied(name: str, table: HotTable, day: int, copy: int) -> str:
    """Return the INSERT that copies the first day's rows to another day and to pages with other names."""
    changed = {"window_start": f"window_start + INTERVAL {day} DAY", "lp_id": f"replaceOne(lp_id, 't1', 't1_{copy}')"}
    columns = (*table.keys, *table.measures)
    values = ", ".join(changed.get(column, column) if copy or column != "lp_id" else column for column in columns)
    source = f"SELECT {values} FROM {COPY}.{name}"
    return f"INSERT INTO lpstream.{name} ({table.columns}) {source}"


async def _times(twin: Twin, rounds: int) -> tuple[Times, Answers]:
    times: Times = {}
    for number in range(rounds + 1):
        answers = await twin.kit_answers("lpstream", 0, DAYS + 1, times if number else None)
    return times, answers
