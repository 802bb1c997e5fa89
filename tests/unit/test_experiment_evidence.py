"""The evidence of an experiment, from counts by page and time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.experiments.blocks import bounds, cut
from processors.experiments.evidence import earned, evidence_of, folded, in_force, with_point
from processors.experiments.learning import Rules, learn
from schemas.experiments import MOST_POINTS, ExperimentState, Goal, PageCounts

NOW_S = 1_000
ID = "6f1c1f4e-6d2b-4a55-9f5e-0d6b7d0a7c11"


def state(**change: Any) -> ExperimentState:
    values = {
        "experiment_id": ID, "tenant_id": "demo", "lp_id": "demo-a", "arms": ["demo-a", "demo-b"], "requested_ms": 1,
        "epoch": 3, "number": 7, "status": "running", "weights": [0.5, 0.5], "started_ms": 1, "counted_from_ms": 0,
        "decided_ms": 1,
    }  # fmt: skip
    return ExperimentState.model_validate(values | change)


def counts(lp_id: str, start_s: int, pageviews: int, conversions: int = 0, **goals: int) -> PageCounts:
    kinds = {goal: goals.get(goal.value, 0) for goal in Goal}
    return PageCounts(lp_id, start_s, 60, pageviews, conversions, kinds, dead_clicks=1, rage_clicks=0)


def test_counts_stand_in_the_rows_of_their_minutes() -> None:
    rows = [counts("demo-b", 120, 7, 2), counts("demo-a", 60, 5, 1), counts("demo-a", 120, 3), counts("other", 180, 9)]
    evidence = evidence_of(state(), rows, [(0, [0.5, 0.5])], NOW_S)
    assert evidence.starts_s.tolist() == [60, 120]
    assert evidence.pageviews.tolist() == [[5, 0], [3, 7]]
    assert evidence.conversions.tolist() == [[1, 0], [0, 2]]
    assert evidence.dead_clicks.tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("goals", "reached"),
    [(list(Goal), 4), (["tel"], 3), (["form", "tel"], 4), (["mail"], 0), (["form", "mail"], 2)],
)
def test_a_pageview_counts_once_for_the_chosen_goals(goals: list[Goal], reached: int) -> None:
    row = counts("demo-a", 0, 9, conversions=4, form=2, tel=3)
    assert evidence_of(state(goals=goals), [row], [(0, [0.5, 0.5])], NOW_S).conversions.tolist() == [[reached, 0]]


@pytest.mark.parametrize(
    ("goals", "reached"), [(["form"], 3), (["tel"], 3), (["form", "mail"], 3), (["form", "tel"], 3), (list(Goal), 3)]
)
def test_a_goal_counts_also_after_another_goal_of_its_pageview(goals: list[str], reached: int) -> None:
    """Three visitors tap the telephone link, and send the form a minute or an hour later."""
    for later_s in (60, 3_600):
        rows = [counts("demo-a", 0, 3, conversions=3, tel=3), counts("demo-a", later_s, 0, form=3)]
        for some in (rows, folded(rows, [])):
            evidence = evidence_of(state(goals=goals), some, [(0, [0.5, 0.5])], 9_000)
            assert evidence.conversions.sum() == reached


def test_goals_after_the_minute_of_their_pageview_count_there() -> None:
    pageviews, conversions = np.array([[2, 0], [0, 5], [1, 0]]), np.array([[0, 1], [1, 2], [2, 0]])
    assert earned(pageviews, conversions).tolist() == [[2, 0], [0, 2], [1, 0]]


def test_pageviews_without_depth_or_goal_are_shallow() -> None:
    def row(lp_id: str, start_s: int, pageviews: int, goals: int, deep: int) -> PageCounts:
        return replace(counts(lp_id, start_s, pageviews, goals), deep=deep)

    rows = [row("demo-a", 60, 10, 1, 4), row("demo-b", 60, 10, 0, 0), row("demo-a", 120, 0, 0, 2)]
    shallow = evidence_of(state(), rows, [(0, [0.5, 0.5])], NOW_S).shallow
    assert shallow is not None and shallow.tolist() == [[3, 10], [0, 0]], "depth of a later minute is its pageview's"
    held = evidence_of(state(held=["demo-b"]), rows, [(0, [0.5, 0.5])], NOW_S).shallow
    assert held is not None and held.tolist() == [[0, 0], [3, 10], [0, 0]]


def test_squares_of_clicks_stand_in_the_rows_of_their_minutes() -> None:
    rows = [replace(counts(arm, 60, 5), dead_squares=9, rage_squares=4) for arm in ("demo-a", "demo-b")]
    for held, above in (([], []), (["demo-a"], [[0, 0]])):
        evidence = evidence_of(state(held=held), rows[:1], [(0, [0.5, 0.5])], NOW_S)
        assert evidence.dead_squares is not None and evidence.dead_squares.tolist() == [*above, [9, 0]]
        assert evidence.rage_squares is not None and evidence.rage_squares.tolist() == [*above, [4, 0]]


def test_a_script_cannot_make_shallow_pageviews_negative() -> None:
    odd = replace(counts("demo-a", 60, 3, 9), deep=99)
    shallow = evidence_of(state(), [odd], [(0, [0.5, 0.5])], NOW_S).shallow
    assert shallow is not None and shallow.tolist() == [[0, 0]]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_goals_without_a_visit_never_exceed_the_pageviews(rows: list[tuple[int, int]]) -> None:
    pageviews = np.array([[views] for views, _ in rows], np.int64).reshape(-1, 1)
    conversions = np.array([[goals] for _, goals in rows], np.int64).reshape(-1, 1)
    moved = earned(pageviews, conversions)
    assert (moved >= 0).all() and (moved <= pageviews).all()
    assert moved.sum() <= conversions.sum()
    if (conversions.cumsum() <= pageviews.cumsum()).all():
        assert moved.sum() == conversions.sum()


def test_weights_in_force_are_means_over_the_time_of_a_row() -> None:
    points = [(100, [0.5, 0.5]), (130, [0.2, 0.8])]
    means = in_force(points, np.array([60, 100, 160]), np.array([60, 60, 60]))
    assert means.round(3).tolist() == [[0.5, 0.5], [0.35, 0.65], [0.2, 0.8]]


def test_weights_that_begin_now_are_not_those_of_the_minute() -> None:
    points = [(0, [0.5, 0.5]), (90, [0.1, 0.9])]
    assert evidence_of(state(), [counts("demo-a", 60, 5)], points, 90).weights.tolist() == [[0.5, 0.5]]


def test_a_row_belongs_to_the_weights_that_do_not_follow_from_it() -> None:
    points = [(0, [0.5, 0.5]), (61, [0.4, 0.6]), (170, [0.3, 0.7])]
    rows = [counts("demo-a", start_s, 5) for start_s in (0, 60, 120, 180)]
    evidence = evidence_of(state(), rows, points, 200)
    assert evidence.changes is not None and evidence.changes.tolist() == [2, 1, 0, 0]
    assert (evidence.ended, evidence.current) == (3, (0.3, 0.7)), "the last row has not ended"
    held = evidence_of(state(held=["demo-a"]), rows, points, 200)
    assert held.changes is not None and held.changes.tolist() == [2, 2, 1, 0, 0] and held.ended == 4
    before = evidence_of(state(), rows, [(300, [0.5, 0.5])], 200).changes
    assert before is not None and before.tolist() == [0, 0, 0, 0], "a clock was ahead"


def test_rows_are_added_up_by_hour_and_weights() -> None:
    points = [(0, [0.5, 0.5]), (121, [0.4, 0.6])]
    rows = [
        replace(counts(arm, 60 * minute, 2, 1, tel=1), deep=1, dead_squares=3)
        for minute in (0, 1, 2, 59, 60) for arm in ("demo-a", "demo-b") if (minute, arm) != (0, "demo-b")
    ]  # fmt: skip
    added = folded(rows, points)
    assert [(row.lp_id, row.start_s, row.span_s, row.pageviews) for row in added] == [
        ("demo-a", 0, 120, 4), ("demo-b", 0, 120, 2), ("demo-a", 120, 3_480, 4), ("demo-b", 120, 3_480, 4),
        ("demo-a", 3_600, 60, 2), ("demo-b", 3_600, 60, 2),
    ]  # fmt: skip
    assert (added[0].goals[Goal.TEL], added[0].deep, added[0].dead_squares, added[0].dead_clicks) == (2, 2, 6, 2)
    before, after = (evidence_of(state(), each, points, 9_000) for each in (rows, added))
    assert before.pageviews.sum(axis=0).tolist() == after.pageviews.sum(axis=0).tolist()
    assert after.weights.round(2).tolist()[-1] == [0.4, 0.6]


def test_a_burst_in_an_hour_of_moving_weights_is_no_mismatch() -> None:
    """Weights are 50 % for most of the hour and for none of its visitors."""
    points = [(0, [0.5, 0.5]), (121, [0.1, 0.9]), (241, [0.5, 0.5])]
    rows = [counts(arm, 60 * at, views) for at in (2, 3) for arm, views in (("demo-a", 200), ("demo-b", 1_800))]
    rows += [counts(arm, 60, 2) for arm in ("demo-a", "demo-b")]
    for some in (rows, folded(rows, points), hour := folded(rows, [])):
        assert learn(Rules("bandit"), evidence_of(state(), some, points, 9_000), 1).verdict == "running"
    assert not evidence_of(state(), hour, points, 9_000).pageviews.any(), "arms cannot be compared in such a row"


def test_late_beacons_move_no_weights_until_a_block_has_ended_under_them() -> None:
    points = [(0, [0.5, 0.5]), (121, [0.3, 0.7])]
    rows = [counts(arm, 60, 200, goals) for arm, goals in (("demo-a", 9), ("demo-b", 20))]
    for late in ([], [counts("demo-a", 60, 40, 30)]):
        assert learn(Rules("bandit"), evidence_of(state(), [*rows, *late], points, 500), 1).weights == (0.3, 0.7)
    more = [counts(arm, 180, 60, 6) for arm in ("demo-a", "demo-b")]
    assert learn(Rules("bandit"), evidence_of(state(), [*rows, *more], points, 500), 1).weights != (0.3, 0.7)
    assert learn(Rules("bandit"), evidence_of(state(), [*rows, *more], points, 200), 1).weights == (0.3, 0.7), "it runs"


def test_a_change_of_weights_ends_a_block() -> None:
    points = [(0, [0.5, 0.5]), (121, [0.3, 0.7])]
    rows = [counts("demo-a", 60 * minute, 60) for minute in range(1, 7)]
    blocks = cut(evidence_of(state(), rows, points, 9_000), 0.5)
    assert blocks.starts_s.tolist() == [60, 120, 180, 300] and blocks.pageviews[:, 0].tolist() == [60, 60, 120, 60]
    empty = [counts("demo-a", 60, 120), counts("demo-a", 120, 0), counts("demo-a", 180, 120)]
    twice = [*points, (181, [0.2, 0.8])]
    assert cut(evidence_of(state(), empty, twice, 9_000), 0.5).pageviews[:, 0].tolist() == [120, 120]


def test_weights_stay_at_the_bound_of_their_record() -> None:
    assert len(bounds(10**10)) < MOST_POINTS - 1
    points = [(at, [0.5, 0.5]) for at in range(MOST_POINTS - 1)]
    full = evidence_of(state(), [counts("demo-a", 9_000, 500)], points, 90_000)
    assert full.changes is not None and full.changes.tolist() == [1]


def test_weights_are_equal_before_any_is_known() -> None:
    assert evidence_of(state(), [counts("demo-a", 60, 5)], [], NOW_S).weights.tolist() == [[0.5, 0.5]]


def test_visitors_of_an_earlier_experiment_are_explained() -> None:
    evidence = evidence_of(state(held=["demo-a"]), [counts("demo-a", 60, 5)], [(0, [0.5, 0.5])], NOW_S)
    assert evidence.weights.tolist() == [[1.0, 0.0], [0.5, 0.5]]
    assert evidence.pageviews.tolist() == [[0, 0], [5, 0]]
    assert len(evidence_of(state(held=["demo-a"]), [], [], NOW_S).starts_s) == 1


def test_visitors_who_keep_an_earlier_arm_are_no_mismatch() -> None:
    rows = [counts(arm, 60 * minute, views) for minute in range(300) for arm, views in (("demo-a", 4), ("demo-b", 6))]
    verdicts = [
        learn(Rules("bandit"), evidence_of(state(held=held), rows, [(0, [0.5, 0.5])], 18_000), 1).verdict
        for held in ([], ["demo-a"], ["demo-b"], ["demo-a", "demo-b"])
    ]
    assert verdicts == ["mismatch", "mismatch", "running", "running"]


def test_past_weights_stay_within_their_bound() -> None:
    points: list[tuple[int, list[float]]] = []
    for time_s in range(3 * MOST_POINTS):
        points = with_point(points, time_s, [0.5, 0.5])
    assert len(points) <= MOST_POINTS
    assert points[-1][0] == 3 * MOST_POINTS - 1 and points[0][0] == 0
    assert [time for time, _ in points] == sorted({time for time, _ in points})


def test_weights_of_the_same_second_replace_each_other() -> None:
    assert with_point([(5, [0.5, 0.5])], 5, [0.1, 0.9]) == [(5, [0.1, 0.9])]
