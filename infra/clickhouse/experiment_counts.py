"""The counts of experiments' arms by time. The server binds all values."""

from collections.abc import Mapping
from datetime import UTC, datetime

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.map_queries import TIMES
from schemas.experiments import Goal, PageCounts

MOST_PAGES = 50  # the ids are sent in the request's head
_GOALS = ", ".join(f"sum(goals_{goal}) AS {goal}_" for goal in Goal)
_SELECT = (
    "SELECT lp_id, intDiv(toUnixTimestamp(window_start), {span:UInt32}) * {span:UInt32} AS start_s,"
    " sum(pageviews) AS views, sum(conversions) AS converted, sum(dead_clicks) AS dead, sum(rage_clicks) AS rage, "
)
_WHERE = (
    f" WHERE {TIMES} AND has({{lp_ids:Array(String)}}, lp_id)"
    " AND toUnixTimestamp(window_start) >= {starts:Array(UInt32)}[indexOf({lp_ids:Array(String)}, lp_id)]"
    " GROUP BY lp_id, start_s"
)
COUNTS = _SELECT + _GOALS + " FROM lpstream.lp_windows" + _WHERE


async def counts(clickhouse: ClickHouse, starts_s: Mapping[str, int], until_s: int, span_s: int) -> list[PageCounts]:
    """Return the counts of at most MOST_PAGES pages, each from its start, in rows of `span_s` seconds."""
    if not starts_s or (first_s := min(starts_s.values())) >= until_s:
        return []
    values = {
        "lp_ids": list(starts_s),
        "starts": list(starts_s.values()),
        "start": datetime.fromtimestamp(first_s, UTC),
        "end": datetime.fromtimestamp(until_s, UTC),
        "span": span_s,
    }
    rows = await clickhouse.rows(COUNTS, values)
    return [
        PageCounts(
            row["lp_id"],
            int(row["start_s"]),
            span_s,
            int(row["views"]),
            int(row["converted"]),
            {goal: int(row[f"{goal}_"]) for goal in Goal},
            int(row["dead"]),
            int(row["rage"]),
        )
        for row in rows
    ]
