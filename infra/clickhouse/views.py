"""The analysts' views. Every migration replaces them, because the time zone of days is a setting.

The tiered_ views join the tables of all tiers. One read of tier_objects decides which objects are warm and which hot
partitions they replace, so a day that moves is read from exactly one place, never from both or neither.
"""

from collections.abc import Iterable

# the measures that are also counted with what sampling left out, in words
SCALED = {
    "pageviews": "pageviews",
    "events": "events",
    "clicks": "clicks",
    "rage_clicks": "rage clicks",
    "dead_clicks": "dead clicks",
    "moves": "pointer rests",
    "scrolls": "scroll events",
    "goals": "goals",
    "conversions": "conversions",
}
# Type and comment of each column. A column of one view that differs from others of its name has the view's name, too.
# An expression must have exactly this type: ClickHouse refuses some conditions on a column that the view converts.
COLUMNS = {
    "lp_id": ("LowCardinality(String)", "The page: its lp_id."),
    "window_start": ("DateTime('UTC')", "Start of the 5-second window of the event's own time, UTC."),
    "utc_date": ("Date", "Date of window_start, UTC. Ask by it: other days are then not opened."),
    "day": ("Date", "Day of window_start in the time zone {timezone}."),
    "lp_daily.day": ("Date", "Day of the time zone {timezone}."),
    "hour": ("UInt8", "Hour of window_start in the time zone {timezone}, 0 to 23."),
    "device": ("Enum8('mobile' = 1, 'tablet' = 2, 'desktop' = 3)", "Kind of device: mobile, tablet or desktop."),
    "kind": ("Enum8('click' = 1, 'rage_click' = 2, 'dead_click' = 3, 'move' = 4)", "Kind of event."),
    "fixed": ("UInt8", "1 when x and y count from the viewport, for targets that do not scroll."),
    "x": ("UInt8", "Column, 0 to 127, of the page's width (of the viewport's where fixed)."),
    "y": ("UInt16", "Row of 16 pixels, 0 to 4095."),
    "hits": ("UInt64", "Events."),
    "rests": ("UInt64", "Pointer rests."),
    "dwell_ms": ("UInt64", "Milliseconds that the pointer rested."),
    "band": ("UInt16", "Band of 100 pixels from the top, 0 to 655."),
    "from_px": ("UInt32", "The band's first pixel."),
    "section": ("LowCardinality(String)", "The section's name."),
    "element": ("LowCardinality(String)", "The element's name: its data-element or id, else its tag and place."),
    "reached": ("UInt64", "Pageviews that reached its first pixel or passed it, each once."),
    "exposure_ms": ("UInt64", "Milliseconds that any of it was in view."),
    "page_w": ("UInt32", "Width of the page, floored to 16 pixels."),
    "page_h": ("UInt32", "Height of the page, floored to 16 pixels."),
    "viewport_w": ("UInt32", "Width of the viewport, floored to 16 pixels."),
    "viewport_h": ("UInt32", "Height of the viewport, floored to 16 pixels."),
    "pageviews": ("UInt64", "Pageviews that began."),
    "events": ("UInt64", "Events of any kind."),
    "clicks": ("UInt64", "Clicks of any kind: plain, rage and dead."),
    "tiered_elements.clicks": ("UInt64", "Clicks of any kind on it: plain, rage and dead."),
    "element_clicks.clicks": ("UInt64", "Clicks of any kind on it: plain, rage and dead."),
    "rage_clicks": ("UInt64", "Third and later clicks in a burst."),
    "dead_clicks": ("UInt64", "Clicks without effect."),
    "moves": ("UInt64", "Pointer rests."),
    "scrolls": ("UInt64", "Scroll events."),
    "goals": ("UInt64", "Goals of any kind, each kind at most once a pageview."),
    "goals_form": ("UInt64", "Goals: forms sent."),
    "goals_tel": ("UInt64", "Goals: links to a phone number."),
    "goals_mail": ("UInt64", "Goals: links to a mail address."),
    "goals_outbound": ("UInt64", "Goals: links to another site."),
    "goals_custom": ("UInt64", "Goals: calls of lpstream.goal()."),
    "conversions": ("UInt64", "Pageviews with a goal of any kind, each counted at its first goal."),
    "sampled_out": (
        "UInt64",
        "Sum of 1000 / rate - 1000 over events and pageviews: what sampling left out, in thousandths.",
    ),
    "scale": (
        "Float64",
        "Mean of 1 / rate over the events and pageviews of the row. The scaled_ columns have the rate of each measure.",
    ),
    **{
        f"left_out_{name}": ("UInt64", f"What sampling left out of {words}, in thousandths.")
        for name, words in SCALED.items()
    },
    **{
        f"scaled_{name}": ("Float64", f"{words.capitalize()}, each counted 1 / rate times.")
        for name, words in SCALED.items()
    },
    "source": ("LowCardinality(String)", "The hot table that the rows were moved from."),
    "tier_now.day": ("Date", "The day (UTC) that the object holds."),
    "object": ("String", "Name of the object, and of its table in lpstream_warm."),
    "step": (
        "Enum8('published' = 1, 'dropping' = 2, 'settled' = 3, 'cold' = 4, 'restored' = 5, 'gone' = 6)",
        "Its last step, as tier_objects has it.",
    ),
    "partitions": ("Array(String)", "Partitions of the hot table that it holds."),
    "rows": ("UInt64", "Rows of the object."),
    "bytes": ("UInt64", "Bytes of the object."),
    "until": ("Date", "Last day that a restored object is read."),
}
PAGE = ("lp_id", "window_start", "utc_date", "day", "device")
CELL = ("fixed", "x", "y")
SIZES = ("page_w", "page_h", "viewport_w", "viewport_h", "pageviews")
KINDS = ("form", "tel", "mail", "outbound", "custom")
TOTALS = ("pageviews", "events", "clicks", "rage_clicks", "dead_clicks", "moves", "scrolls", "goals")
COUNTED = (*TOTALS, *(f"goals_{kind}" for kind in KINDS), "conversions")
CLICKS = ("clicks", "rage_clicks", "dead_clicks")
TIERED = {
    "cells": ("kind", *CELL, "hits", "dwell_ms"),
    "scroll": ("band", "reached", "exposure_ms"),
    "sections": ("section", "clicks", "reached", "exposure_ms"),
    "windows": (*COUNTED, "sampled_out", *(f"left_out_{name}" for name in SCALED)),
    "views": SIZES,
    "elements": ("element", *CLICKS, *(f"left_out_{name}" for name in CLICKS)),
}
# Rows of earlier releases have only `sampled_out`: the part of it that no measure has is divided among all.
WINDOWS = (
    "(SELECT *, (sampled_out - left_out_pageviews - left_out_events) / 1000 / greatest(events + pageviews, 1) AS shared"
    " FROM lpstream.tiered_windows)"
)
STEPS = ("step", "partitions", "rows", "bytes", "until")
# a view of one table or view: its name, its columns or expressions of columns, its source, its comment
Definition = tuple[str, tuple[str, ...], str, str]
TIER_NOW: Definition = (
    "tier_now",
    ("source", "day", "object", *(f"argMax(o.{name}, revision) AS {name}" for name in STEPS)),
    "lpstream.tier_objects AS o\nGROUP BY source, day, object",
    "Objects of the warm and the cold tier as they are now.",
)
OVER_ALL_TIERS: tuple[Definition, ...] = (
    (
        "click_map",
        (*PAGE, "kind", *CELL, "hits"),
        "lpstream.tiered_cells\nWHERE kind != 'move'",
        "Clicks by cell. Several rows of one cell and window may be there: always query with sum().",
    ),
    (
        "attention_map",
        (*PAGE, *CELL, "hits AS rests", "dwell_ms"),
        "lpstream.tiered_cells\nWHERE kind = 'move'",
        "Pointer rests by cell and how long they lasted. Always query with sum().",
    ),
    (
        "scroll_depth",
        (*PAGE, "band", "band * 100 AS from_px", "reached", "exposure_ms"),
        "lpstream.tiered_scroll",
        "Pageviews that reached or passed each band of 100 px, and how long it was in view. Always query with sum().",
    ),
    (
        "section_funnel",
        (*PAGE, "section", "reached", "clicks", "exposure_ms"),
        "lpstream.tiered_sections",
        "Reach (passing it counts), clicks and exposure by section. Always query with sum().",
    ),
    (
        "element_clicks",
        (*PAGE, "element", *CLICKS, *(f"{name} + left_out_{name} / 1000 AS scaled_{name}" for name in CLICKS)),
        "lpstream.tiered_elements",
        "Clicks by the element that they hit. Always query with sum().",
    ),
    (
        "lp_windows",
        (
            *("lp_id", "window_start", "utc_date", "day", "toHour(window_start, '{timezone}') AS hour", "device"),
            *(*COUNTED, "1 + sampled_out / 1000 / greatest(events + pageviews, 1) AS scale"),
            *(f"{name} * (1 + shared) + left_out_{name} / 1000 AS scaled_{name}" for name in SCALED),
        ),
        WINDOWS,
        "Totals by 5-second window. Always query with sum().",
    ),
    (
        "page_sizes",
        (*PAGE, *SIZES),
        "lpstream.tiered_views",
        "Pageviews by sizes of page and viewport. Always query with sum().",
    ),
    (
        "lp_daily",
        (
            *("lp_id", "day", "device"),
            *(f"sum(w.{name}) AS {name}" for name in (*COUNTED, *(f"scaled_{name}" for name in SCALED))),
        ),
        "lpstream.lp_windows AS w\nGROUP BY lp_id, day, device",
        "Totals by day of the time zone {timezone}.",
    ),
)


def views(timezone: str) -> list[str]:
    """Return the statements that create the views or replace them. `timezone` is a validated tz name."""
    tiered = (_tiered(table, columns) for table, columns in TIERED.items())
    made = (_view(*TIER_NOW), *tiered, *(_view(*each) for each in OVER_ALL_TIERS))
    return [statement.replace("{timezone}", timezone) for statement in made]


def _tiered(table: str, columns: tuple[str, ...]) -> str:
    """Return the view of a hot table and its warm objects."""
    day, names = "toDate(window_start, '{timezone}') AS day", ", ".join(columns)
    hot = f"lp_id, window_start, toDate(window_start) AS utc_date, {day}, device, {names}"
    of_object = "YYYYMMDDToDate(toUInt32OrZero(splitByChar('_', _table)[3]))"
    warm = f"lp_id, window_start, {of_object} AS utc_date, {day}, device, {names}"
    query = f"""WITH
(
    SELECT (groupArrayIf(object, step IN ('published', 'dropping', 'settled', 'restored')),
        groupUniqArrayArrayIf(partitions, step IN ('published', 'dropping')))
    FROM lpstream.tier_now
    WHERE source = 'heatmap_{table}'
) AS tier
SELECT {hot}
FROM lpstream.heatmap_{table}
WHERE _partition_id NOT IN tier.2
UNION ALL
SELECT {warm}
FROM lpstream.warm_{table}
WHERE has(tier.1, _table)"""
    comment = f"heatmap_{table} of all tiers: several rows of one key may be there, so always query with sum()."
    return _statement(f"tiered_{table}", (*PAGE, *columns), query, comment)


def _view(name: str, selected: tuple[str, ...], source: str, comment: str) -> str:
    """Return the view of columns, or of expressions with `AS` and a column."""
    columns = (each.rpartition(" AS ")[2] for each in selected)
    return _statement(name, columns, f"SELECT {', '.join(selected)}\nFROM {source}", comment)


def _statement(view: str, columns: Iterable[str], query: str, comment: str) -> str:
    typed = ((name, *(COLUMNS.get(f"{view}.{name}") or COLUMNS[name])) for name in columns)
    lines = ",\n".join(f"    {name} {kind} COMMENT {_quoted(about)}" for name, kind, about in typed)
    return f"CREATE OR REPLACE VIEW lpstream.{view}\n(\n{lines}\n) AS\n{query}\nCOMMENT {_quoted(comment)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
