"""A plain count of the heatmap tables: one event at a time, as the contract says, without numpy."""

from collections import defaultdict
from collections.abc import Iterable

from msgspec import UNSET

from schemas.heatmap import KIND_BY_LETTER, Beacon

Rows = dict[tuple[object, ...], list[int]]
Areas = dict[str, list[tuple[int, int]]]
DAY_MS = 24 * 3600 * 1000
FIVE_MINUTES_MS = 5 * 60 * 1000
LAST_SECOND = (2**32 - 1) // 5 * 5

COLUMNS = {
    "heatmap_cells": "lp_id window_start device kind fixed x y hits dwell_ms",
    "heatmap_scroll": "lp_id window_start device band reached exposure_ms",
    "heatmap_sections": "lp_id window_start device section clicks reached exposure_ms",
    "heatmap_windows": "lp_id window_start device pageviews events clicks rage_clicks dead_clicks moves scrolls goals"
    " goals_form goals_tel goals_mail goals_outbound goals_custom conversions sampled_out left_out_pageviews"
    " left_out_events left_out_clicks left_out_rage_clicks left_out_dead_clicks left_out_moves left_out_scrolls"
    " left_out_goals left_out_conversions",
    "heatmap_views": "lp_id window_start device page_w page_h viewport_w viewport_h pageviews",
    "heatmap_elements": "lp_id window_start device element clicks rage_clicks dead_clicks left_out_clicks"
    " left_out_rage_clicks left_out_dead_clicks",
}
MEASURES = {
    "heatmap_cells": 2,
    "heatmap_scroll": 2,
    "heatmap_sections": 3,
    "heatmap_windows": 24,
    "heatmap_views": 1,
    "heatmap_elements": 6,
}
WINDOW_COLUMNS = COLUMNS["heatmap_windows"].split()[3:]
COUNTER = {"c": ["clicks"], "r": ["clicks", "rage_clicks"], "d": ["clicks", "dead_clicks"]} | {
    "m": ["moves"],
    "s": ["scrolls"],
    "f": ["goals", "goals_form"],
    "t": ["goals", "goals_tel"],
    "e": ["goals", "goals_mail"],
    "o": ["goals", "goals_outbound"],
    "g": ["goals", "goals_custom"],
    "v": ["conversions"],
}


def clamp(value: int, low: int, high: int) -> int:
    """Return the value limited to the range from `low` to `high`."""
    return max(low, min(high, value))


def last_event_ms(beacon: Beacon) -> int:
    """Return the time of the latest event, ms UTC, by the browser's clock."""
    return beacon.t0 + max(beacon.dt)


def skewed(beacon: Beacon, timestamp_ms: int) -> bool:
    """Return whether the browser's clock is wrong: more than a day late or five minutes early."""
    last = last_event_ms(beacon)
    return last < timestamp_ms - DAY_MS or last > timestamp_ms + FIVE_MINUTES_MS


def window_start(time_ms: int) -> int:
    """Return the start of the event's 5-second window in seconds, limited to the range of DateTime."""
    return clamp(time_ms // 5000 * 5, 0, LAST_SECOND)


def count(records: Iterable[tuple[Beacon, int]]) -> dict[str, list[tuple[object, ...]]]:
    """Return the sorted rows of each non-empty table, for beacons with their records' timestamps (ms)."""
    tables: dict[str, Rows] = {name: defaultdict(lambda n=n: [0] * n) for name, n in MEASURES.items()}
    for beacon, timestamp_ms in records:
        count_beacon(tables, beacon, timestamp_ms)
    found = {
        name: sorted((*key, *values) for key, values in rows.items() if any(values)) for name, rows in tables.items()
    }
    return {name: rows for name, rows in found.items() if rows}


def add(rows: Rows, key: tuple[object, ...], *values: int) -> None:
    """Add to the measures under a key."""
    row = rows[key]
    for place, value in enumerate(values):
        row[place] += value


def count_beacon(tables: dict[str, Rows], beacon: Beacon, timestamp_ms: int) -> None:  # noqa: C901 - the contract's order
    """Add one beacon to all tables."""
    shift = timestamp_ms - last_event_ms(beacon) if skewed(beacon, timestamp_ms) else 0
    page_h = clamp(beacon.page_h, 0, 65536)
    depth = beacon.depth
    left_out = round(1000 / beacon.rate) - 1000
    if beacon.seq == 0:
        shared = (beacon.lp_id, window_start(beacon.t0 + shift), beacon.device)
        sizes = tuple(size // 16 * 16 for size in (beacon.page_w, page_h, beacon.viewport_w, beacon.viewport_h))
        add(tables["heatmap_views"], (*shared, *sizes), 1)
        count_total(tables["heatmap_windows"][shared], "pageviews", left_out)
    areas = areas_of(beacon)
    for name in dict.fromkeys(beacon.new_sections or ()):
        first = (beacon.lp_id, window_start(beacon.t0 + shift + beacon.dt[0]), beacon.device)
        add(tables["heatmap_sections"], (*first, name), 0, 1)
    hit: list[str] = []
    for index, letter in enumerate(beacon.type):
        shared = (beacon.lp_id, window_start(beacon.t0 + shift + beacon.dt[index]), beacon.device)
        x, y = clamp(beacon.x[index], 0, 65535), clamp(beacon.y[index], 0, 65535)
        fixed, dwell = index in beacon.fixed, beacon.dwell[index]
        windows = tables["heatmap_windows"][shared]
        for column in ("events", *COUNTER[letter]):
            count_total(windows, column, left_out)
        if letter in "crdm":
            width = beacon.viewport_w if fixed else beacon.page_w
            cell = (KIND_BY_LETTER[letter].value, int(fixed), min(127, 128 * x // width), y // 16)
            add(tables["heatmap_cells"], (*shared, *cell), 1, dwell)
        if letter in "crd" and beacon.elements is not UNSET:
            entry = beacon.elements[len(hit)]
            hit.append(hit[entry] if isinstance(entry, int) else entry)
            clicks = (1, int(letter == "r"), int(letter == "d"))
            add(tables["heatmap_elements"], (*shared, hit[-1]), *clicks, *(left_out * number for number in clicks))
        if letter in "crd" and not fixed:
            for name, pixels in areas.items():
                if any(top <= y < bottom for top, bottom in pixels):
                    add(tables["heatmap_sections"], (*shared, name), 1)
        if letter == "s":
            bottom = min(y + beacon.viewport_h, page_h)
            if bottom > y:
                count_view(tables, shared, beacon, areas, (y, bottom), depth, dwell)
                depth = max(depth, bottom)


def count_total(row: list[int], column: str, left_out: int) -> None:
    """Add 1 to a column of a window, and the pageviews that sampling left out for it, in thousandths."""
    row[WINDOW_COLUMNS.index(column)] += 1
    if f"left_out_{column}" in WINDOW_COLUMNS:
        row[WINDOW_COLUMNS.index(f"left_out_{column}")] += left_out
    if column in ("pageviews", "events"):
        row[WINDOW_COLUMNS.index("sampled_out")] += left_out


def count_view(
    tables: dict[str, Rows],
    shared: tuple[object, ...],
    beacon: Beacon,
    areas: Areas,
    shown: tuple[int, int],
    depth: int,
    dwell: int,
) -> None:
    """Add the bands and sections that one `s` event shows."""
    y, bottom = shown
    for band in range(656):
        if depth <= 100 * band < bottom:
            add(tables["heatmap_scroll"], (*shared, band), 1, 0)
        if y // 100 <= band <= (bottom - 1) // 100:
            add(tables["heatmap_scroll"], (*shared, band), 0, dwell)
    for name, pixels in areas.items():
        overlaps = any(max(top, y) < min(end, bottom) for top, end in pixels)
        new = beacon.new_sections is UNSET and depth <= min(pixels)[0] < bottom
        add(tables["heatmap_sections"], (*shared, name), 0, int(new), dwell if overlaps else 0)


def areas_of(beacon: Beacon) -> Areas:
    """Return the areas of each name, with clamped edges."""
    areas: Areas = {}
    for name, top, bottom in beacon.sections:
        areas.setdefault(name, []).append((clamp(top, 0, 65536), clamp(bottom, 0, 65536)))
    return areas
