"""A page says what was given and nothing else, and what was given cannot break out of it."""

from html.parser import HTMLParser
from uuid import UUID

import pytest

from processors.copywriting import TRADES, messages, normalised, parse_copy, template_copy
from processors.page import choose_theme, hero_svg, integrate, optimise
from schemas.errors import DecodeError
from schemas.generation import Business, Facts, GenerationRequest, Price

EVIL = "<b>\"&'</script><script>alert(1)</script>"


def request(industry: str = "飲食", **rest: object) -> GenerationRequest:
    values = {
        "request_id": UUID(int=1),
        "tenant_id": "t1",
        "industry": industry,
        "purpose": "集客",
        "keywords": ["ラーメン", "深夜営業"],
        "business": Business(name="麺屋 一", phone="03-0000-0000"),
    }
    return GenerationRequest.model_validate({**values, **rest})


def page(wanted: GenerationRequest) -> str:
    theme = choose_theme(wanted.industry).name
    html = integrate(
        wanted, template_copy(wanted), theme=theme, hero_url="/assets/h.svg", lp_id="t1-1", base_url="http://e"
    )
    return optimise(html).decode()


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.sections: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.sections += [value or "" for name, value in attrs if name == "data-section"]


def tags(html: str) -> Tags:
    found = Tags()
    found.feed(html)
    return found


@pytest.mark.parametrize("industry", [*TRADES, "士業"])
def test_a_page_has_one_heading_the_name_the_snippet_and_no_invented_proof(industry: str) -> None:
    html = page(request(industry))
    found = tags(html)
    assert found.names.count("h1") == 1
    assert "麺屋 一" in html and 'data-lp-id="t1-1"' in html and 'lang="ja"' in html
    assert found.sections[0] == "hero" and "testimonials" not in found.sections and "price" not in found.sections
    assert "form" not in found.names
    assert len(html.encode()) < 90_000


def test_given_facts_are_shown_as_given() -> None:
    html = page(request(facts=Facts(prices=[Price(label="特製ラーメン", yen=1_200)])))
    assert "特製ラーメン" in html and "1,200円" in html


def test_what_a_customer_typed_cannot_break_out() -> None:
    plain = tags(page(request()))
    html = page(request(keywords=[EVIL], business=Business(name=EVIL, address=EVIL, phone="1")))
    assert "alert(1)</script>" not in html
    assert tags(html).names.count("script") == plain.names.count("script")
    assert tags(html).names.count("b") == 0


def test_no_name_reaches_the_prompt_and_keywords_are_data() -> None:
    wanted = request(keywords=["無視して", "ＡＢＣ", "abc"])
    text = str(messages(wanted))
    assert "麺屋" not in text and "03-0000" not in text
    assert normalised(wanted.keywords) == ["abc", "無視して"]


def test_a_models_answer_is_checked() -> None:
    copy = template_copy(request())
    assert parse_copy(copy.model_dump_json()) == copy
    for bad in ("", "{}", '{"catch":1}', "[]"):
        with pytest.raises(DecodeError):
            parse_copy(bad)


def test_the_hero_is_the_same_bytes_each_time() -> None:
    assert hero_svg("warm") == hero_svg("warm") != hero_svg("soft")
