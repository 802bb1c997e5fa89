"""Built-in pages of every trade and kind promise nothing without the fact that it needs."""

import re
from collections.abc import Collection, Iterator
from itertools import product
from typing import Any

import html5lib
import pytest
from page_requests import BUSINESS, FACTS, INDUSTRIES, PURPOSES, TONES, html_of, least

from processors.pages.answers import refused
from processors.pages.brief import brief_of
from processors.pages.calls import call_of
from processors.pages.copywriting import assemble, template_part
from processors.pages.facts import GROUPS, known
from processors.pages.keywords import opening
from processors.pages.phrases import columns, name_phrases, phrases
from processors.pages.promises import unkept
from processors.pages.purposes import RECRUIT
from processors.pages.sites import names
from processors.pages.trades import NAMES
from processors.pages.words import kind_of, kinds, words
from schemas.generation import GenerationRequest, Sale
from schemas.plan import Brief

NAMES_OF_FACTS = ("phone", "form", "line", "url", "address", "access", "hours", "prices", "testimonials", "licences")
SETS = [(), *((name,) for name in NAMES_OF_FACTS), NAMES_OF_FACTS]
SETS += [tuple(name for name in NAMES_OF_FACTS if name != missing) for missing in NAMES_OF_FACTS]
SETS += [("phone", "hours"), ("form", "line"), ("phone", "line"), ("address", "hours"), ("url", "prices")]
KINDS = [*product(NAMES, [None]), *((trade, kind) for kind in kinds() for trade in kinds()[kind].trades)]


def asked(trade: str, kind: str | None, given: tuple[str, ...], **rest: str) -> Brief:
    brief = brief_of(least(INDUSTRIES[trade], keywords=[], **rest))
    fields = brief.fields.model_copy(update={"given": list(given)})
    return brief.model_copy(update={"fields": fields, "kind": kind})


def unkept_in(value: Any, facts: Collection[str]) -> Iterator[str]:
    """Yield the promise that each text in a dumped copy breaks."""
    if isinstance(value, str):
        if (words := unkept(value, facts)) is not None:
            yield words
        return
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from unkept_in(child, facts)


@pytest.mark.parametrize(("trade", "kind"), KINDS)
def test_built_in_copy_promises_no_absent_fact(trade: str, kind: str | None) -> None:
    broken = set()
    purposes = PURPOSES if kind is None else PURPOSES[:3]
    for purpose, given in product(purposes, SETS):
        brief = asked(trade, kind, given, purpose=purpose)
        for group in brief.groups:
            broken |= {(purpose, given, words) for words in unkept_in(template_part(brief, group), known(given))}
    assert broken == set()


@pytest.mark.parametrize(("trade", "kind"), KINDS)
def test_built_in_copy_of_each_kind_is_whole_and_lawful(trade: str, kind: str | None) -> None:
    for tone, given in product(TONES, ((), NAMES_OF_FACTS)):
        brief = asked(trade, kind, given, tone=tone, purpose="問い合わせ")
        copy = assemble(brief, {})
        parts = [template_part(brief, group) for group in brief.groups]
        assert [reasons for part in parts if (reasons := refused(part, brief.fields))] == []
        assert len(copy.faq.items) == len({item.question for item in copy.faq.items}) >= 3
        assert "保険証など" not in copy.model_dump_json() and "{" not in copy.hero.lead


def request_of(given: tuple[str, ...], **rest: object) -> GenerationRequest:
    business = {name: BUSINESS[name] for name in ("phone", "url", "address") if name in given}
    business |= {"form_url": BUSINESS["form_url"]} if "form" in given else {}
    others = {"line": "https://lin.ee/abc", "booking": "https://coubic.com/abc", "page": "https://note.com/abc"}
    business |= next(({"url": url} for name, url in others.items() if name in given), {})
    facts = {name: FACTS[name] for name in FACTS if name in given}
    return least(**{"business": {"name": "かえで", **business}, "facts": facts, "keywords": [], **rest})  # type: ignore[arg-type]


def said(html: str) -> str:
    """Return the page's visible words, without its privacy policy, the words of a table, and given facts."""
    document = html5lib.parse(html, namespaceHTMLElements=False)
    for parent in document.iter():
        for child in list(parent):
            hidden = child.tag in ("style", "script", "head") or child.get("class") == "voices"
            if hidden or child.get("id") == "privacy" or (parent.tag == "div" and child.text == "電話番号"):
                parent.remove(child)
    text = "".join(document.itertext())
    for fact in (FACTS["access"], FACTS["hours"], FACTS["licences"][0]):
        text = text.replace(fact, "")
    return text


@pytest.mark.parametrize("industry", INDUSTRIES.values())
def test_a_rendered_page_promises_no_absent_fact(industry: str) -> None:
    few = [given for given in SETS if len(given) < 3 or len(given) == len(NAMES_OF_FACTS) - 1]
    for given in [*few, ("booking",), ("page",)]:
        assert unkept_by(request_of(given, industry=industry, purpose="予約")) is None, given


@pytest.mark.parametrize("given", [given for given in SETS if len(given) < 3])
def test_the_table_of_sale_promises_no_absent_fact(given: tuple[str, ...]) -> None:
    sale = request_of(given, industry="EC", purpose="販売")
    assert unkept_by(sale) is None
    terms = sale.facts.model_copy(update={"sale": Sale(**FACTS["sale"])})
    assert unkept_by(sale.model_copy(update={"facts": terms})) is None


def unkept_by(request: GenerationRequest) -> str | None:
    return unkept(said(html_of(request)), known(brief_of(request).fields.given))


@pytest.mark.parametrize(("purpose", "given"), [*product(PURPOSES, SETS)])
def test_the_main_call_leads_to_what_it_says(purpose: str, given: tuple[str, ...]) -> None:
    request = request_of(given, purpose=purpose)
    call = call_of(request, brief_of(request), "お店の場所を見る")
    target = {"電話": "tel:", "LINE": "https://lin.ee", "サイト": "https://example", "場所": "#information"}
    target |= {"時間": "#information", "お品書き": "#price", "ご案内": "#price", "くわしく": "#solution"}
    href = next((href for words, href in target.items() if words in call.words), "#contact")
    assert call.href.startswith(href)
    assert call.href[1:] in re.findall(r"id=(\w+)", html_of(request)) or not call.href.startswith("#")


def test_a_form_is_sent_by_words_that_fit_a_form() -> None:
    html = html_of(request_of(("form", "address"), purpose="集客"))
    assert re.search("<button class=call [^>]*>この内容で送る</button>", html)


def test_kinds_read_apart_within_a_trade() -> None:
    for trade in NAMES:
        own = [words(trade, kind) for kind in kinds() if trade in kinds()[kind].trades]
        for texts in ([one.hero["friendly"]["catch"] for one in own], [one.solution["lead"] for one in own]):
            assert len(texts) == len(set(texts))
        assert all(set(one.problems).isdisjoint(words(trade).problems) for one in own)


@pytest.mark.parametrize(
    ("trade", "industry", "keywords", "kind"),
    [
        ("restaurant", "飲食", ["焼肉", "記念日"], "yakiniku"), ("restaurant", "ラーメン店", [], "ramen"),
        ("restaurant", "飲食", ["新宿", "個室"], None), ("restaurant", "ベーカリー", ["カフェ"], "bakery"),
        ("clinic", "眼科クリニック", [], "eye"), ("clinic", "動物病院", [], "animal"),
        ("generic", "整体院", [], "seitai"),
        ("counsel", "税理士事務所", ["相続"], "tax"), ("realestate", "不動産", ["賃貸"], "rent"),
        ("school", "教育", ["ジャパン"], None), ("generic", "家庭用品", [], None),
        ("restaurant", "レストラン", ["ケーキ", "テイクアウト"], None), ("clinic", "美容皮膚科", [], "aesthetic"),
    ],
)  # fmt: skip
def test_a_kind_is_named_by_the_industry_or_a_keyword(
    trade: str, industry: str, keywords: list[str], kind: str | None
) -> None:
    assert kind_of(trade, industry, keywords) == kind


@pytest.mark.parametrize(
    ("industries", "never"),
    [
        (("ベーカリー", "パン屋", "ケーキ", "和菓子", "お弁当", "惣菜", "キッチンカー"), "席を|お席|人数をお伝え"),
        (("美容外科", "AGA", "自由診療", "クリニック シミ取り", "医療脱毛"), "保険証|資格確認書"),
        (
            ("助産院", "産後ケア", "訪問看護", "義肢装具", "献血ルーム", "保健所", "医師会"),
            "診察|診断|治療|保険証|患者",
        ),
        (("化粧品", "コスメ", "美容液", "シャンプー", "雑貨", "健康食品"), "施術|カウンセリング|サロン|ご来店"),
    ],
)
def test_a_page_describes_the_service_of_its_trade(industries: tuple[str, ...], never: str) -> None:
    for industry, purpose, given in product(industries, ("予約", "販売"), ((), ("phone",))):
        html = html_of(request_of(given, industry=industry, purpose=purpose))
        assert re.search(never, said(html)) is None, (industry, purpose, given)


@pytest.mark.parametrize(
    ("trade", "keywords", "sentence"),
    [
        ("counsel", ["相続", "遺言"], "相続や遺言のことで、相談先をお探しの方へ。"),
        ("restaurant", ["記念日", "個室"], "記念日のお食事に。"), ("restaurant", ["深夜営業"], ""),
        ("restaurant", ["個室", "焼肉"], "焼肉が食べたくなった日に。"),
        ("generic", ["沖縄"], "沖縄で、お探しの方へ。"), ("shop", ["京都"], ""),
        ("clinic", ["渋谷駅"], "渋谷駅で、受診先をお探しの方へ。"),
        ("realestate", ["家を売りたい"], "「家を売りたい」と、お考えの方へ。"),
        ("realestate", ["賃貸", "駅近"], "賃貸の部屋をお探しの方へ。"),
        ("shop", ["母の日"], "母の日の贈りものに。"), ("generic", ["{0.__class__}", "<b>"], ""),
    ],
)  # fmt: skip
def test_keywords_enter_by_the_pattern_of_their_class(trade: str, keywords: list[str], sentence: str) -> None:
    assert opening(trade, keywords, licensed=True) == sentence


@pytest.mark.parametrize("keyword", ["離婚", "税務", "相続", "補助金"])
def test_only_a_profession_offers_advice_on_a_matter_of_law(keyword: str) -> None:
    assert opening("counsel", [keyword]) == ""


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("デイサービスやすらぎの里", ["デイサービス", "やすらぎの里"]),
        ("株式会社やすらぎの里", ["株式会社", "やすらぎの里"]),
        ("青葉司法書士事務所", ["青葉", "司法書士事務所"]),
        ("サロン・ド・ミモザ", ["サロン・", "ド・", "ミモザ"]), ("あ" * 30, ["あ" * 30]),
    ],
)  # fmt: skip
def test_a_name_breaks_between_its_words(name: str, parts: list[str]) -> None:
    assert name_phrases(name) == parts and "".join(parts) == name


@pytest.mark.parametrize("word", ["笑顔", "もやもや", "真心", "いたわる"])
def test_a_line_does_not_break_inside_a_known_word(word: str) -> None:
    assert any(word in part for part in phrases(f"あの{word}を、ここに"))


@pytest.mark.parametrize("text", ["心ほどける、いつもの一皿", "火を囲む夜は、話がはずむ", "長" * 34, "短い"])
def test_upright_lines_are_even_and_lose_nothing(text: str) -> None:
    lines = columns(text)
    assert "".join(lines) == text
    assert max(map(len, lines)) <= 9 or len(lines) == 1


@pytest.mark.parametrize("trade", [*NAMES, RECRUIT])
def test_a_way_to_a_place_needs_the_place(trade: str) -> None:
    own = [None, *(name for name, kind in kinds().items() if trade in kind.trades)]
    for place in {words(trade, kind).place for kind in own}:
        assert unkept(f"{place}を見る", ()) and unkept(f"{place}を見る", ("place",)) is None


def test_groups_of_facts_name_known_facts() -> None:
    assert set().union(*GROUPS.values()) <= {*NAMES_OF_FACTS, "booking", *names()}
    assert words(RECRUIT).name == RECRUIT
