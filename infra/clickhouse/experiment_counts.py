"""The counts of experiments' arms by time. The server binds all values."""

from collections.abc import Mapping
from datetime import UTC, datetime

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.map_queries import TIMES
from schemas.experiments import Goal, PageCounts

MOST_PAGES = 50  # the ids are sent in the request's head
_GOALS = ", ".join(f"sum(goals_{goal}) AS {goal}_" for goal in Goal)
_PAGES = f"{TIMES} AND has({{lp_ids:Array(String)}}, lp_id)"
_START = "intDiv(toUnixTimestamp(window_start), {span:UInt32}) * {span:UInt32} AS start_s"
_FROM = "{starts:Array(UInt32)}[indexOf({lp_ids:Array(String)}, lp_id)]"
_SINCE = f" WHERE {_PAGES} AND toUnixTimestamp(window_start) >= {_FROM}"
# half of the page's median height on the device: the tables do not say how high the page of each pageview was
_HALF = (
    "SELECT lp_id, device, toUInt16(intDiv(quantileExactWeighted(0.5)(page_h, s.pageviews), 200)) AS band"
    f" FROM lpstream.page_sizes AS s WHERE {_PAGES} GROUP BY lp_id, device HAVING sum(s.pageviews) > 0"
)
COUNTS = (
    f"SELECT * FROM (SELECT lp_id, {_START}, sum(pageviews) AS views, sum(conversions) AS converted,"
    f" sum(dead_clicks) AS dead, sum(rage_clicks) AS rage, {_GOALS} FROM lpstream.lp_windows{_SINCE}"
    f" GROUP BY lp_id, start_s) AS counts LEFT JOIN (SELECT lp_id, {_START}, sum(reached) AS deep"
    f" FROM lpstream.tiered_scroll{_SINCE} AND (lp_id, device, band) IN ({_HALF}) GROUP BY lp_id, start_s) AS depths"
    " USING (lp_id, start_s)"
)


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
            int(row["deep"]),
        )
        for row in rows
    ]
