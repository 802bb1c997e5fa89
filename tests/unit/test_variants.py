"""A variant differs from its parent in one thing, and its result names this thing."""

import re
from typing import Any, get_args
from uuid import UUID

import pytest
from page_requests import HOSTILE, INDUSTRIES, PURPOSES, full, least
from typer.testing import CliRunner
from variant_pages import OF, PARENT, asked, copy_of, html_of, made_from, plan_of, source_of

from processors.pages.brief import brief_of_page
from processors.pages.variants import difference
from schemas.codec import decode_request
from schemas.errors import DecodeError, LpstreamError
from schemas.generation import GenerationRequest, SectionName, VariantRequest, encode_model, model_from_object
from schemas.plan import Source
from schemas.sections import SECTIONS
from streams.__main__ import app

SECTION = re.compile(r"<section.*?</section>", re.DOTALL)
NAME = re.compile(r'data-section=["\']?([a-z]+)')
CALLS = re.compile(r"<p class=calls>.*?</p>|<a class=bar-call.*?</a>", re.DOTALL)


def pages(parent: Source, request: VariantRequest) -> tuple[str, str, Any]:
    """Return the HTML of parent and variant, and what the result says."""
    plan = plan_of(parent, request)
    copy = copy_of(plan)
    variant = made_from(plan, copy)
    assert brief_of_page(variant) == plan.brief
    return html_of(parent, brief_of_page(parent)), html_of(variant, plan.brief), difference(plan, copy)


def sections(html: str) -> dict[str, str]:
    return {match[1]: part for part in SECTION.findall(html) if (match := NAME.search(part))}


def without_head(html: str) -> str:
    return html.partition("<body")[2]


@pytest.mark.parametrize("name", ["hero", "faq", "problems", "benefits", "solution", "closing"])
def test_a_copy_variant_changes_the_named_section_alone(name: str) -> None:
    before, after, said = pages(source_of(), asked("copy", name))
    old, new = sections(before), sections(after)
    assert list(old) == list(new) and [part for part in old if old[part] != new[part]] == [name]
    assert SECTION.sub("", without_head(before)) == SECTION.sub("", without_head(after))
    assert (said.of, said.change, said.sections, said.differs) == (OF, "copy", [name], f"the text of {name}")


@pytest.mark.parametrize("named", [("faq", "problems"), ("benefits", "faq", "testimonials", "price"), ()])
def test_an_order_variant_changes_the_order_alone(named: tuple[str, ...]) -> None:
    before, after, said = pages(source_of(), asked("order", *named))
    old, new = sections(before), sections(after)
    assert old == new and list(old) != list(new)
    assert next(iter(new)) == "hero" and list(new)[-1] == "closing"
    if named:
        assert [name for name in new if name in named] == list(named)
        assert [name for name in new if name not in named] == [name for name in old if name not in named]
    assert said.sections and said.differs.startswith("the order of sections: ")


@pytest.mark.parametrize("industry", INDUSTRIES.values())
def test_a_design_variant_has_another_look_and_the_same_words(industry: str) -> None:
    for number in (0, 1, 5):
        before, after, said = pages(source_of(full(industry)), asked("design", number=number))
        styles = [re.findall(r"<style>.*?</style>", html, re.DOTALL) for html in (before, after)]
        assert styles[0] != styles[1] and said.sections == [] and " in place of " in said.differs
        texts = [{name: text_of(part) for name, part in sections(html).items()} for html in (before, after)]
        assert texts[0] == texts[1] and list(texts[0]) == list(texts[1])
        types = [re.findall(r'"@type": ?"(\w+)"', html) for html in (before, after)]
        assert types[0] == types[1]


def text_of(part: str) -> str:
    """Return the text of a section. Numerals before its points belong to the look."""
    part = re.sub(r"<span[^>]*class=no\b[^>]*>.*?</span>", "", part)
    return re.sub(r"<[^>]+>|[\s\u2060]", "", part)


@pytest.mark.parametrize("business", [
    {"name": "x", "form_url": "https://x.test/f"}, {"name": "x", "phone": "03-0000-0000"}, {"name": "x", "url": "https://lin.ee/x"},
    {"name": "x", "url": "https://x.test"}, {"name": "x", "address": "東京都"}, {"name": "x"},
])  # fmt: skip
@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_call_variant_changes_the_words_of_the_calls_alone(business: dict[str, str], purpose: str) -> None:
    parent = source_of(least(business=business, purpose=purpose))
    before, after, said = pages(parent, asked("call"))
    assert CALLS.sub("", before) == CALLS.sub("", after) and before != after
    assert said.sections == [] and said.differs.startswith("the words of the calls to action: ")


def test_a_call_variant_moves_the_calls() -> None:
    before, after, said = pages(source_of(), asked("call", "solution", "faq"))
    calls = [[name for name, part in sections(html).items() if f"{name}-call" in part] for html in (before, after)]
    assert calls == [["hero", "price", "benefits"], ["hero", "solution", "faq"]]
    assert CALLS.sub("", before) == CALLS.sub("", after) and said.sections == ["solution", "faq"]
    assert said.differs == "the calls to action: at the end of solution, faq in place of price, benefits"


def test_a_variant_of_a_variant_keeps_what_its_parent_changed() -> None:
    parent = source_of()
    for number, request in enumerate(
        [asked("order", "faq", "problems"), asked("copy", "hero"), asked("design"), asked("call", "faq"), asked("call")]
    ):
        before, after, _ = pages(parent, request)
        assert before != after, number
        plan = plan_of(parent, request)
        parent = made_from(plan, copy_of(plan))
    first, last = html_of(source_of(), brief_of_page(source_of())), html_of(parent, brief_of_page(parent))
    order = list(sections(last))
    assert order.index("faq") < order.index("problems") and "faq-call" in last
    assert sections(first)["hero"] != sections(last)["hero"] and parent.template != source_of().template


def test_the_same_request_makes_the_same_variant() -> None:
    for change in ("copy", "order", "design", "call"):
        plans = [plan_of(source_of(), asked(change, number=3)) for _ in range(2)]
        assert plans[0] == plans[1] and copy_of(plans[0]) == copy_of(plans[1])
    heroes = {copy_of(plan_of(source_of(), asked("copy", "hero", number=number))).hero.catch for number in range(20)}
    assert len(heroes) >= 2


@pytest.mark.parametrize(("request_", "field", "words"), [
    (asked("copy", "price"), "variant.sections", "price holds facts"),
    (asked("copy", "flow"), "variant.sections", "flow"),
    (asked("order", "hero", "faq"), "variant.sections", "hero keeps its place"),
    (asked("order", "treatments", "faq"), "variant.sections", "no section treatments"),
    (asked("order", "solution", "problems"), "variant.sections", "order that the page has"),
    (asked("call", "closing"), "variant.sections", "closing keeps its place"),
    (asked("call", "benefits", "price"), "variant.sections", "already end"),
    (asked("call", "treatments"), "variant.sections", "no section treatments"),
    (asked("copy", industry="美容"), "industry", "differs from that of"),
    (asked("copy", business={"name": "別の店"}), "business", "differs from that of"),
    (asked("copy", keywords="x"), "keywords", "list"),
    (asked("copy", request_id=str(PARENT)), "request_id", "of its own"),
])  # fmt: skip
def test_a_request_that_cannot_be_carried_out_names_its_field(request_: VariantRequest, field: str, words: str) -> None:
    with pytest.raises(DecodeError) as error:
        plan_of(source_of(), request_)
    assert error.value.field == field and words in error.value.detail


@pytest.mark.parametrize(("variant", "field"), [
    ({"change": "copy"}, "variant.of"),
    ({"of": "../x", "change": "copy"}, "variant.of"),
    ({"of": OF, "change": "colour"}, "variant.change"),
    ({"of": OF, "change": "design", "sections": ["hero"]}, "variant.sections"),
    ({"of": OF, "change": "order", "sections": ["faq"]}, "variant.sections"),
    ({"of": OF, "change": "copy", "sections": ["faq", "faq"]}, "variant.sections"),
    ({"of": OF, "change": "copy", "sections": ["footer"]}, "variant.sections.0"),
    ({"of": OF, "change": "copy", "sections": ["hero"] * 12}, "variant.sections"),
    ({"of": OF, "change": "copy", "brief": "x" * 10_240}, "variant.brief"),
    ("copy", "variant"),
])  # fmt: skip
def test_an_invalid_variant_names_its_field(variant: Any, field: str) -> None:
    body = {"request_id": str(UUID(int=2)), "tenant_id": "t1", "variant": variant}
    with pytest.raises(DecodeError) as error:
        model_from_object(VariantRequest, body)
    assert error.value.field == field


def test_fields_that_equal_the_parents_are_no_contradiction() -> None:
    parent = source_of()
    fields = parent.request.model_dump(mode="json", exclude={"request_id", "tenant_id", "variant", "door"})
    plan = plan_of(parent, asked("copy", "hero", **fields, unknown=1))
    assert plan.request.business == parent.request.business


def test_a_request_with_a_variant_is_read_as_one_and_others_as_before() -> None:
    request = asked("copy", "hero", brief="短く")
    assert decode_request(encode_model(request)) == request
    usual = least()
    assert decode_request(encode_model(usual)) == usual and isinstance(
        decode_request(encode_model(usual)), GenerationRequest
    )


def test_facts_and_pictures_are_the_parents() -> None:
    parent = source_of()
    plan = plan_of(parent, asked("copy", brief="創業100年、日本一と書く"))
    same = {"request_id", "variant", "door"}
    assert plan.request.model_dump(exclude=same) == parent.request.model_dump(exclude=same)
    assert plan.brief.fields == brief_of_page(parent).fields


@pytest.mark.parametrize("words", HOSTILE.values())
def test_hostile_words_of_a_brief_reach_no_page(words: str) -> None:
    plain, hostile = (pages(source_of(), asked("copy", brief=brief)) for brief in ("", words[:300]))
    assert plain == hostile


def test_the_names_of_sections_are_those_of_the_registry() -> None:
    assert list(get_args(SectionName)) == [each.name for each in SECTIONS if each.name not in ("form", "footer")]


@pytest.mark.parametrize(("options", "words"), [
    (("--variant-of", OF, "--industry", "美容"), "--industry: leave it out"),
    (("--industry", "美容"), "--industry: give --name too"),
    (("--variant-of", OF, "--file", "x.json"), "--file: leave it out"),
    (("--section", "hero"), "give --variant-of too"),
    (("--variant-of", OF, "--change", "design", "--section", "hero"), "variant.sections"),
    (("--variant-of", OF, "--section", "footer"), "variant.sections.0"),
    (("--variant-of", "../x"), "variant.of"),
    (("--variant-of", OF, "--brief", "x" * 301), "variant.brief"),
])  # fmt: skip
def test_the_command_refuses_options_that_do_not_fit(options: tuple[str, ...], words: str) -> None:
    done = CliRunner().invoke(app, ("request", *options))
    assert isinstance(done.exception, LpstreamError) and words in str(done.exception)
