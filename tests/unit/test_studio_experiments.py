"""Experiments as the studio shows them: reasons in words, numbers, and the drawing of weights."""

import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from markupsafe import escape
from test_experiment_routes import running

from processors.experiments import decisions, learning
from processors.experiments.decisions import obstacle
from processors.experiments.shapes import Evidence
from processors.pictures.words import Language
from processors.studio.experiments import HEIGHT, LETTERS, LINE_H, REASONS, WIDTH, arms_of, days_needed, drawing, reason
from processors.studio.pages import render
from processors.studio.words import WORDS
from schemas.experiments import MOST_POINTS, ExperimentState
from streams.edge.studio.arms import given
from streams.edge.studio.directory import About, Page

ZONE = ZoneInfo("Asia/Tokyo")


@pytest.mark.parametrize(
    ("text", "japanese"),
    [
        ("the experiment has started; each arm gets the same share", "同じ割合"),
        ("each arm needs 100 pageviews before anything is said", "100回"),
        ("arm 1 leads; the difference may still be chance", "「B」が優勢"),
        (
            "arm 1 has more goals a pageview than every other arm: the chance of a wrong winner is at most 5% over all "
            "looks; the decision waits 3.4 days more until a whole week is counted",
            "あと3.4日",
        ),
        ("arm 2 is expected to lose only 0.012% goals a pageview against the best arm", "0.012%"),
        (
            "stopped (mismatch): arm 0 got 60.0% of the pageviews, its weights explain 45.0% to 55.0%: pages or visits "
            "of an arm are lost or counted twice, so no rate can be trusted",
            "「A」の閲覧が全体の60.0%",
        ),
        (
            "stopped (guard): arm 2 has many more rage clicks a pageview than the control: look at its page first",
            "「C」は、連打",
        ),
        ("stopped by a person; the page is itself again", "手動で終了"),
        ("replaced by experiment 5f0c", "切り替わりました"),
        ("not started: arms: demo-b is part of the experiment on demo-x; stop that first", "demo-x のテスト"),
        ("not started: 5000 experiments run already; stop another first", "5000件"),
    ],
)
def test_every_reason_of_the_optimizer_is_said_in_japanese(text: str, japanese: str) -> None:
    told = reason(text, "ja")
    assert told is not None and japanese in told
    assert not re.search(r"[A-Za-z]{3,}", re.sub(r"demo-\w", "", told)), told


def test_reasons_that_the_code_makes_are_known() -> None:
    state = running()
    other = {"demo-x": running(lp_id="demo-x", arms=["demo-x", "demo-b"])}
    command: Any = state
    made = [obstacle(command, other, lambda *_: True), obstacle(command, {}, lambda *_: False)]
    made.append(decisions.begun(command, None, epoch=1, now_ms=1, settle_s=0).reason)
    made.append(learning._collecting(learning.Rules("bandit")))
    shapes: list[dict[str, Any]] = [
        {"pageviews": [400, 100]},
        {"rage": [0, 120]},
        {"dead": [0, 120]},
        {"shallow": [10, 240]},
        {"conversions": [2, 20]},
        {"conversions": [5, 5]},
    ]
    outcomes = [learning.learn(learning.Rules("bandit", loss=0.0), evidence(**shape), 1) for shape in shapes]
    assert {each.verdict for each in outcomes} == {"mismatch", "guard", "running", "winner"}
    assert all(text and reason(text, "ja") for text in [*made, *(each.reason for each in outcomes)]), made


def evidence(minutes: int = 40, **counts: list[int]) -> Evidence:
    """Return as many minutes with the same counts of two arms."""
    names = ("pageviews", "conversions", "dead", "rage", "shallow")
    usual = {"pageviews": [250, 250], "conversions": [5, 5]} | counts
    views, goals, dead, rage, shallow = (np.array([usual.get(name, [0, 0])] * minutes) for name in names)
    return Evidence(np.arange(minutes) * 60, views, goals, dead, rage, np.full((minutes, 2), 0.5), shallow)


def test_an_unknown_reason_is_not_translated_in_part() -> None:
    assert reason("arm 1 leads; the moon is full", "ja") is None
    assert reason("arm 1 leads; the moon is full", "en") == "Arm B leads; the moon is full"
    assert reason("not started: <script>", "ja") is None


def test_rows_have_letters_counts_and_places_on_one_scale() -> None:
    state = running(
        arms=["demo-a", "demo-b"], rates=[[0.03, 0.02, 0.05], [0.04, 0.03, 0.1]], pageviews=[10, 20], conversions=[1, 2]
    )
    first, second = arms_of(state)
    assert (first.letter, first.lp_id, first.pageviews, first.places) == ("A", "demo-a", 10, (30.0, 20.0, 50.0))
    assert (second.letter, second.conversions, second.places) == ("B", 2, (40.0, 30.0, 100.0))
    assert [arm.high for arm in arms_of(running())] == [1.0, 1.0], "a new experiment has no rates"


def test_the_days_until_a_decision_follow_the_pace() -> None:
    day_ms = 86_400_000
    state = running(pageviews=[500, 500], conversions=[1, 2], visits_needed=3_000, counted_from_ms=0)
    assert days_needed(state, day_ms) == pytest.approx(3.0)
    assert days_needed(running(), day_ms) is None and days_needed(state, 0) is None


def test_weights_are_steps_and_labels_do_not_overlap() -> None:
    drawn = drawing([(0, [0.5, 0.5]), (1_800, [0.2, 0.8])], 3_600, ZONE)
    assert drawn is not None
    assert [line.letter for line in drawn.lines] == ["A", "B"]
    assert drawn.lines[0].path == "M44.0 107.0H197.0V165.2H350.0" and drawn.lines[0].last == 0.2
    many = drawing([(0, [1 / 6] * 6)], 60, ZONE)
    assert many is not None
    heights = sorted(line.label_y for line in many.lines)
    assert all(b - a >= LINE_H - 0.01 for a, b in pairwise(heights))
    assert heights[0] >= 0 and heights[-1] <= HEIGHT


def test_no_points_draw_nothing_and_many_stay_inside() -> None:
    assert drawing([], 5, ZONE) is None
    points = [(at, [0.0, 1.0]) for at in range(MOST_POINTS)]
    drawn = drawing(points, 0, ZONE)  # the clock of another machine may be behind
    assert drawn is not None
    numbers = [float(one) for line in drawn.lines for one in re.findall(r"[\d.]+", line.path)]
    assert max(numbers) <= WIDTH


def test_there_is_a_letter_for_each_arm_and_a_place_for_each_value() -> None:
    assert len(LETTERS) == 6
    for pattern, words in REASONS:
        assert set(re.findall(r"\{(\w+)\}", words)) <= set(re.compile(pattern).groupindex)


def test_the_reasons_still_stand_in_the_code() -> None:
    rooms = Path(learning.__file__).parent, Path(learning.__file__).parents[2] / "streams" / "experiments"
    code = " ".join(path.read_text("utf-8") for room in rooms for path in room.glob("*.py"))
    for words in ("leads; the difference may still be chance", "stopped by a person", "replaced by experiment"):
        assert words in code


def rendered(language: Language, state: ExperimentState | None, **values: Any) -> str:
    """Return the page of an experiment, as an operator sees it."""
    visitor = SimpleNamespace(may_look=True, may_ask=True, form_token="t", tenant="demo")
    points = [(0, [0.5, 0.5]), (60, [0.2, 0.8])]
    arms = [] if state is None else [(arm, about("<b>店</b>")) for arm in arms_of(state)]
    usual = {
        "visitor": visitor, "here": "", "files": dict.fromkeys(("css", "js", "icon"), "x"),
        "languages": dict.fromkeys(WORDS, "/studio"), "lp_id": "demo-a", "business": "<b>店</b>", "state": state,
        "waiting": None, "error": "", "refused": None, "form": {}, "arms": arms, "drawing": drawing(points, 90, ZONE),
        "started": "s", "over": "o", "reason": None, "needed": "n", "winner": None, "counted": 5, "maps": [],
        "maps_away": False, "pilot": None, "kind": "click", "device": None, "tabs": [], "devices": [],
    }  # fmt: skip
    return render("experiment", language, **usual | values)


def about(name: str) -> Page:
    return Page(
        "demo-b", datetime(2026, 11, 1, tzinfo=UTC), published=True, about=About(name, None, "r", "demo-a", "copy")
    )


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_page_of_an_experiment_escapes_names_and_reasons(language: Language) -> None:
    html = rendered(language, running(reason="<script>alert(1)</script>"))
    assert "<b>店" not in html and "<script>alert" not in html and "&lt;script&gt;alert" in html
    assert 'class="line arm-B"' in html and "50 % → 20 %" in html
    assert not re.search(r"\bstyle=|\bon\w+=", html)
    assert 'action="/studio/experiments/demo-a/stop"' in html


@pytest.mark.parametrize("language", ["ja", "en"])
def test_an_end_that_shows_an_earlier_winner_says_so_and_can_be_taken_back(language: Language) -> None:
    words = WORDS[language]
    going = rendered(language, running(fallback="demo-b"), shown="B")
    assert words["test_stop_fallback"].format(letter="B") in going and words["test_stop_lead"] not in going
    ended = rendered(language, running(fallback="demo-b", status="stopped"), shown="B")
    assert words["test_fallback_lead"].format(letter="B") in ended and words["test_take_back_do"] in ended
    without = rendered(language, running(status="stopped"), shown="A")
    assert words["test_take_back_do"] not in without


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_form_offers_variants_and_keeps_what_was_ticked(language: Language) -> None:
    form = {
        "obstacle": None, "candidates": [about("凪")], "chosen": ["demo-b"], "winner": "demo-b", "text": '"><script>',
        "goals": [("form", True), ("tel", False)], "policy": "fixed", "experiment_id": "e", "zone": ZONE,
    }  # fmt: skip
    html = rendered(language, None, form=form)
    assert 'name="arm:demo-b" value="on" checked' in html and WORDS[language]["change_copy"] in html
    assert 'name="goal:tel" value="on">' in html and 'value="fixed" checked' in html and '"><script>' not in html
    assert WORDS[language]["start_must"] in html and "data-awaited" not in html
    waiting = rendered(language, None, waiting="test_starting")
    assert "data-awaited" in waiting and "http-equiv" not in waiting and WORDS[language]["test_starting"] in waiting
    for word in ("test_no_page", "test_no_role", "test_is_arm", "test_is_variant"):
        html = rendered(language, None, form={"obstacle": word, "other": "demo-x"})
        assert escape(WORDS[language][word]) in html and "demo-x" in html


@pytest.mark.parametrize(
    ("values", "arms", "goals", "policy"),
    [
        ({}, [], 5, "bandit"),
        ({"arm:demo-b": "on", "goal:tel": "on", "policy": "fixed"}, ["demo-b"], 1, "fixed"),
        ({f"arm:demo-{at}": "on" for at in range(60)}, [f"demo-{at}" for at in range(60)], 5, "bandit"),
        ({"arm:../x": "on", "arm:": "on", "goal:sale": "on", "policy": "<b>"}, [], 5, "bandit"),
    ],
)
def test_unknown_fields_of_the_form_are_left_out(values: Any, arms: list[str], goals: int, policy: str) -> None:
    fields = given(values)
    assert (fields.arms, len(fields.goals), fields.policy) == (arms, goals, policy)
