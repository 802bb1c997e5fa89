"""The counts of experiments' arms by time. The server binds all values."""

from collections.abc import Mapping
from datetime import UTC, datetime

from infra.clickhouse.client import ClickHouse
from infra.clickhouse.map_queries import TIMES
from schemas.experiments import Goal, PageCounts

MOST_PAGES = 50  # the ids are sent in the request's head
MINUTE_S = 60
_SUMS = {"pageviews": "views", "conversions": "converted", "dead_clicks": "dead", "rage_clicks": "rage"}
_SUMS |= {f"goals_{goal}": f"{goal}_" for goal in Goal}
_PAGES = f"{TIMES} AND has({{lp_ids:Array(String)}}, lp_id)"
_START = "intDiv(toUnixTimestamp(window_start), {span:UInt32}) * {span:UInt32} AS start_s"
_FROM = "{starts:Array(UInt32)}[indexOf({lp_ids:Array(String)}, lp_id)]"
_SINCE = f" WHERE {_PAGES} AND toUnixTimestamp(window_start) >= {_FROM}"
# half of the page's median height on the device: the tables do not say how high the page of each pageview was
_HALF = (
    "SELECT lp_id, device, toUInt16(intDiv(quantileExactWeighted(0.5)(page_h, s.pageviews), 200)) AS band"
    f" FROM lpstream.page_sizes AS s WHERE {_PAGES} GROUP BY lp_id, device HAVING sum(s.pageviews) > 0"
)
# a visitor clicks many times: squares of the clicks of a minute say so, also in a row of an hour
_MINUTES = (
    "SELECT lp_id, intDiv(toUnixTimestamp(window_start), {part:UInt32}) * {part:UInt32} AS part_s, "
    + ", ".join(f"sum({column}) AS part_{name}" for column, name in _SUMS.items())
    + f" FROM lpstream.lp_windows{_SINCE} GROUP BY lp_id, part_s"
)
COUNTS = (
    "SELECT * FROM (SELECT lp_id, intDiv(part_s, {span:UInt32}) * {span:UInt32} AS start_s, "
    + ", ".join(f"sum(part_{name}) AS {name}" for name in _SUMS.values())
    + ", sum(part_dead * part_dead) AS dead_squares, sum(part_rage * part_rage) AS rage_squares"
    f" FROM ({_MINUTES}) GROUP BY lp_id, start_s) AS counts LEFT JOIN (SELECT lp_id, {_START}, sum(reached) AS deep"
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
        "part": min(span_s, MINUTE_S),
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
            int(row["dead_squares"]),
            int(row["rage_squares"]),
        )
        for row in rows
    ]
