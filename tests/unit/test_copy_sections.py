"""Built-in copy stands only for the sections that no model wrote lawfully in time."""

import json
import time
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from page_requests import least

from infra.llm.call_log import CallLog
from infra.llm.router import NoAnswer, Question
from infra.redis.budget import Caps, Payer
from processors.pages.brief import brief_of
from processors.pages.copywriting import Unusable, parse, template_part
from schemas.copywriting import Copy
from schemas.generation import Attempt
from streams.generation.copywriting import Copywriter, Draft, Order, _written

BRIEF = brief_of(least(purpose="予約"))
LAWFUL = {
    "hero": {
        "catch": "夜ふけに、湯気のごちそう",
        "lead": "仕事帰りの体に、あたたかい一杯をお出しします。",
        "call": "お店を見る",
    },
    "closing": {"heading": "今夜の一杯を、どうぞ", "text": "のれんをくぐって、ゆっくりお過ごしください。"},
}
FORBIDDEN = {"heading": "日本一の味を、必ずお約束", "text": "どの店よりもおいしい、業界No.1の一杯です。"}


class Model:
    """A model that gives these answers to the hero's group, in turn, and built-in words to all others."""

    configured = True

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)

    async def ask(self, question: Question) -> str:
        group = "hero" if "catch" in json.dumps(question.schema) else ""
        name = group or next(
            name
            for name in BRIEF.groups
            if all(each in json.dumps(question.schema) for each in template_part(BRIEF, name))
        )
        answer = self._answers.pop(0) if group else template_part(BRIEF, name)
        if answer is None:
            raise NoAnswer("out_of_time")
        question.trail.attempts.append(Attempt(provider="p", model="m", outcome="ok", total_ms=1))
        return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)


async def drafted(*answers: Any, within_s: float = 5) -> Draft:
    """Write a page's copy with these answers for the hero's group."""

    async def nothing(*_: object, **__: object) -> None:
        return None

    store = cast(Any, SimpleNamespace(put=nothing, store=nothing, refuse=nothing, finish_part=nothing))
    writer = Copywriter({"fast": cast(Any, Model(*answers))}, store, store, store, Payer("t", "x", Caps(1, 1, 1)))
    order = Order(BRIEF, Payer("t", "x", Caps(1, 1, 1)), UUID(int=1), time.monotonic() + within_s)
    draft = await writer._draft(order, CallLog())
    await writer.settle_down()
    return draft


def copy_of(draft: Draft) -> Copy:
    return _written(Order(BRIEF, Payer("t", "x", Caps(1, 1, 1)), UUID(int=1), 0.0), draft).copy


def details(draft: Draft) -> list[str]:
    order = Order(BRIEF, Payer("t", "x", Caps(1, 1, 1)), UUID(int=1), 0.0)
    return [warning.detail for warning in _written(order, draft).warnings]


def test_an_answer_with_one_forbidden_section_gives_the_other() -> None:
    with pytest.raises(Unusable) as refused:
        parse(BRIEF.fields, "hero", json.dumps({**LAWFUL, "closing": FORBIDDEN}, ensure_ascii=False))
    assert refused.value.usable.keys() == {"hero"} and refused.value.field.startswith("closing.")


@pytest.mark.parametrize(
    "closing", [None, {"heading": "短"}, "こんにちは", {"heading": "Best in town", "text": "Come and see."}]
)
def test_a_section_of_the_wrong_form_leaves_the_other_usable(closing: object) -> None:
    with pytest.raises(Unusable) as refused:
        parse(BRIEF.fields, "hero", json.dumps({"hero": LAWFUL["hero"], "closing": closing}, ensure_ascii=False))
    assert refused.value.usable.keys() == {"hero"}


async def test_only_the_section_that_stays_forbidden_is_built_in() -> None:
    draft = await drafted({**LAWFUL, "closing": FORBIDDEN}, {**LAWFUL, "closing": FORBIDDEN})
    assert copy_of(draft).hero.catch == LAWFUL["hero"]["catch"]
    assert copy_of(draft).closing.model_dump() == template_part(BRIEF, "hero")["closing"]
    assert details(draft) == ["built-in copy for closing: the provider's answer was invalid"]
    assert [each.outcome for each in draft.trail.attempts if each.outcome != "ok"] == ["invalid: closing.heading"] * 2


async def test_sections_of_two_answers_make_a_whole_one() -> None:
    draft = await drafted({**LAWFUL, "closing": FORBIDDEN}, {"hero": {"catch": "短"}, "closing": LAWFUL["closing"]})
    assert copy_of(draft).hero.catch == LAWFUL["hero"]["catch"]
    assert copy_of(draft).closing.heading == LAWFUL["closing"]["heading"] and details(draft) == []


async def test_a_section_stays_if_there_is_no_time_to_ask_again() -> None:
    draft = await drafted({**LAWFUL, "closing": FORBIDDEN}, within_s=1)
    assert copy_of(draft).hero.catch == LAWFUL["hero"]["catch"]
    assert details(draft) == ["built-in copy for closing: the provider's answer was invalid"]


async def test_a_section_stays_if_the_second_call_fails() -> None:
    draft = await drafted({**LAWFUL, "closing": FORBIDDEN}, None)
    assert copy_of(draft).hero.catch == LAWFUL["hero"]["catch"]
    assert details(draft) == ["built-in copy for closing: no time was left"]


async def test_a_group_without_any_usable_section_is_built_in() -> None:
    draft = await drafted("no JSON", "no JSON")
    assert copy_of(draft).hero.model_dump() == template_part(BRIEF, "hero")["hero"]
    assert details(draft) == ["built-in copy for hero, closing: the provider's answer was invalid"]
