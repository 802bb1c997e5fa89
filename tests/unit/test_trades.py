"""Trades: which names give which design and which rules."""

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from processors.pages.designs import DESIGNS
from processors.pages.purposes import LEVELS, purpose_of
from processors.pages.rules import every_rule
from processors.pages.trades import STRICTEST, trade_of
from processors.pages.words import kind_of

TRADES = tomllib.loads(files("processors").joinpath("pages", "trades.toml").read_text("utf-8"))["trade"]

CORPORA = Path(__file__).parent / "corpora"
HIRING = tomllib.loads((CORPORA / "hiring.toml").read_text("utf-8"))
PURPOSES = tomllib.loads((CORPORA / "purposes.toml").read_text("utf-8"))
ROWS = tomllib.loads((CORPORA / "industries.toml").read_text("utf-8"))["row"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["names"].split("、")[0])
def test_an_industry_gets_the_trade_that_its_words_mean(row: dict[str, Any]) -> None:
    for industry in row["names"].split("、"):
        match = trade_of(industry)
        kind = kind_of(match.design, industry, ())
        assert (match.design, kind or "") == (row["design"], row["kind"]), industry
        assert match.groups >= set(row.get("need", ())) and match.groups.isdisjoint(row.get("never", ())), industry


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_purpose_means_its_last_action(purpose: str) -> None:
    typed = [(industry, text) for industry, texts in PURPOSES[purpose].items() for text in texts.split()]
    other = [(each, found) for each in typed if (found := purpose_of(each[1], trade_of(each[0]).sells)) != purpose]
    assert other == []


@pytest.mark.parametrize("purpose", HIRING)
def test_a_search_for_staff_decides_if_it_ends_a_phrase(purpose: str) -> None:
    levels = LEVELS[1:] if purpose == "sale" else LEVELS
    read = {text: {purpose_of(text, sells) for sells in levels} for text in HIRING[purpose].splitlines()}
    assert {text: found for text, found in read.items() if found != {purpose}} == {}


@pytest.mark.parametrize(
    "industry", ["探偵", "離婚カウンセラー", "経営コンサルタント", "経営コンサルティング", "税務コンサル"]
)
@pytest.mark.parametrize("keyword", ["離婚", "税務", "補助金", "登記", "助成金"])
def test_a_keyword_makes_no_profession(industry: str, keyword: str) -> None:
    match = trade_of(industry)
    assert match.design == "counsel" and not match.licensed
    assert kind_of("counsel", industry, [keyword]) is None


@pytest.mark.parametrize(
    "industry", ["弁護士紹介サービス", "税理士検索サイト", "士業向けホームページ", "社労士専門の求人"]
)
def test_a_supplier_of_professions_is_no_profession(industry: str) -> None:
    assert trade_of(industry).design != "counsel" and not trade_of(industry).licensed


@pytest.mark.parametrize(
    "industry",
    ["リバー企画", "カバー製作", "ネバーランド", "ジャパン企画", "クローン桜", "フェスティバル", "サバイバル隊"],
)
def test_a_short_name_inside_a_word_names_nothing(industry: str) -> None:
    match = trade_of(industry)
    assert match.design == "generic" and (not match.known or match.groups.isdisjoint({"restaurant", "finance"}))


def test_rows_of_trades_say_only_known_things() -> None:
    designs, groups = {trade["design"] for trade in TRADES}, {group for trade in TRADES for group in trade["groups"]}
    for trade in TRADES:
        assert trade.get("sells", "some") in LEVELS
        assert set(trade.get("yields", ())) <= {"any", *designs, *groups}


@pytest.mark.parametrize(
    "industry",
    [
        "眼科", "歯医者", "産婦人科", "形成外科", "AGA", "美容外科", "美容皮膚科", "耳鼻咽喉科", "心療内科",
        "整形外科", "小児歯科", "デンタルオフィス",
        "はいしゃ", "ハイシャ", "ｸﾘﾆｯｸ", "dental clinic", "Tokyo Eye Clinic", "医療脱毛", "不妊治療", "人間ドック",
        "レーシック", "助産院",
        "皮フ科", "美容皮フ科", "スポーツ整形", "にんにく注射", "シミ取りレーザー",
        "痔の手術", "下肢静脈瘤", "内視鏡センター", "低用量ピル",
        "GLP-1ダイエット", "OB-GYN", "med spa", "physical therapy", "産後ケア施設", "歯　科",
        "A.G.A.サロン", "エー・ジー・エー",
    ],
)  # fmt: skip
def test_medical_trades_get_the_rules_for_medicine(industry: str) -> None:
    match = trade_of(industry)
    assert match.design == "clinic" and "medical" in match.groups and match.known


@pytest.mark.parametrize(
    ("industry", "design", "group"),
    [
        ("整体院", "generic", "therapy"), ("鍼灸", "generic", "therapy"), ("リラクゼーション", "generic", "therapy"),
        ("エステ", "beauty", "cosmetic"), ("nail salon", "beauty", "cosmetic"), ("サプリメント販売", "shop", "food"),
        ("整体スクール", "school", "therapy"), ("不動産仲介", "realestate", "realestate"),
        ("英会話スクール", "school", "school"),
        ("bakery", "restaurant", "restaurant"), ("まつげエクステ", "beauty", "cosmetic"),
        ("ネイルケア", "beauty", "cosmetic"), ("ブライダルシェービング", "beauty", "cosmetic"),
        ("ヨガスタジオ", "school", "school"), ("過払い金", "counsel", "profession"),
        ("iDeCo相談", "generic", "finance"),
        ("不動産買取", "realestate", "realestate"), ("美容外科", "clinic", "self_paid"),
        ("もつ鍋", "restaurant", "restaurant"), ("就労継続支援B型", "generic", "care"),
 ("行政書士", "counsel", "profession"), ("FP", "generic", "finance"),
    ],
)  # fmt: skip
def test_a_trade_has_a_design_and_rules(industry: str, design: str, group: str) -> None:
    match = trade_of(industry)
    assert match.design == design and group in match.groups and match.known


@pytest.mark.parametrize(
    "industry", ["洋服リフォーム", "着物リフォーム", "バッグのお直し", "指輪リフォーム", "家具リフォーム"]
)
def test_mending_of_things_is_no_building(industry: str) -> None:
    assert trade_of(industry).design == "generic"


@pytest.mark.parametrize("industry", ["ふしぎ屋", "カンパニー", "magazine", "saga"])
def test_an_unknown_trade_gets_the_strictest_rules(industry: str) -> None:
    match = trade_of(industry)
    assert not match.known and match.design == "generic" and match.groups == STRICTEST


def test_the_list_of_trades_is_consistent() -> None:
    names = [name for trade in TRADES for name in trade["names"]]
    assert len(names) > 1_000
    assert {trade["design"] for trade in TRADES} == set(DESIGNS)
    used = {group for trade in TRADES for group in trade["groups"]}
    ruled = {group for rule in every_rule() for group in rule.groups or ()}
    assert used - ruled <= {"shop", "self_paid"} and ruled >= STRICTEST
    for trade in TRADES:
        for name in trade["names"]:
            assert trade_of(name).known, name
            assert set(trade["groups"]) <= trade_of(name).groups, name


@pytest.mark.parametrize(
    ("purpose", "purposes"),
    [
        (
            "recruit",
            "採用 求人 中途採用 新卒採用 リクルート 募集 募集中 応募 応募を増やす 急募 スタッフ募集 "
            "スタッフの募集 スタッフを募集 社員募集 正社員募集 契約社員・パート募集 従業員募集 アルバイト募集 "
            "バイト募集 パート募集 職人募集 看護師募集 保育士募集 講師募集 美容師募集 調理師さん募集 営業職募集 "
            "事務職の募集 警備員募集 運転手募集 ドライバー募集 エンジニア募集 人材募集 店長候補募集 新卒募集 "
            "経験者募集 販売員募集 スタッフ大募集 看護師の応募 ﾊﾟｰﾄ募集 インストラクター募集",
        ),
        (
            "inquiry",
            "生徒募集 会員募集 新規会員募集 入居者募集 園児募集 参加者募集 モニター募集 オーナー募集 "
            "FC加盟店募集 加盟店募集 販売代理店募集 キャンペーン応募 キャンペーンへの応募 懸賞応募 塾生募集 "
            "受講生募集 部員募集 団員募集 隊員募集 定員募集 里親募集 サロンモデル募集 協賛募集 寄付の募集 "
            "出店者募集 作品募集 応募キャンペーン 問い合わせ 資料請求",
        ),
        ("booking", "予約 体験レッスン参加者募集 体験入学生募集"),
        ("visit", "集客 来店"), ("sale", "販売 通販"),
    ],
)  # fmt: skip
def test_only_a_search_for_staff_is_for_recruiting(purpose: str, purposes: str) -> None:
    typed = purposes.split(" ")
    assert {each: purpose_of(each, "some") for each in typed} == dict.fromkeys(typed, purpose)
