"""Plans in records: a brief is read, not resolved again; plans of older releases get one."""

import json

import pytest
from page_requests import full, least

from processors.pages.brief import brief_of
from processors.pages.copywriting import Whole, messages
from schemas.errors import DecodeError
from schemas.generation import GenerationRequest
from schemas.plan import Plan
from streams.generation.plans import plan_of

MOST_BRIEF_BYTES = 16_384


def plan(request: GenerationRequest) -> Plan:
    return Plan(request=request, brief=brief_of(request), created_ms=1, deadline_ms=2, validate_ms=3, cache="l2")


def in_record(request: GenerationRequest, **changes: object) -> dict[str, object]:
    """Return a plan as a handler reads it from a record."""
    return {**json.loads(plan(request).model_dump_json()), **changes}


def test_a_plan_survives_its_record() -> None:
    assert plan_of(in_record(full())) == plan(full())


def test_a_brief_in_the_record_is_not_resolved_again() -> None:
    brief = {**json.loads(brief_of(least()).model_dump_json()), "template": "beauty", "groups": ["hero", "faq"]}
    read = plan_of(in_record(least(), brief=brief)).brief
    assert (read.template, read.groups, read.trade) == ("beauty", ("hero", "faq"), "restaurant")


@pytest.mark.parametrize("industry", ["ラーメン店", "医療", "EC"])
def test_a_plan_of_an_older_release_gets_its_brief(industry: str) -> None:
    old = in_record(full(industry))
    del old["brief"]
    assert plan_of(old) == plan(full(industry))


def test_a_kind_of_a_later_release_gets_the_words_of_its_trade() -> None:
    """Workers of two releases share the steps of a request while they are updated."""
    brief = brief_of(least("カフェ"))
    later, none = (
        plan_of(in_record(least("カフェ"), brief=brief.model_copy(update={"kind": kind}))).brief
        for kind in ("later", None)
    )
    assert Whole(later).copy({}, {}) == Whole(none).copy({}, {})
    assert messages(later, later.groups[0]) == messages(none, none.groups[0])


@pytest.mark.parametrize("damaged", [None, [], "plan", {}, {"request": {}}, {"brief": {}}])
def test_a_damaged_plan_is_a_decode_error(damaged: object) -> None:
    with pytest.raises(DecodeError):
        plan_of(damaged)


@pytest.mark.parametrize("drawing", ["../../secret", "hero/detail", "a" * 40])
def test_a_drawing_in_a_record_is_a_plain_name(drawing: str) -> None:
    brief = {**json.loads(brief_of(least()).model_dump_json()), "drawings": {"hero": drawing}}
    with pytest.raises(DecodeError):
        plan_of(in_record(least(), brief=brief))


def test_the_brief_of_the_longest_request_is_bounded() -> None:
    # NFKC makes 18 characters of this one, more than of any other
    longest = least("ﷺ" * 50, purpose="ﷺ" * 50, keywords=[chr(0x4E00 + at) + "ﷺ" * 49 for at in range(20)])
    assert len(brief_of(longest).model_dump_json().encode()) < MOST_BRIEF_BYTES
