"""Kinds of shops: which words name one, and which only look as if they did."""

import tomllib
from importlib.resources import files

import pytest

from processors.pages.trades import GENERIC, trade_of
from processors.pages.words import kind_of

TRADES = tomllib.loads(files("processors").joinpath("pages", "trades.toml").read_text("utf-8"))["trade"]
NAMES = [name for trade in TRADES for name in trade["names"]]
KEYWORDS = (
    "猫背", "自動車", "介護", "写真", "温泉", "ホテル", "犬", "猫", "子ども", "ペット", "葬儀", "車検", "掃除", "庭",
    "マッサージ", "骨盤", "ヨガ",
    "撮影", "福祉", "お墓",
)  # fmt: skip
# the keywords of an unspecific trade that name a kind of it
OF_UNSPECIFIC = {
    "school": {"写真": "craft", "ヨガ": "gym"}, "shop": {"ペット": "pet"}, "clinic": {}, "realestate": {},
    "counsel": {},
    "restaurant": {}, "beauty": {},
}  # fmt: skip


def kind(industry: str, *keywords: str) -> str | None:
    return kind_of(trade_of(industry).design, industry, keywords)


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_keyword_never_gives_a_trade_the_words_of_another(keyword: str) -> None:
    for name in NAMES:
        own, design = kind(name), trade_of(name).design
        allowed = {own} if own or design == GENERIC else {None, OF_UNSPECIFIC[design].get(keyword)}
        assert kind(name, keyword) in allowed, name


@pytest.mark.parametrize(
    ("industry", "keywords", "name"),
    [
        ("猫背矯正", [], "seitai"), ("リラクゼーション", ["猫背"], "seitai"), ("鍼", ["猫背"], "seitai"),
        ("ハリキュウ", [], "seitai"),
        ("自動車保険代理店", [], None), ("保険代理店", ["自動車"], None), ("IT企業", ["介護"], None),
        ("結婚相談所", ["写真"], None), ("旅行会社", ["温泉"], None), ("精密板金加工", [], None),
        ("清掃", ["ホテル"], "cleaning"),
        ("ペットホテル", [], "pets"), ("ドッグトレーニング", [], "pets"), ("ホテル清掃", [], "cleaning"),
        ("介護タクシー", [], None),
        ("カーペットクリーニング", [], None), ("ペットボトルリサイクル", [], None), ("ホットドッグ", [], None),
        ("猫カフェ", [], None),
        ("サスペンション専門店", [], None), ("犬の整体", [], "pets"), ("日帰り温泉", [], None),
        ("自動車教習所", [], None),
        ("動物写真", [], "photo"), ("不用品回収", [], "cleaning"), ("旅館", ["犬"], "hotel"), ("車の修理", [], "car"),
        ("ふしぎ屋", ["猫背"], None), ("ふしぎ屋", ["トリミング"], "pets"), ("パーソナルカラー診断", [], None),
        ("とんかつ", [], None), ("トンカツ店", [], None), ("うなぎ", [], None), ("ピアノレッスン", [], "music"),
        ("カフェレストラン", [], "cafe"),
    ],
)  # fmt: skip
def test_a_word_inside_another_names_no_kind(industry: str, keywords: list[str], name: str | None) -> None:
    assert kind(industry, *keywords) == name
