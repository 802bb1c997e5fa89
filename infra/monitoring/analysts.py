"""Panels of the analysts' dashboard: SQL over the views of ClickHouse, by page, device and time.

`$__timeFilter`, `$__dateFilter` and `$__timeInterval` are macros of Grafana's ClickHouse data source. What a person picks is
quoted by Grafana (`:sqlstring`); the user is the read-only one all the same.
"""

from typing import Any

from infra.monitoring.dashboards import CLICKHOUSE, Panel, Row

PICKED = "lp_id IN (${lp_id:sqlstring}) AND device IN (${device:sqlstring})"
# the day prunes what is opened on S3, the time says which windows of it
WHERE = f"{PICKED} AND $__dateFilter(utc_date) AND $__timeFilter(window_start)"
DEVICES = ("mobile", "tablet", "desktop")
VARIABLES: list[dict[str, Any]] = [
    {
        "name": "lp_id",
        "label": "page",
        "type": "query",
        "datasource": CLICKHOUSE,
        "query": "SELECT lp_id FROM lpstream.lp_daily GROUP BY lp_id ORDER BY sum(pageviews) DESC LIMIT 1000",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "sort": 0,
        "current": {"text": "All", "value": "$__all"},
        "options": [],
    },
    {
        "name": "device",
        "label": "device",
        "type": "custom",
        "query": ",".join(DEVICES),
        "multi": True,
        "includeAll": True,
        "current": {"text": "All", "value": "$__all"},
        "options": [{"text": one, "value": one, "selected": False} for one in DEVICES],
    },
]


def _windows(columns: str, rest: str = "") -> list[tuple[str, str]]:
    return [(f"SELECT {columns} FROM lpstream.lp_windows AS w WHERE {WHERE}{rest}", "")]


def _stat(title: str, column: str, unit: str = "short") -> Panel:
    return Panel(title, _windows(f"{column} AS value"), kind="stat", unit=unit, width=4, height=4)


OVER_TIME = "$__timeInterval(window_start) AS time"

ROWS = [
    Row(
        "Totals",
        [
            _stat("Pageviews", "sum(w.pageviews)"),
            _stat("Goals", "sum(w.goals)"),
            _stat("Goals per pageview", "sum(w.goals) / greatest(sum(w.pageviews), 1)", "percentunit"),
            _stat("Clicks", "sum(w.clicks)"),
            _stat("Rage clicks of clicks", "sum(w.rage_clicks) / greatest(sum(w.clicks), 1)", "percentunit"),
            _stat("Dead clicks of clicks", "sum(w.dead_clicks) / greatest(sum(w.clicks), 1)", "percentunit"),
        ],
    ),
    Row(
        "When",
        [
            Panel(
                "Pageviews and goals",
                _windows(
                    f"{OVER_TIME}, sum(w.pageviews) AS pageviews, sum(w.goals) AS goals", " GROUP BY time ORDER BY time"
                ),
                width=12,
            ),
            Panel(
                "Clicks that do not work",
                _windows(
                    f"{OVER_TIME}, sum(w.rage_clicks) AS rage, sum(w.dead_clicks) AS dead",
                    " GROUP BY time ORDER BY time",
                ),
                "Rage: third and later click in a second and 30 px; dead: nothing happened for 2.5 s",
                width=12,
            ),
            Panel(
                "Hour of the day, Tokyo",
                _windows(
                    "toString(toHour(toTimeZone(window_start, 'Asia/Tokyo'))) AS hour, sum(w.pageviews) AS pageviews, sum(w.goals) AS goals",
                    " GROUP BY hour ORDER BY toUInt8(hour)",
                ),
                kind="barchart",
                width=12,
                options={"xField": "hour"},
            ),
            Panel(
                "Devices",
                _windows(
                    "toString(device) AS kind, sum(w.pageviews) AS pageviews", " GROUP BY kind ORDER BY pageviews DESC"
                ),
                kind="piechart",
                width=6,
                options={"reduceOptions": {"values": True}},
            ),
            Panel(
                "Screens",
                [
                    (
                        "SELECT viewport_w, viewport_h, sum(s.pageviews) AS pageviews FROM lpstream.page_sizes AS s "
                        f"WHERE {WHERE} GROUP BY viewport_w, viewport_h ORDER BY pageviews DESC LIMIT 20",
                        "",
                    )
                ],
                kind="table",
                width=6,
            ),
        ],
    ),
    Row(
        "Where on the page",
        [
            Panel(
                "How far down they come",
                [
                    (
                        f"WITH (SELECT sum(pageviews) FROM lpstream.lp_windows WHERE {WHERE}) AS views "
                        "SELECT toString(from_px) AS px, sum(s.reached) / greatest(views, 1) AS reached "
                        f"FROM lpstream.scroll_depth AS s WHERE {WHERE} GROUP BY from_px ORDER BY from_px LIMIT 120",
                        "",
                    )
                ],
                "Share of the pageviews that saw each band of 100 pixels",
                "barchart",
                "percentunit",
                12,
                options={"xField": "px"},
            ),
            Panel(
                "How long it was in view",
                [
                    (
                        "SELECT toString(from_px) AS px, sum(s.exposure_ms) / 1000 AS seconds "
                        f"FROM lpstream.scroll_depth AS s WHERE {WHERE} GROUP BY from_px ORDER BY from_px LIMIT 120",
                        "",
                    )
                ],
                "Seconds of all pageviews, by band of 100 pixels",
                "barchart",
                "s",
                12,
                options={"xField": "px"},
            ),
            Panel(
                "Sections",
                [
                    (
                        "SELECT section, sum(f.reached) AS seen, sum(f.clicks) AS clicked, "
                        "round(clicked / greatest(seen, 1), 3) AS clicks_per_view, "
                        "round(sum(f.exposure_ms) / 1000 / greatest(seen, 1), 1) AS seconds_per_view "
                        f"FROM lpstream.section_funnel AS f WHERE {WHERE} GROUP BY section ORDER BY seen DESC LIMIT 100",
                        "",
                    )
                ],
                kind="table",
                width=12,
            ),
            Panel(
                "Hot spots",
                [
                    (
                        "SELECT lp_id, toString(kind) AS click, x AS column_of_128, toUInt32(y) * 16 AS from_px, sum(m.hits) AS clicks "
                        f"FROM lpstream.click_map AS m WHERE {WHERE} GROUP BY lp_id, kind, x, y ORDER BY clicks DESC LIMIT 50",
                        "",
                    )
                ],
                "Cells of a 128th of the width and 16 pixels",
                "table",
                width=12,
            ),
            Panel(
                "Where pointers rest",
                [
                    (
                        "SELECT toString(intDiv(toUInt32(y) * 16, 100) * 100) AS px, sum(a.dwell_ms) / 1000 AS seconds "
                        f"FROM lpstream.attention_map AS a WHERE {WHERE} AND fixed = 0 GROUP BY px ORDER BY toUInt32(px) LIMIT 120",
                        "",
                    )
                ],
                "Seconds, by band of 100 pixels",
                "barchart",
                "s",
                12,
                options={"xField": "px"},
            ),
            Panel(
                "Pages",
                [
                    (
                        "SELECT lp_id, sum(w.pageviews) AS views, sum(w.goals) AS reached_goal, round(reached_goal / greatest(views, 1), 4) AS goals_per_view, "
                        "sum(w.rage_clicks) AS rage, sum(w.dead_clicks) AS dead "
                        f"FROM lpstream.lp_windows AS w WHERE {WHERE} GROUP BY lp_id ORDER BY views DESC LIMIT 100",
                        "",
                    )
                ],
                kind="table",
                width=12,
            ),
        ],
    ),
]
