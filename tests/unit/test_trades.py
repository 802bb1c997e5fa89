"""Trades: which names give which design and which rules."""

import tomllib
from importlib.resources import files

import pytest

from processors.pages.designs import DESIGNS
from processors.pages.rules import every_rule
from processors.pages.trades import STRICTEST, trade_of

TRADES = tomllib.loads(files("processors").joinpath("pages", "trades.toml").read_text("utf-8"))["trade"]


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
        ("もつ鍋", "restaurant", "restaurant"), ("就労継続支援B型", "generic", "care"),
 ("行政書士", "counsel", "profession"), ("FP", "generic", "finance"),
    ],
)  # fmt: skip
def test_a_trade_has_a_design_and_rules(industry: str, design: str, group: str) -> None:
    match = trade_of(industry)
    assert match.design == design and group in match.groups and match.known


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
    assert used - ruled <= {"shop"} and ruled >= STRICTEST
    for trade in TRADES:
        for name in trade["names"]:
            assert trade_of(name).known, name
            assert set(trade["groups"]) <= trade_of(name).groups, name
