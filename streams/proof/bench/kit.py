"""`lpstream bench --only kit`: times of the analysts' kit on ten million cells, warm and hot.

The data are seven days of a site: one day of the visitor model's traffic, copied to each day and to more pages. The
queries run first on hot data, then again after the data have moved to S3 (warm).
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.clickhouse.kit import kit
from infra.embedded.stack import Stack
from infra.tiers.tables import HOT_TABLES, HotTable
from schemas.errors import LpstreamError
from streams.local.prepare import settings_of
from streams.proof.traffic import Traffic
from streams.proof.twin import COPY, Twin
from streams.tiers.run import status

DAYS, COPIES, VISITS = 7, 6, 21_000
PAGES = tuple(f"t1-{number:04d}" for number in range(20))
Row = dict[str, Any]
Times = dict[str, list[float]]
Say = Callable[[str], None]


def kit_times(*, rounds: int, say: Say = lambda _: None) -> list[Row]:
    """Return a row `kit` for each query: the median ms on warm data, with hot data as the reference.

    The first round of each side is not counted.
    """
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder), "tansu", say) as stack:
        settings = settings_of(stack).model_copy(update={"tier_hot_days": 1, "tier_warm_days": 30})
        return asyncio.run(_run(Twin(settings, Traffic(PAGES, VISITS)), rounds, say))


async def _run(twin: Twin, rounds: int, say: Say) -> list[Row]:
    try:
        await twin.open()
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
    finally:
        await twin.close()
    detail = {"cells": cells, "rows": held["warm"]["rows"], "rounds": rounds, "move_seconds": report.parts["move"]}
    return [_row(name, hot[name], warm[name], detail) for name in hot]


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


async def _times(twin: Twin, rounds: int) -> tuple[Times, dict[str, list[Any]]]:
    values = {
        "from": twin.day(0).isoformat(),
        "to": twin.day(DAYS + 1).isoformat(),
        "change": twin.day(DAYS // 2).isoformat(),
        "lp_id": PAGES[0],
    }
    times: Times = {}
    answers: dict[str, list[Any]] = {}
    for number in range(rounds + 1):
        for query in kit():
            parameters = {name: values[name] for name in query.parameters}
            started = time.perf_counter()
            rows = await twin.analyst.rows(query.sql, parameters)
            if number:
                times.setdefault(query.name, []).append((time.perf_counter() - started) * 1000)
            answers[query.name] = [tuple(row.values()) for row in rows]
    return times, answers


def _row(name: str, hot: list[float], warm: list[float], detail: dict[str, Any]) -> Row:
    value, reference = statistics.median(warm), statistics.median(hot)
    return {
        "id": "kit",
        "reference": f"{name}: warm against hot",
        "value": round(value, 1),
        "unit": "ms",
        "reference_value": round(reference, 1),
        "ratio": round(value / reference, 2),
        "detail": detail | {"max": round(max(warm), 1), "hot_max": round(max(hot), 1)},
    }
