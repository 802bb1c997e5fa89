"""Variants as the studio shows them: progress, difference and failures, in Japanese."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from variant_pages import asked, copy_of, plan_of, source_of

from processors.pages import designs
from processors.pages.rewriting import rewrite_of
from processors.pages.variants import difference
from processors.studio.pages import render
from processors.studio.variants import DESIGNS, TEXTS, japanese
from processors.studio.words import WORDS
from schemas.errors import DecodeError
from schemas.generation import Result, Timings

ENGLISH = re.compile(r"[A-Za-z]{3,}")
ASKED = [
    ("copy", "faq"),
    ("order", "faq", "testimonials", "price", "problems"),
    ("design",),
    ("call",),
    ("call", "faq"),
    ("copy", "price"),
    ("order", "hero", "faq"),
    ("order", "treatments", "faq"),
    ("order", "solution", "problems"),
    ("call", "benefits", "price"),
]
OTHERS = [
    "the page's call to action, 「電話する」, cannot stand in faq, information",
    "the calls to action: at the end of faq in place of no section",
    "tenant demo has no page demo-a that was made here",
    "the stored source of demo-a cannot be read: copy_: Field required",
    "the parent cannot be read: S3 does not answer",
    "the page could not be stored: S3 does not answer",
    "was used for another request; give each request an id of its own",
    "hero, faq: a provider wrote nearly the parent's text twice; name other sections, or give another brief",
]


def said(change: str, *sections: str) -> str:
    """Return how a variant differs, or why it cannot be made."""
    try:
        plan = plan_of(source_of(), asked(change, *sections))
    except DecodeError as error:
        return error.detail
    found = difference(plan, copy_of(plan))
    assert found is not None
    return found.differs


def refusal() -> str:
    order = rewrite_of(plan_of(source_of(), asked("copy", "faq")))
    assert order is not None
    found = order.refusal(order.copy({}, {"faq": "alike"}), {})
    assert found is not None
    return found.detail


def test_differences_and_failures_are_said_in_japanese() -> None:
    texts = [*(said(*one) for one in ASKED), refusal(), *OTHERS]
    for text in texts:
        told = japanese(text)
        assert told is not None, text
        assert not ENGLISH.search(told.replace("demo-a", "")), told
    assert [pattern for pattern, _ in TEXTS if not any(re.fullmatch(pattern, text) for text in texts)] == []


def test_sections_and_designs_have_the_names_that_people_know() -> None:
    assert DESIGNS.keys() == designs.DESIGNS.keys()
    assert japanese("the text of faq, proof") == "「よくある質問」「お客様の声」の文章"
    assert japanese("the order of sections: faq, proof; before: proof, faq") == (
        "よくある質問 → お客様の声（元のページ：お客様の声 → よくある質問）"
    )
    for odd in ("", "<script>", "the text", "the design: {0.__class__} in place of x"):
        assert japanese(odd) is None
    assert japanese("the text of {0.__class__}") == "「{0.__class__}」の文章"


def rendered(result: Result | None, **values: Any) -> str:
    usual = {
        "visitor": SimpleNamespace(may_look=True, may_ask=True, form_token="t", tenant="demo"), "here": "",
        "files": dict.fromkeys(("css", "js", "icon"), "x"), "languages": dict.fromkeys(WORDS, "/studio"),
        "request_id": "r", "result": result, "percent": 0, "stage": "queued", "stages": ["queued", "preview"], "at": 0,
        "warnings": [], "is_variant": True, "tested_at": "demo-a", "differs": None, "failure": None, "again": None,
    }  # fmt: skip
    return render("request", "ja", **usual | values)


def result_of(**values: Any) -> Result:
    usual = {"request_id": "5d2a4a0e-4d0c-4a0e-9d57-2f5b53a1a111", "tenant_id": "demo", "timings_ms": Timings()}
    return Result.model_validate(usual | values)


def test_a_variant_is_not_called_published() -> None:
    variant = {"of": "demo-w", "change": "copy", "sections": ["faq"], "differs": "the text of faq"}
    done = rendered(result_of(status="completed", lp_id="demo-v", variant=variant), differs="「よくある質問」の文章")
    assert "<title>別案ができました" in done and "公開" not in done and "the text of" not in done
    assert 'href="/studio/experiments/demo-a?arm:demo-v=on#start"' in done
    making = rendered(None)
    assert "<title>別案を作成しています" in making and "公開" not in making and "http-equiv" not in making
    assert "公開" in rendered(None, is_variant=False)


@pytest.mark.parametrize("failure", ["「料金」は書き直せません。", None])
def test_a_variant_that_failed_is_tried_again_by_its_own_form(failure: str | None) -> None:
    error = {"code": "validation", "field": "variant.sections", "detail": "<b> holds facts"}
    html = rendered(result_of(status="rejected", error=error), failure=failure, again="/studio/variants/demo-a")
    assert "<title>別案を作成できませんでした" in html and 'href="/studio/variants/demo-a"' in html
    assert "/studio/new" not in re.findall("<main.*</main>", html, re.DOTALL)[0] and "<b>" not in html
    assert ("holds facts" in html) == (failure is None) and (failure or '<span lang="en">') in html
