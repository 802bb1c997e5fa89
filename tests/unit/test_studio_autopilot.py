"""Autopilot as the studio shows it: its reasons and its findings in words."""

import re
from typing import get_args

import pytest
from test_autopilot import (
    NOW,
    asked,
    experiment,
    finding,
    go,
    on,
    order,
    ready,
    result,
    under_test,
)

from processors.experiments.asking import key_of
from processors.experiments.autopilot import ANSWER_MS, WEEK_MS, Facts, step_after
from processors.findings.looks import CHANGES, Kind
from processors.studio.autopilot import FINDINGS, REASONS, about
from processors.studio.experiments import reason
from schemas.autopilot import AutopilotState
from schemas.generation import Failure

LATE = "no decision within 30 days; the earlier winner is the page again"
DIFFERENCES = {
    "copy": "the text of hero, faq",
    "order": "the order of sections: faq, flow; before: flow, faq",
    "design": "the design: ink in place of paper",
    "call": "the words of the calls to action: 「予約」 in place of 「相談」",
    "place": "the calls to action: at the end of faq in place of flow",
}


def told(state: AutopilotState | None, command: str) -> str:
    """Return the reason after a person's order."""
    step = step_after(order(command), state, Facts(), epoch=1, now_ms=NOW)
    assert step is not None
    return step.state.reason


def reasons() -> list[str]:
    """Return all reasons that autopilot gives."""
    new, waits, made, testing = on(), ready(approval=True), ready(), under_test()
    others = {"copy": "section_left", "order": "page_too_long", "design": "dead_clicks", "call": "read_not_clicked"}
    findings = [finding(kind, None, change) for change, kind in others.items()]
    tried = new.model_copy(update={"tried": [key_of(findings[0])]})
    full = new.model_copy(update={"asked_ms": [NOW] * 3})
    seen = [
        (new, Facts(page=False)),
        (new, Facts(experiment=experiment())),
        (new, Facts(elsewhere="demo-x")),
        (full, Facts()),
        (new, Facts(left=0)),
        (tried, Facts(findings=findings[:1])),
        (new, Facts(findings=[])),
        *((new, Facts(findings=[one])) for one in findings),
        (made, Facts(obstacle=lambda _: "5000 experiments run already; stop another first")),
        (made, Facts(variant=False)),
        (made, Facts()),
        (waits.model_copy(update={"approval": False}), Facts()),
        (testing, Facts(experiment=experiment())),
        (testing, Facts(experiment=experiment(testing, "stopped", reason="stopped by a person; the page is itself"))),
        (testing, Facts(experiment=experiment(testing, "decided", winner="demo-v"))),
        (testing, Facts(experiment=experiment(testing, "decided", winner="demo-a"))),
    ]
    found = [go(state, each).state.reason for state, each in seen]
    one = asked()
    refusal = Failure(code="variant_like_parent", detail="nearly the parent's; asked again; refused").model_dump()
    found += [go(one, Facts(result=result(one, "rejected", error=refusal))).state.reason]
    found += [go(one.model_copy(update={"asked_ms": [NOW] * 3}), Facts(result=result(one, "failed"))).state.reason]
    found += [go(one, Facts(), ANSWER_MS + 1).state.reason]
    for approval in (True, False):
        one = asked(approval=approval)
        for differs in DIFFERENCES.values():
            variant = {"of": "demo-a", "change": "copy", "sections": [], "differs": differs}
            found.append(go(one, Facts(result=result(one, variant=variant))).state.reason)
    started = go(made, Facts(experiment=experiment(testing))).state.reason
    late = go(testing, Facts(experiment=experiment(testing, "stopped", reason=LATE))).state.reason
    rested = go(testing.model_copy(update={"step": "resting"}), Facts(), WEEK_MS + 1).state.reason
    orders = [told(new, "off"), told(new, "approve"), told(waits, "approve"), told(waits, "reject")]
    return [*found, made.reason, waits.reason, started, late, rested, new.reason, *orders]


def test_every_reason_of_autopilot_is_said_in_japanese() -> None:
    for text in reasons():
        japanese = reason(text, "ja")
        assert japanese is not None, text
        assert not re.search(r"[A-Za-z]{3,}", re.sub(r"demo-\w", "", japanese)), japanese


def test_autopilot_gives_each_reason_that_has_a_translation() -> None:
    given = reasons()
    assert [pattern for pattern, _ in REASONS if not any(re.fullmatch(pattern, text) for text in given)] == []


@pytest.mark.parametrize(
    ("text", "japanese"),
    [
        ("the variant is made: the text of hero; it waits for a person", "変えた点：文章）"),
        ("asked for a variant (call) because of call_too_low in hero (mobile)", "別案（ボタン）"),
        ("the experiment has ended: stopped by a person; x; autopilot rests for a week", "手動で終了"),
        ("no variant was made: one\ntwo; asked again; autopilot takes the next finding", "作成できませんでした"),
        ("the experiment cannot start: demo-b is odd", None),
        ("the variant is made: <script>", None),
    ],
)
def test_a_reason_says_what_differs_and_why(text: str, japanese: str | None) -> None:
    told_ja = reason(text, "ja")
    assert told_ja is None if japanese is None else told_ja is not None and japanese in told_ja


def test_a_finding_has_english_words_for_each_kind() -> None:
    assert FINDINGS.keys() == set(get_args(Kind))
    for kind, change in CHANGES.items():
        text = about(key_of(finding(kind, "testimonials", change)), "en")
        assert text == f"{FINDINGS[kind]}: the testimonials (mobile)."
    assert about(key_of(finding("page_too_long", None, "order")), "en").endswith(": the page (mobile).")


@pytest.mark.parametrize("odd", ["", "x", "moon_is_full in hero (mobile)", "dead_clicks in <b> (mobile)"])
def test_an_unknown_finding_has_no_words(odd: str) -> None:
    assert about(odd, "en") == about("dead_clicks in hero (mobile)", "ja") == ""
