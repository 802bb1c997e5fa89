"""Warnings about prices without tax and about double pricing, wherever a page shows a price."""

from typing import Any

import pytest
from page_requests import TREATMENT, full, least

from processors.pages.brief import brief_of
from processors.pages.legal import page_warnings


def laws(**rest: Any) -> list[tuple[str, str]]:
    """Return the field and the law of each warning about a price."""
    request = least("歯科", **rest)
    found = [warning.detail for warning in page_warnings(request, brief_of(request)) if "価格" in warning.detail]
    return [(detail.split(":")[0], "tax" if "消費税法第63条" in detail else "double") for detail in found]


def of_price(price: str) -> list[str]:
    """Return the laws of the warnings about a price, which is written alone or as label|price."""
    label, _, text = price.rpartition("|")
    label = label or "カット"
    found = laws(facts={"prices": [{"label": label, "yen": text}]})
    return [law for field, law in found if field == "facts.prices.0"]


@pytest.mark.parametrize(
    "price",
    [
        "1,000円（税抜）", "5,000円+税", "5,000円＋消費税", "¥5,000 (税別)", "5,000円（外税）", "本体価格 5,000円",
        "カット（税抜き）|5000", "5,000円（税 別）", "5,000円 別途消費税", "5,000円、消費税は別途", "5,000円プラス税",
        "5,000円（消費税別途）", "5000 yen (excl. tax)", "5,000円（税ぬき）", "1万円(税抜)",
        "5,000円（消費税を含まない）", "総額 50,000円（税抜）",
    ],
)  # fmt: skip
def test_a_price_without_tax_alone_is_warned_of(price: str) -> None:
    assert of_price(price) == ["tax"]


@pytest.mark.parametrize(
    "price",
    [
        "1,000円（税抜）／1,100円（税込）", "税込1,100円（本体価格 1,000円）", "1,100円（内税）",
        "カット（税込1,100円）|1,000円（税抜）", "5,000円", "5000", "法人税別表の作成|30,000円", "応相談（税抜）",
        "5,000円（消費税を含む）", "節税+税務調査の相談|5,000円",
    ],
)  # fmt: skip
def test_a_price_with_its_total_is_not_warned_of(price: str) -> None:
    assert of_price(price) == []


@pytest.mark.parametrize(
    "price",
    [
        "通常10,000円→5,000円", "10,000円⇒5,000円", "10,000円（税込） → 5,000円（税込）",
        "定価10,000円のところ5,000円", "1万円が5千円", "¥10,000 ➡ ¥5,000", "カット（通常10,000円）|5,000円",
        "5,000円（通常価格10,000円）", "5,000円 メーカー希望小売価格：8,000円", "通常 10,000円 今なら 5,000円",
        "5,000円（通常の半額）", "当店通常価格 8,000円の50%OFF", "他店では10,000円、当店は5,000円",
        "10,000円->5,000円", "元値 9,800円 → 4,900円",
    ],
)  # fmt: skip
def test_a_price_beside_a_former_one_is_warned_of(price: str) -> None:
    assert of_price(price) == ["double"]


@pytest.mark.parametrize(
    "price",
    [
        "5,000円〜10,000円", "平日 5,000円／土日 6,000円", "通常コース|5,000円", "受付|10:00→19:00",
        "60分→90分の延長|1,000円", "通常料金|5000", "5,000円コース|5,500円（税込）", "2025→2026年版|5,000円",
        "大人 1,000円、こども 500円", "通常コース|大人5,000円／学生4,000円", "通常 5,000円、学生 4,000円|5000",
    ],
)  # fmt: skip
def test_several_prices_are_no_double_pricing(price: str) -> None:
    assert of_price(price) == []


def test_each_place_of_a_price_is_warned_of() -> None:
    both = "通常10,000円→5,000円（税抜）"
    found = laws(
        keywords=["ラーメン", both],
        facts={
            "prices": [{"label": "x", "yen": 1}, {"label": "x", "text": both}],
            "treatments": [{**TREATMENT, "cost": both}],
            "sale": {"shipping": "全国一律 600円+税"},
        },
    )
    assert found == [
        ("keywords.1", "tax"), ("keywords.1", "double"), ("facts.prices.1", "tax"), ("facts.prices.1", "double"),
        ("facts.treatments.0.cost", "tax"), ("facts.treatments.0.cost", "double"), ("facts.sale.shipping", "tax"),
    ]  # fmt: skip


def test_the_warning_quotes_the_words_and_names_the_remedy() -> None:
    request = full(facts={"prices": [{"label": "カット", "text": "1,000円（税抜）"}]})
    [warning] = page_warnings(request, brief_of(request))
    assert warning.code == "advertising_law"
    assert warning.detail.startswith("facts.prices.0: 「税抜」：") and "総額" in warning.detail
