"""The warnings of a result: licences by trade, conditions of work, and the customer's own texts."""

import tomllib
from pathlib import Path

import pytest
from page_requests import BUSINESS, FACTS, full, least

from processors.pages.brief import brief_of, copy_fields
from processors.pages.legal import page_warnings
from processors.pages.licences import licences_of, unanswered
from processors.pages.lint import forbidden
from schemas.generation import GenerationRequest

NUMBERS = {
    "質屋": "古物商", "中古車販売": "古物商", "古着屋": "古物商", "ブランド買取": "古物商",
    "リサイクルショップ": "古物商",
    "旅行会社": "旅行業の登録番号", "バスツアー企画": "旅行業の登録番号", "人材派遣": "労働者派遣",
    "人材紹介": "職業紹介",
    "転職エージェント": "職業紹介", "探偵": "探偵業", "興信所": "探偵業", "民泊": "住宅宿泊事業",
    "民泊代行": "住宅宿泊管理業",
    "酒類通販": "酒類販売管理者", "消費者金融": "貸金業", "リフォーム": "建設業", "外壁塗装": "建設業",
    "不動産": "宅地建物",
    "不動産売買仲介": "宅地建物", "家の買取": "宅地建物", "猫カフェ": "動物取扱業", "不用品回収": "収集運搬",
    "投資顧問": "金融商品",
    "弁護士": "所属弁護士会", "税理士事務所": "所属会", "行政書士": "所属会", "クリニック専門税理士": "所属会",
}  # fmt: skip
NO_NUMBERS = (
    "経営コンサルタント", "離婚カウンセラー", "中小企業診断士", "居酒屋", "カフェ", "美容室", "洋服リフォーム",
    "板金塗装", "シェアハウス",
    "月極駐車場", "モデルハウス", "土地活用", "M&A仲介", "結婚仲介", "ドローン空撮", "不動産業者向けSaaS",
    "税理士試験の講座",
    "弁護士保険", "人材育成研修", "旅行写真家", "ペットフード通販", "動物病院", "本屋", "民泊清掃", "造園",
)  # fmt: skip
LICENCES = tomllib.loads((Path(__file__).parent / "corpora" / "licences.toml").read_text("utf-8"))
FREE = ("腰痛が必ず治る", "業界No.1", "日本一")


def warned(request: GenerationRequest) -> list[tuple[str, str]]:
    return [(one.code, one.detail.partition(":")[0]) for one in page_warnings(request, brief_of(request))]


@pytest.mark.parametrize(("industry", "number"), NUMBERS.items())
def test_a_licensed_trade_is_asked_for_its_number_by_the_law(industry: str, number: str) -> None:
    request = least(industry)
    licences = [one.detail for one in page_warnings(request, brief_of(request)) if "facts.licences" in one.detail]
    assert any(number in detail and ("法" in detail or "規程" in detail) for detail in licences), licences
    given = least(industry, facts={"licences": ["第00000号"] * len(licences)})
    assert ("legal_slot_missing", "facts.licences") not in warned(given)


@pytest.mark.parametrize("industry", NO_NUMBERS)
def test_a_trade_without_a_licence_is_asked_for_none(industry: str) -> None:
    assert licences_of(industry, sells=False) == []


def test_an_industry_shows_the_numbers_that_its_words_mean() -> None:
    def shown(industries: str) -> dict[str, list[str]]:
        return {
            industry: [one.shows for one in licences_of(industry, sells=False)] for industry in industries.splitlines()
        }

    assert {industry: numbers for industry, numbers in shown(LICENCES["none"]).items() if numbers} == {}
    for kind, of in (("only", all), ("asked", any)):
        for number, industries in LICENCES[kind].items():
            read = shown(industries)
            wrong = {each: got for each, got in read.items() if not got or not of(number in one for one in got)}
            assert wrong == {}, number


@pytest.mark.parametrize("industry", LICENCES["given"])
def test_a_licence_is_known_in_its_usual_spellings(industry: str) -> None:
    asked = licences_of(industry, sells=False)
    wrong = [text for text in LICENCES["given"][industry] if unanswered(asked, text.split("；"))]
    assert asked and wrong == []


@pytest.mark.parametrize("industry", LICENCES["missing"])
def test_another_text_answers_for_no_licence(industry: str) -> None:
    asked = licences_of(industry, sells=False)
    wrong = [text for text in LICENCES["missing"][industry] if not unanswered(asked, text.split("；"))]
    assert asked and wrong == []


def test_each_licence_that_is_not_given_has_its_warning() -> None:
    given = least("探偵・質屋", facts={"licences": ["古物商許可 第1号", "創業1990年"]})
    details = [one.detail for one in page_warnings(given, brief_of(given)) if "facts.licences" in one.detail]
    assert ["質屋営業" in detail or "探偵業" in detail for detail in details] == [True, True]


def test_goods_ask_for_a_licence_only_where_they_are_sold_at_a_distance() -> None:
    for industry in ("酒店", "ワインショップ", "薬局"):
        assert licences_of(industry, sells=False) == []
        assert len(licences_of(industry, sells=True)) == 1


def test_an_offer_of_work_without_its_conditions_is_warned_of() -> None:
    bare, whole = least("飲食", purpose="採用"), full("飲食", purpose="採用")
    conditions = [("legal_slot_missing", name) for name in ("facts.prices", "business.address", "facts.hours")]
    assert warned(bare) == conditions and warned(least("飲食", purpose="集客")) == []
    assert not set(conditions) & set(warned(whole))
    said = least("飲食", purpose="採用", keywords=["時給 1,200円"], facts={"access": "中央駅", "hours": "10時〜15時"})
    assert warned(said) == []


@pytest.mark.parametrize("words", FREE)
@pytest.mark.parametrize(
    "field", ["business.name", "business.address", "facts.access", "facts.hours", "facts.sale.returns", "keywords.0"]
)
def test_every_shown_text_of_the_customer_is_checked(words: str, field: str) -> None:
    values = full("整体院").model_dump(mode="json")
    *way, last = field.split(".")
    inside = values
    for step in way:
        inside = inside[step]
    inside[int(last) if last.isdigit() else last] = words
    assert ("advertising_law", field) in warned(GenerationRequest.model_validate(values))


@pytest.mark.parametrize(
    "address",
    [
        "京都市上京区一条通1-2",
        "京都市左京区一乗寺",
        "岩手県一関市2-3",
        "山形県最上郡最上町",
        "東京都千代田区一番町1",
        "札幌市中央区南一条西",
    ],
)
def test_names_of_places_are_no_ranks(address: str) -> None:
    request = full(business={**BUSINESS, "address": address}, facts={**FACTS, "testimonials": []})
    assert warned(request) == []


@pytest.mark.parametrize(
    "word", ["女性限定", "35歳以下", "外国人不可", "20代のみ", "若い方限定", "主婦歓迎", "独身者のみ"]
)
def test_discrimination_is_refused_even_if_the_customer_wrote_it(word: str) -> None:
    request = full("飲食", purpose="採用", keywords=[word])
    assert warned(request) == [("advertising_law", "keywords.0")]
    assert forbidden([f"{word}で募集しています。"], copy_fields(request))


@pytest.mark.parametrize(
    ("industry", "purpose"),
    [
        ("介護施設", "求人（物品購入の担当）"), ("タクシー会社", "ドライバー募集（車両購入補助あり）"),
        ("不動産会社", "募集：物品購入"), ("パン屋", "求人（販売スタッフ）"),
    ],
)  # fmt: skip
def test_rules_for_work_hold_on_every_page_for_recruiting(industry: str, purpose: str) -> None:
    request = least(industry, purpose=purpose, keywords=["若い女性を募集"])
    assert brief_of(request).purpose == "recruit"
    assert ("advertising_law", "keywords.0") in warned(request)
    assert forbidden(["20代の男性歓迎。"], copy_fields(request))


@pytest.mark.parametrize(
    "word", ["女性スタッフ活躍中", "未経験歓迎", "時給1,200円", "主婦・主夫歓迎", "65歳まで再雇用", "20歳以上"]
)
def test_given_conditions_of_work_are_no_discrimination(word: str) -> None:
    request = full("飲食", purpose="採用", keywords=[word])
    assert warned(request) == [] and forbidden([word], copy_fields(request)) == {}


def test_words_for_guests_are_no_discrimination_at_work() -> None:
    assert warned(full("飲食", purpose="集客", keywords=["女性限定プラン"])) == []
