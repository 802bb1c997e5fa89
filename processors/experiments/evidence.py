"""The evidence of an experiment: counts of its arms by time, and the weights that were in force."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from processors.experiments.shapes import Evidence, Floats, Ints
from schemas.experiments import ALL_GOALS, MOST_POINTS, ExperimentState, PageCounts

MINUTE_S, HOUR_S = 60, 3_600
Points = Sequence[tuple[int, list[float]]]
TABLES = ("pageviews", "conversions", "dead_clicks", "rage_clicks", "shallow", "dead_squares", "rage_squares")
SUMS = ("pageviews", "conversions", "dead_clicks", "rage_clicks", "deep", "dead_squares", "rage_squares")


def evidence_of(state: ExperimentState, rows: Sequence[PageCounts], points: Points, now_s: int) -> Evidence:
    """Return the evidence of the rows of an experiment's arms, for `points` of its past weights.

    The last row lasts until now: weights that come into force now did not bring its visitors. Rows across a change of
    weights are left out, because they cannot be compared: see `folded`.
    """
    place = {arm: at for at, arm in enumerate(state.arms)}
    times = [time for time, _ in points]
    mine = [row for row in rows if row.lp_id in place and not _lies_across(row, times)]
    spans = {row.start_s: row.span_s for row in mine}
    starts = sorted(spans)
    line = {start: at for at, start in enumerate(starts)}
    counts = np.zeros((8, len(starts), len(place)), np.int64)
    for row in mine:
        counts[:, line[row.start_s], place[row.lp_id]] += (
            row.pageviews, row.conversions, row.reached(state.goals), row.dead_clicks, row.rage_clicks, row.deep,
            row.dead_squares, row.rage_squares,
        )  # fmt: skip
    views, any_goal, goals, dead, rage, deep, dead_squares, rage_squares = counts
    if 1 < len(state.goals) < len(ALL_GOALS):
        goals = earned(any_goal, goals)  # a pageview with two of several kinds counts once at most
    # a visitor who reaches a goal in the first view need not scroll; a visitor who does both counts twice
    shallow = views - earned(views, deep + any_goal)
    begins, lengths = np.array(starts, np.int64), np.array([spans[start] for start in starts], np.int64)
    ends = begins + lengths
    lasted = np.clip(now_s - begins, 1, lengths)
    weights = in_force(points, begins, lasted) if points else np.full(views.shape, 1 / len(place))
    ended = int(np.searchsorted(ends, now_s, side="right"))
    evidence = Evidence(
        begins, views, earned(views, goals), dead, rage, weights, shallow, dead_squares, rage_squares, ended=ended
    )
    return _with_held(state, _with_changes(evidence, ends, points, now_s) if points else evidence)


def _lies_across(row: PageCounts, times: Sequence[int]) -> bool:
    """Return whether weights change after the row's first minute."""
    return bisect_left(times, row.start_s + row.span_s) > bisect_right(times, row.start_s + MINUTE_S)


def _with_changes(evidence: Evidence, ends_s: Ints, points: Points, now_s: int) -> Evidence:
    """Add how many times the weights have changed since each row.

    A row in which weights change belongs to the new weights, which do not follow from its goals: it had not ended. The
    first weights hold from the first row on. A point of the future is that of a clock that was ahead.
    """
    times = [time for time, _ in points if time <= now_s] or [points[0][0]]
    since = len(times) - np.maximum(np.searchsorted(times, ends_s), 1)
    # at the bound of points, weights stay as they are: the last place is for the experiment's end
    return replace(evidence, changes=since + (len(points) >= MOST_POINTS - 1), current=tuple(points[-1][1]))


def folded(rows: Sequence[PageCounts], points: Points) -> list[PageCounts]:
    """Return the rows, added up by page, hour and weights.

    No row lies across a change of weights, as `Evidence.changes` counts them: arms are compared under equal weights.
    """
    times = [time for time, _ in points]
    parts: dict[tuple[int, int], dict[str, list[PageCounts]]] = {}
    for row in rows:
        part = row.start_s // HOUR_S, bisect_left(times, row.start_s + row.span_s)
        parts.setdefault(part, {}).setdefault(row.lp_id, []).append(row)
    return [added for pages in parts.values() for added in _added(pages)]


def _added(pages: dict[str, list[PageCounts]]) -> list[PageCounts]:
    """Return a row for each page; all rows have the same time."""
    start_s = min(row.start_s for rows in pages.values() for row in rows)
    end_s = max(row.start_s + row.span_s for rows in pages.values() for row in rows)
    return [
        replace(
            rows[0],
            start_s=start_s,
            span_s=end_s - start_s,
            goals={goal: sum(row.goals[goal] for row in rows) for goal in ALL_GOALS},
            **{name: sum(getattr(row, name) for row in rows) for name in SUMS},
        )
        for rows in pages.values()
    ]


def _with_held(state: ExperimentState, evidence: Evidence) -> Evidence:
    """Begin with an empty minute for each arm that cookies of an earlier experiment may name.

    Its visitors come back whatever the weights are, so the weights explain more traffic of these arms.
    """
    held = [at for at, arm in enumerate(state.arms) if arm in state.held]
    if not held:
        return evidence
    none = np.zeros((len(held), len(state.arms)), np.int64)
    begin = evidence.starts_s[0] if len(evidence.starts_s) else state.counted_from_ms // 1000
    changes = evidence.changes
    oldest = changes[0] if changes is not None and len(changes) else 0
    tables = {name: getattr(evidence, name) for name in TABLES}
    added: dict[str, Any] = {name: np.vstack([none, each]) for name, each in tables.items() if each is not None}
    return replace(
        evidence,
        changes=None if changes is None else np.concatenate([np.full(len(held), oldest), changes]),
        ended=None if evidence.ended is None else len(held) + evidence.ended,
        starts_s=np.concatenate([np.full(len(held), begin), evidence.starts_s]),
        weights=np.vstack([np.eye(len(state.arms))[held], evidence.weights]),
        **added,
    )


def earned(pageviews: Ints, conversions: Ints) -> Ints:
    """Return the conversions in rows that have pageviews for them; those without any are dropped.

    A goal may come minutes after its pageview. A goal that a script posts without a visit is one without a pageview.
    """
    excess = np.cumsum((conversions - pageviews)[::-1], axis=0)
    least = np.minimum(np.minimum.accumulate(excess, axis=0), 0)
    waiting = (excess - least)[::-1]  # goals that this row passes on to earlier rows
    later = np.vstack([waiting[1:], np.zeros((min(1, len(waiting)), pageviews.shape[1]), np.int64)])
    moved: Ints = conversions + later - waiting
    return moved


def in_force(points: Points, starts_s: Ints, lengths_s: Ints) -> Floats:
    """Return the mean weights in force from each start for its length: shape (starts, arms)."""
    times = np.array([time for time, _ in points], np.float64)
    weights = np.array([each for _, each in points], np.float64)
    sums = np.vstack([np.zeros(weights.shape[1]), np.cumsum(weights[:-1] * np.diff(times)[:, None], axis=0)])

    def until(moments: Ints) -> Floats:
        at = np.clip(np.searchsorted(times, moments, side="right") - 1, 0, None)
        total: Floats = sums[at] + weights[at] * (moments - times[at])[:, None]
        return total

    means: Floats = (until(starts_s + lengths_s) - until(starts_s)) / lengths_s[:, None]
    shares: Floats = means / means.sum(axis=1, keepdims=True)
    return shares


def with_point(points: Points, time_s: int, weights: list[float]) -> list[tuple[int, list[float]]]:
    """Return the points with new weights, which replace points of the same time and of the future."""
    kept = [point for point in points if point[0] < time_s]
    del kept[1 : len(kept) + 2 - MOST_POINTS]  # after the end of an experiment only: see `_with_changes`
    return [*kept, (time_s, weights)]
