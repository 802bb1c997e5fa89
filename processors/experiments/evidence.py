"""The evidence of an experiment: counts of its arms by time, and the weights that were in force."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from processors.experiments.shapes import Evidence, Floats, Ints
from schemas.experiments import MOST_POINTS, ExperimentState, PageCounts

Points = Sequence[tuple[int, list[float]]]
TABLES = ("pageviews", "conversions", "dead_clicks", "rage_clicks", "shallow", "dead_squares", "rage_squares")


def evidence_of(state: ExperimentState, rows: Sequence[PageCounts], points: Points, now_s: int) -> Evidence:
    """Return the evidence of the rows of an experiment's arms, for `points` of its past weights.

    The last row lasts until now: weights that come into force now did not bring its visitors.
    """
    place = {arm: at for at, arm in enumerate(state.arms)}
    spans = {row.start_s: row.span_s for row in rows if row.lp_id in place}
    starts = sorted(spans)
    line = {start: at for at, start in enumerate(starts)}
    counts = np.zeros((7, len(starts), len(place)), np.int64)
    for row in rows:
        if row.lp_id in place:
            counts[:, line[row.start_s], place[row.lp_id]] += (
                row.pageviews, row.reached(state.goals), row.dead_clicks, row.rage_clicks, row.deep + row.conversions,
                row.dead_squares, row.rage_squares,
            )  # fmt: skip
    begins = np.array(starts, np.int64)
    lengths = np.array([min(spans[start], max(1, now_s - start)) for start in starts], np.int64)
    weights = in_force(points, begins, lengths) if points else np.full(counts.shape[1:], 1 / len(place))
    views, goals, dead, rage, satisfied, *squares = counts
    # a visitor who reaches a goal in the first view need not scroll; a visitor who does both counts twice
    shallow = views - earned(views, satisfied)
    return _with_held(state, Evidence(begins, views, earned(views, goals), dead, rage, weights, shallow, *squares))


def _with_held(state: ExperimentState, evidence: Evidence) -> Evidence:
    """Begin with an empty minute for each arm that cookies of an earlier experiment may name.

    Its visitors come back whatever the weights are, so the weights explain more traffic of these arms.
    """
    held = [at for at, arm in enumerate(state.arms) if arm in state.held]
    if not held:
        return evidence
    none = np.zeros((len(held), len(state.arms)), np.int64)
    begin = evidence.starts_s[0] if len(evidence.starts_s) else state.counted_from_ms // 1000
    tables = {name: getattr(evidence, name) for name in TABLES}
    return replace(
        evidence,
        starts_s=np.concatenate([np.full(len(held), begin), evidence.starts_s]),
        weights=np.vstack([np.eye(len(state.arms))[held], evidence.weights]),
        **{name: np.vstack([none, table]) for name, table in tables.items() if table is not None},
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
    """Return the points with new weights. Above MOST_POINTS, every second point of the older half goes."""
    kept = [point for point in points if point[0] < time_s]
    if len(kept) >= MOST_POINTS:
        half = MOST_POINTS // 2
        kept = kept[:half:2] + kept[half:]
    return [*kept, (time_s, weights)]
