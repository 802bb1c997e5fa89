"""Keywords in the first sentence: which are a wish, a worry or a place, and which only end like one."""

import pytest
from page_requests import least

from processors.pages.keywords import classes, opening
from processors.pages.slots import slots
from processors.pages.trades import NAMES
from processors.pages.words import kinds
from schemas.copywriting import TOPIC_SLOT

WISH, WORRY, PLACE = "「{}」と、お考えの方へ。", "「{}」。そんな思いを抱えている方へ。", "{}で、お探しの方へ。"
WISHES = """
    海辺に住みたい 試してみたい 家を買いたい
    家を売りたい 痩せたい 髪型を変えたい 英語を話したい 海が見たい 早く寝たい 相談したい やめたい 遺言を書きたい
    資格を取りたい 庭をきれいにしてほしい 畑を貸して欲しい 子どもに着せたい 会社を辞めたい 犬と泳ぎたい
"""
WORRIES = """
    予約できない 英語が話せない 夜眠れない 眠れない 声が出ない やる気が出ない 片付かない
    何から始めればいいかわからない 使い方が分からない 勉強が続かない 成績が伸びない 売上が上がらない
    疲れが取れない 時間がない 自信がない 後継者がいない 老後の不安 お金の心配 肌の悩み 借金で困っている
    運動ができない 体重が減らず困っている 決められない ピアノが弾けない
"""
PLACES = """
    京都市 西都市 山下町 新温泉町 湘南地区
    渋谷区 横浜市 軽井沢町 長野県 大阪府 渋谷駅 渋谷駅前 湘南エリア 皇居周辺 神保町 白川村 明日香村 六ヶ所村
    忍野村 白馬村 嬬恋村 五木村 青木村 平田村 東海村 甲府市 別府 四日市 廿日市市 大町市
"""
NOTHING = """
    歯がいたい ホテルみたい 周囲にわからない 大都市 地区
    痛くない 後悔しない 挫折しない もったいない 冷たい 重たい めでたい おめでたい 煙たい ありがたい 有難い
    平たい 眠たい 後ろめたい つめたい かたい ぜったい じれったい 騒音が出ない ここでしかできない まねできない
    真似できない味 他ではできない 押し売りしない 切らない 無理をしない しつこくない 添加物を使わない 臭わない
    バレない 目立たない 増毛とわからない 継ぎ目がわからない 待たない 待たせない 失敗しない 間違いない 落ちない
    割れない 動かない 少ない 危ない 少なくない 狭くない 木村 田村 中村 西村 奥村 北村 岡村 吉村 今村 野村 川村
    志村 農村 漁村 山村 選手村 駅 市 朝市 骨董市 蚤の市 都市 下町 城下町 政府 学区 特区 道の駅 最寄駅 最寄り駅
    キッズエリア 目元周辺 キャンプ村 見たい
"""


@pytest.mark.parametrize(("sentence", "keywords"), [(WISH, WISHES), (WORRY, WORRIES), (PLACE, PLACES), ("", NOTHING)])
def test_a_keyword_has_the_class_that_it_means(sentence: str, keywords: str) -> None:
    found = {word: opening("generic", [word]) for word in keywords.split()}
    assert found == {word: sentence.format(word) for word in keywords.split()}


@pytest.mark.parametrize(
    ("trade", "keyword"),
    [
        ("clinic", "痛くない"), ("beauty", "痛くない"), ("realestate", "後悔しない"), ("school", "挫折しない"),
        ("shop", "もったいない"), ("restaurant", "冷たい"), ("generic", "木村"),
    ],
)  # fmt: skip
def test_a_promise_or_a_name_opens_no_page(trade: str, keyword: str) -> None:
    assert opening(trade, [keyword]) == ""


@pytest.mark.parametrize(
    ("industry", "keyword", "sentence"),
    [
        ("葬儀社", "誕生日", ""), ("葬儀社", "記念日", ""), ("鍵屋", "記念日", ""), ("引越し", "お祝い", ""),
        ("墓石店", "七五三", ""), ("質屋", "誕生日", ""), ("介護施設", "母の日", ""), ("保険代理店", "結婚式", ""),
        ("葬儀社", "法事", "法事のことで、お考えの方へ。"), ("日本料理店", "法事", "法事のお食事に。"),
        ("写真館", "七五三", "七五三のときに。"), ("神社", "七五三", "七五三のときに。"),
        ("旅館", "記念日", "記念日のときに。"),
        ("酒蔵", "父の日", "父の日の贈りものに。"), ("花屋", "母の日", "母の日の贈りものに。"), ("花屋", "法事", ""),
        ("ケーキ屋", "誕生日", "誕生日に。"), ("レストラン", "誕生日", "誕生日のお食事に。"),
        ("ケーキ屋", "四十九日", "四十九日に。"), ("パン屋", "法事", "法事に。"), ("弁当屋", "法要", "法要に。"),
        ("酒蔵", "忘年会", ""), ("雑貨店", "デート", ""), ("酒蔵", "お歳暮", "お歳暮の贈りものに。"),
        ("結婚式場", "結婚式", "結婚式のときに。"), ("貸衣装", "成人式", "成人式のときに。"),
        ("振袖レンタル", "成人式", "成人式のときに。"), ("袴レンタル", "卒業式", "卒業式のときに。"),
        ("結婚相談所", "結婚式", ""),
    ],
)  # fmt: skip
def test_an_occasion_opens_only_pages_that_it_suits(industry: str, keyword: str, sentence: str) -> None:
    assert slots(least(industry, keywords=[keyword]))[TOPIC_SLOT] == sentence


def test_keywords_with_one_sentence_stand_in_it_together() -> None:
    assert opening("restaurant", ["忘年会", "誕生日"]) == "忘年会や誕生日のお食事に。"
    assert opening("shop", ["忘年会", "誕生日"]) == "誕生日の贈りものに。"


def test_a_sentence_of_a_class_names_a_trade_or_a_kind() -> None:
    names = {name for one in classes() for name in one.sentences} - {""}
    assert names <= {*NAMES, *kinds()}
