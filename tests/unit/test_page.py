"""Pages contain only the given facts, and customer text cannot inject markup."""

import gzip
import io
import json
import re
from collections import Counter

import html5lib
import pytest
from page_requests import BUSINESS, FACTS, HOSTILE, INDUSTRIES, PURPOSES, TREATMENT, built_in, full, html_of, least
from PIL import Image

from processors.pages.brief import brief_of
from processors.pages.calls import offers_orders
from processors.pages.designs import DESIGNS
from processors.pages.page import (
    Asset,
    integrate,
    og_image,
    page_warnings,
    pictures,
    thumbnail,
)
from schemas.copywriting import NAME_SLOT, TOPIC_SLOT
from schemas.errors import DecodeError
from schemas.generation import GenerationRequest, model_from_object

BUDGET = 90_000


class Tags:
    """The elements, attributes, sections and text of a page, parsed as a browser does."""

    def __init__(self, html: str) -> None:
        elements = list(html5lib.parse(html, namespaceHTMLElements=False).iter())
        self.names = [one.tag for one in elements]
        self.attributes = [(one.tag, name, value) for one in elements for name, value in one.attrib.items()]
        self.text = [words for one in elements for words in (one.text, one.tail) if words]

    def all_of(self, name: str) -> list[str]:
        return [value for _, found, value in self.attributes if found == name]

    @property
    def sections(self) -> list[str]:
        return self.all_of("data-section")

    @property
    def shape(self) -> list[tuple[str, str]]:
        return [(tag, name) for tag, name, _ in self.attributes]


def codes_of(request: GenerationRequest) -> set[str]:
    return {warning.code for warning in page_warnings(request, brief_of(request))}


def structured(html: str) -> list[dict[str, object]]:
    parts = html.split("<script type=application/ld+json>")[1:]
    return [json.loads(part.split("</script>")[0]) for part in parts]


@pytest.mark.parametrize("template", INDUSTRIES)
@pytest.mark.parametrize("make", [least, full])
def test_a_page_has_heading_snippet_and_meta_and_is_small(template: str, make: object) -> None:
    request = make(INDUSTRIES[template])  # type: ignore[operator]
    assert brief_of(request).template == template
    html = html_of(request)
    found = Tags(html)
    assert found.names.count("h1") == 1 and found.sections[0] == "hero"
    assert ("html", "lang", "ja") in found.attributes and "t1-1" in found.all_of("data-lp-id")
    assert "麺屋 一" in html and "http://edge.test/assets/card.png" in found.all_of("content")
    assert len(html.encode()) < BUDGET
    ids = found.all_of("id")
    assert len(ids) == len(set(ids))
    assert {link[1:] for link in found.all_of("href") if link.startswith("#")} <= set(ids)
    assert all(tag != "img" or value for tag, name, value in found.attributes if name in ("width", "height", "src"))


@pytest.mark.parametrize("template", INDUSTRIES)
def test_a_page_without_facts_has_no_claims_or_dead_links(template: str) -> None:
    html = html_of(least(INDUSTRIES[template]))
    found = Tags(html)
    assert not {"testimonials", "price", "information"} & set(found.sections)
    assert not {"form", "nav", "blockquote"} & set(found.names)
    assert "円" not in html and "tel:" not in html
    calls = [value for tag, name, value in found.attributes if tag == "a" and name == "href" and value != "#main"]
    assert calls == ["#solution"], "the only call leads to a section of the page"


@pytest.mark.parametrize("template", INDUSTRIES)
@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize("make", [least, full])
def test_every_call_has_a_name_of_its_own(template: str, purpose: str, make: object) -> None:
    request = make(INDUSTRIES[template], purpose=purpose)  # type: ignore[operator]
    tree = html5lib.parse(html_of(request), namespaceHTMLElements=False)
    calls = [one for one in tree.iter() if one.tag in ("button", "summary") or one.tag == "a"]
    names = [one.get("data-element", "") for one in calls]
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)?", name) for name in names), names
    assert len(set(names)) == len(names) == len([one for one in tree.iter() if one.get("data-element")])
    assert "hero-call" in names
    if make is full:
        assert {"top-tel", "closing-tel", "form-send", "bar-tel", "bar-call", "information-site"} <= set(names)


def test_facts_are_shown_unchanged() -> None:
    html = html_of(full())
    for shown in (
        "はじめての方の案内",
        "5,500",
        "落ち着いて話せました。",
        "第00000号",
        "10:00〜19:00",
        "2番出口",
        "芝1-2-3",
    ):
        assert shown in html
    found = Tags(html)
    assert {"testimonials", "price", "information"} <= set(found.sections)
    assert "tel:0300000000" in found.all_of("href") and "https://example.com/form.php" in found.all_of("action")
    assert ("form", "method", "post") in found.attributes
    names = {value for tag, name, value in found.attributes if name == "id" and tag in ("input", "textarea")}
    assert names == set(found.all_of("for"))


def test_a_clinic_page_hides_testimonials_with_a_warning() -> None:
    request = full("内科クリニック")
    assert "testimonials" not in Tags(html_of(request)).sections
    assert "facts_not_shown" in codes_of(request)
    assert "facts_not_shown" not in codes_of(full())


def test_a_sale_page_has_legal_notices_and_warns_of_gaps() -> None:
    assert "特定商取引法に基づく表記" in html_of(full("EC", purpose="販売"))
    for purpose in PURPOSES:
        without_terms = full("EC", purpose=purpose, facts={**FACTS, "sale": None})
        assert "特定商取引法に基づく表記" in html_of(full("EC", purpose=purpose)), "terms of sale are given"
        assert ("特定商取引法に基づく表記" in html_of(without_terms)) == offers_orders(brief_of(without_terms))
    request, complete = least("EC", purpose="販売"), full("EC", purpose="販売")
    assert [warning.detail.split(":")[0] for warning in page_warnings(request, brief_of(request))] == [
        "business.address", "business.phone", "facts.prices", "facts.sale.responsible", "facts.sale.shipping",
        "facts.sale.payment", "facts.sale.delivery", "facts.sale.returns",
    ]  # fmt: skip
    assert page_warnings(complete, brief_of(complete)) == []
    for purpose in PURPOSES:
        assert "プライバシーポリシー" in html_of(least(purpose=purpose))


def test_a_sale_page_shows_the_given_terms() -> None:
    html = html_of(full("EC", purpose="販売"))
    for term in FACTS["sale"].values():
        assert term in html
    assert "お問い合わせください" not in html


@pytest.mark.parametrize("business", [{}, {"url": "https://example.com/"}, {"url": "https://www.instagram.com/x"}])
def test_a_page_without_a_way_of_contact_refers_nobody_to_it(business: dict[str, str]) -> None:
    given = {"name": "麺屋 一", **business}
    html = html_of(least("EC", purpose="販売", business=given))
    assert "特定商取引法に基づく表記" not in html and "お問い合わせください" not in html
    some = html_of(least("EC", purpose="販売", business=given, facts={"sale": {"returns": "返品はお受けできません"}}))
    assert "お取引の条件" in some and "返品はお受けできません" in some and "特定商取引法に基づく表記" not in some
    terms = {name: FACTS[name] for name in ("sale", "prices")}
    most = html_of(least("EC", purpose="集客", business=given, facts=terms))
    assert "特定商取引法に基づく表記" in most and "お問い合わせください" not in most and "電話番号" not in most


@pytest.mark.parametrize(
    "contact", [{"phone": "03-0000-0000"}, {"url": "https://lin.ee/x"}, {"form_url": "https://forms.gle/x"}]
)
def test_a_missing_item_of_the_table_refers_to_a_way_of_contact(contact: dict[str, str]) -> None:
    html = html_of(least("EC", purpose="販売", business={"name": "麺屋 一", **contact}))
    assert "特定商取引法に基づく表記" in html and html.count("お問い合わせください") == 8 - ("phone" in contact)


@pytest.mark.parametrize("written", ["商品を注文する", "いますぐ購入", "カートに入れる", "お取り寄せする"])
@pytest.mark.parametrize("purpose", ["問い合わせ", "集客", "頒布会のご案内"])
def test_a_model_cannot_offer_an_order_on_a_page_without_the_terms(purpose: str, written: str) -> None:
    request = least("EC", purpose=purpose, business=FORM)
    copy = built_in(request)
    copy = copy.model_copy(update={"hero": copy.hero.model_copy(update={"call": written})})
    assert written not in html_of(request, copy)


FORM = {"name": "麺屋 一", "form_url": "https://example.com/form"}


@pytest.mark.parametrize(
    ("purpose", "use", "send"),
    [
        ("販売", "ご注文の受付・商品のお届け・ご連絡", "この内容で注文を送る"),
        ("予約", "ご予約の受付とご連絡", "この内容で予約を申し込む"), ("採用", "採用の選考とご連絡", "この内容で送る"),
        ("問い合わせ", "お問い合わせへの対応", "この内容で送る"), ("集客", "お問い合わせへの対応", "この内容で送る"),
    ],
)  # fmt: skip
def test_the_privacy_policy_names_the_use_of_the_forms_contents(purpose: str, use: str, send: str) -> None:
    html = html_of(full("EC", purpose=purpose))
    assert f"{use}のために利用します" in html and send in html
    assert "ご記入の内容は" not in html_of(least("EC", purpose=purpose))


@pytest.mark.parametrize("industry", INDUSTRIES.values())
@pytest.mark.parametrize("written", ["商品を注文する", "いますぐ購入", "講座を申し込む", "商品のことを聞く"])
def test_without_the_terms_of_sale_a_form_takes_no_orders(industry: str, written: str) -> None:
    request = least(industry, purpose="通販", business=FORM)
    copy = built_in(request)
    copy = copy.model_copy(update={"hero": copy.hero.model_copy(update={"call": written})})
    html = integrate(request, brief_of(request), copy, lp_id="t1-1f0c9d2e7a3b5c48", base_url="https://example.com")
    found = Tags(html)
    if not offers_orders(brief_of(request)):  # a trade that sells no goods
        assert re.search("商品を注文する|購入|特定商取引法", html) is None
        return
    assert {"注文について問い合わせる", "ご注文についてのお問い合わせの内容"} <= set(found.text)
    assert re.search("お知らせします|最終確認|注文を送る|注文する|購入|講座を申し込む", html) is None
    assert (written in found.text) == (written == "商品のことを聞く")
    assert html.count("お問い合わせください") == 8 and "お問い合わせへの対応のために利用します" in html


@pytest.mark.parametrize("missing", ["address", "phone", "prices", *FACTS["sale"]])
def test_each_missing_term_of_sale_turns_an_order_into_an_inquiry(missing: str) -> None:
    business = {name: value for name, value in BUSINESS.items() if name != missing}
    sale = {name: value for name, value in FACTS["sale"].items() if name != missing}
    facts = {name: value for name, value in FACTS.items() if name != missing} | {"sale": sale}
    html = html_of(full("EC", purpose="販売", business=business, facts=facts))
    assert "注文について問い合わせる" in html and html.count("お問い合わせください") == 1
    assert "この内容で注文を送る" in html_of(full("EC", purpose="販売", business={**BUSINESS, "url": None}))


def test_a_price_is_shown_as_the_customer_writes_it() -> None:
    prices = [
        {"label": "カット", "yen": "５，５００円〜（税込）"},
        {"label": "染め", "text": "応相談"},
        {"label": "シャンプー", "yen": "1,100円"},
    ]
    html = html_of(full(facts={"prices": prices}))
    assert "５，５００円〜（税込）" in html and "応相談" in html and "1,100" in html
    with pytest.raises(DecodeError, match="give yen"):
        model_from_object(GenerationRequest, full().model_dump() | {"facts": {"prices": [{"label": "x"}]}})


@pytest.mark.parametrize(
    ("phone", "shown"),
    [
        ("０３－１２３４－５６７８", "03-1234-5678"), ("０３ー１２３４ー５６７８", "03-1234-5678"),
        ("（０３）１２３４−５６７８", "(03)1234-5678"),
        ("TEL:03 1234 5678", "03 1234 5678"), ("℡ ０３‐１２３４‐５６７８", "03-1234-5678"),
        ("+81-3-1234-5678", "+81-3-1234-5678"),
        ("03.1234.5678", "03-1234-5678"), ("03-1234-5678（代表）", "03-1234-5678"),
        ("03\u200b-1234-5678", "03-1234-5678"),
        ("フリーダイヤル 0120-123-456", "0120-123-456"), ("お電話：03・1234・5678", "03-1234-5678"),
        ("〇三ー一二三四ー五六七八", "03-1234-5678"),
    ],
)  # fmt: skip
def test_a_phone_in_full_width_becomes_half_width(phone: str, shown: str) -> None:
    assert full(business={**BUSINESS, "phone": phone}).business.phone == shown


@pytest.mark.parametrize(
    "phone", ["03-1234-5678 内線12", "03-1234-5678 / 090-1234-5678", "110", "なし", "fax 03-1234-5678"]
)
def test_words_that_are_no_telephone_number_are_an_error(phone: str) -> None:
    with pytest.raises(DecodeError, match="give one telephone number"):
        model_from_object(GenerationRequest, full().model_dump() | {"business": {"name": "麺屋", "phone": phone}})


def test_an_address_with_a_password_is_an_error() -> None:
    business = {"name": "麺屋", "url": "https://a:b@example.com/"}
    with pytest.raises(DecodeError, match="password"):
        model_from_object(GenerationRequest, full().model_dump() | {"business": business})


def test_the_zero_in_brackets_is_not_dialled_after_a_country_code() -> None:
    html = html_of(full(business={**BUSINESS, "phone": "+81 (0)3-1234-5678"}))
    assert "tel:+81312345678" in html and "tel:+810" not in html


def test_a_clinic_page_shows_treatments_and_warns_of_missing_details() -> None:
    complete = full("歯科", facts={"treatments": [TREATMENT]})
    html = html_of(complete)
    assert "treatments" in Tags(html).sections
    for words in TREATMENT.values():
        assert words in html
    assert "legal_slot_missing" not in codes_of(complete)
    part = full("歯科", facts={"treatments": [{"name": "矯正", "cost": "60万円"}]})
    assert [one.detail.split(":")[0] for one in page_warnings(part, brief_of(part))] == [
        "facts.treatments.0.content", "facts.treatments.0.risks", "facts.treatments.0.period",
    ]  # fmt: skip
    assert "legal_slot_missing" in codes_of(least("美容外科"))
    assert "legal_slot_missing" not in codes_of(least("内科"))


@pytest.mark.parametrize("industry", ["整骨院", "美容外科", "AGA", "ひざの再生ラボ", "ふしぎ屋"])
def test_medical_therapy_and_unknown_trades_hide_testimonials(industry: str) -> None:
    request = full(industry)
    assert "testimonials" not in Tags(html_of(request)).sections
    assert "facts_not_shown" in codes_of(request)


def test_an_unknown_trade_is_named_in_a_warning() -> None:
    request = least("ふしぎ屋<b>")
    warning = next(one for one in page_warnings(request, brief_of(request)) if one.code == "unknown_trade")
    assert "「ふしぎ屋<b>」" in warning.detail
    assert "unknown_trade" not in codes_of(least("造園"))


@pytest.mark.parametrize("kind", HOSTILE)
def test_customer_text_cannot_inject_markup(kind: str) -> None:
    words = HOSTILE[kind]
    line = words[:200]
    facts = {
        "prices": [{"label": line, "yen": 1}],
        "testimonials": [{"text": words, "author": line}],
        "licences": [line],
        "hours": line,
        "access": line,
        "sale": dict.fromkeys(FACTS["sale"], line),
    }
    business = {**BUSINESS, "name": words[:100], "address": line, "url": 'https://example.com/"><b>'}
    plain = Tags(html_of(full(keywords=["a", "b"], facts={**FACTS, "prices": FACTS["prices"][:1]})))
    html = html_of(full(industry=f"飲食{words}"[:50], keywords=[words[:50], "b"], business=business, facts=facts))
    found = Tags(html)
    assert [name for name in found.names if name != "wbr"] == [name for name in plain.names if name != "wbr"]
    assert found.shape == plain.shape
    assert "49" not in "".join(found.text).replace("10:49", "")
    assert not [letter for letter in html if letter in "\x00\x07\x1b\x7f\x85\u2028\u200b\ufeff\u202e\u2066\u200f"]
    kinds = [one["@type"] for one in structured(html)]
    assert kinds == ["Restaurant", "FAQPage"]


@pytest.mark.parametrize("field", ["industry", "purpose", "keywords.0", "business.name", "facts.hours"])
def test_a_text_of_ten_thousand_characters_is_refused(field: str) -> None:
    values = full().model_dump(mode="json")
    *way, last = field.split(".")
    inside = values
    for step in way:
        inside = inside[step]
    inside[int(last) if last.isdigit() else last] = "長" * 10_000
    with pytest.raises(DecodeError) as caught:
        model_from_object(GenerationRequest, values)
    assert caught.value.field == field


def test_the_longest_allowed_texts_make_a_small_page() -> None:
    facts = {
        "prices": [{"label": "長" * 200, "yen": 10**12}] * 50,
        "testimonials": [{"text": "長" * 1_000, "author": "長" * 200}] * 10,
        "licences": ["長" * 200] * 20,
        "hours": "長" * 200,
        "access": "長" * 200,
    }
    html = html_of(full(keywords=["長" * 50] * 20, business={**BUSINESS, "name": "長" * 100}, facts=facts))
    assert len(gzip.compress(html.encode())) < BUDGET


def test_a_name_that_looks_like_a_slot_is_not_replaced() -> None:
    copy = built_in(full())
    hero = copy.hero.model_copy(update={"lead": f"{NAME_SLOT}の<strong>一皿</strong>を、どうぞ召し上がってください。"})
    html = html_of(full(business={**BUSINESS, "name": f"{TOPIC_SLOT}<i>&"}), copy.model_copy(update={"hero": hero}))
    assert "〔題材〕<i>&の" in Tags(html).text and "<strong>一皿</strong>" in html


def test_only_emphasis_survives_from_a_models_markup() -> None:
    copy = built_in(full())
    evil = '<em>手仕事</em><img src=x onerror=alert(1)><a href="javascript:alert(1)">ここ</a><script>x</script>です。'
    point = copy.solution.features[0].model_copy(update={"text": evil, "title": evil[:24]})
    solution = copy.solution.model_copy(update={"features": [point, *copy.solution.features[1:]]})
    found = Tags(html_of(full(), copy.model_copy(update={"solution": solution})))
    plain = Tags(html_of(full()))
    extra = Counter(found.names)
    extra.subtract(Counter(plain.names))
    del extra["wbr"]
    assert +extra == {"em": 1} and -extra == {}
    assert not {name for _, name, _ in found.attributes} - {name for _, name, _ in plain.attributes}
    assert not [link for link in found.all_of("href") if link.startswith("javascript")]


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("design", DESIGNS.values(), ids=lambda one: one.name)
def test_colours_have_enough_contrast(design: object) -> None:
    pairs = (
        ("ink", "paper"), ("ink", "soft"), ("quiet", "paper"), ("quiet", "soft"), ("accent", "paper"),
        ("accent", "soft"),
        ("on_accent", "accent"), ("on_deep", "deep"),
    )  # fmt: skip
    low = {pair: contrast(getattr(design, pair[0]), getattr(design, pair[1])) for pair in pairs}
    assert {pair: round(value, 2) for pair, value in low.items() if value < 4.5} == {}


@pytest.mark.parametrize("template", INDUSTRIES)
def test_pictures_are_content_addressed_and_match_the_page(template: str) -> None:
    request = full(INDUSTRIES[template])
    found = pictures(brief_of(request))
    assert [one.key for one in found] == [Asset.of(one.body, one.key.rsplit(".")[-1]).key for one in found]
    sets = Tags(html_of(request)).all_of("srcset")
    asked = {part.split()[0].removeprefix("../") for value in sets for part in value.split(", ")}
    assert asked == {one.key for one in found}
    for one in found:
        with Image.open(io.BytesIO(one.body)) as picture:
            assert picture.get_format_mimetype() == one.content_type
            assert len(one.body) < 220_000


@pytest.mark.parametrize("template", INDUSTRIES)
def test_card_and_thumbnail_have_fixed_sizes_and_bytes(template: str) -> None:
    request = full(INDUSTRIES[template])
    copy = built_in(request)
    for make, size in ((og_image, (1200, 630)), (thumbnail, (480, 600))):
        body = make(request, copy, template)
        with Image.open(io.BytesIO(body)) as picture:
            assert (picture.size, picture.format) == (size, "PNG")
        assert body == make(request, copy, template)
        other = full(INDUSTRIES[template], business={"name": "ほかの名前"})
        assert body != make(other, copy, template)


@pytest.mark.parametrize("words", ["𠮷野家😀🍜", "W" * 100, "。" * 100, "\u202e", "あ" * 100])
def test_a_card_can_be_drawn_for_any_name(words: str) -> None:
    body = full().model_dump(mode="json") | {"business": {"name": words}}
    request = model_from_object(GenerationRequest, body, stored=True)  # an earlier release took names without letters
    copy = built_in(request)
    hero = copy.hero.model_copy(update={"catch": f"{NAME_SLOT}の{TOPIC_SLOT}" * 2})
    for make in (og_image, thumbnail):
        assert make(request, copy.model_copy(update={"hero": hero}), "restaurant")
    assert html_of(request)
