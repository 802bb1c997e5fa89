"""Kinds of shops: words that name a kind, and words that only look like its name."""

import re
import tomllib
from importlib.resources import files

import pytest
from page_requests import PURPOSES, full, least

from processors.pages.brief import brief_of
from processors.pages.built_in import versions
from processors.pages.calls import call_choices
from processors.pages.copywriting import sections_of
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


# by the number of its row in 日本標準産業分類: the kinds that the names of a row in the generic design may have
OF_ROWS = {
    "835": "seitai", "75": "hotel", "85": "care daycare children disability", "A": "garden maker visit", "E": "maker",
    "79": "pets farewell funeral grave photo cleaning belongings giving visit works",
    "D": "garden works", "71": "car giving visit works",
}  # fmt: skip


def kind(industry: str, *keywords: str) -> str | None:
    return kind_of(trade_of(industry).design, industry, keywords)


@pytest.mark.parametrize("keyword", KEYWORDS)
def test_a_keyword_never_gives_a_trade_the_words_of_another(keyword: str) -> None:
    for name in NAMES:
        own, design = kind(name), trade_of(name).design
        allowed = {own} if own or design == GENERIC else {None, OF_UNSPECIFIC[design].get(keyword)}
        assert kind(name, keyword) in allowed, name


def test_a_name_has_a_kind_of_its_own_trade() -> None:
    for trade in TRADES:
        row = re.split("[ 、業]", trade["jsic"])[0]
        for name in trade["names"] if trade["design"] == GENERIC else ():
            if trade_of(name).design == GENERIC:
                assert kind(name) in {None, *OF_ROWS.get(row, "").split()}, name


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


def every_text(industry: str, *keywords: str, **rest: str) -> str:
    """Return all built-in texts that a page of the industry, or a variant of it, may have."""
    briefs = [brief_of(make(industry, keywords=list(keywords), **rest)) for make in (least, full)]
    return str([list(versions(brief, name)) for brief in briefs for name in sections_of(brief)])


UNINSURED = """
    どうぶつ病院 ドウブツ病院 アニマルホスピタル アニマルクリニック 動物病院 ペット病院 犬の歯科医院
    veterinary vet animal_hospital Vet_clinic 豊胸手術 ED治療 脂肪吸引 植毛 美容皮フ科 ピアス穴あけ 人間ドック
    ハイフ治療 メディカルダイエット エー・ジー・エー AGA 美容クリニック 脱毛クリニック 薄毛外来
    ダイエットクリニック アートメイククリニック 美容内科 レーシック 矯正歯科 健康診断 脳ドック 予防接種
    ドラッグストア plastic_surgery 動物再生医療センター 内科・美容皮膚科 整体クリニック
"""
INSURED = """
    内科 歯科 眼科 小児科 皮膚科 整形外科 産婦人科 心療内科 調剤薬局 クリニック アレルギー科 アトピー外来
    メンタルクリニック 医師会病院
"""


@pytest.mark.parametrize("industry", UNINSURED.split())
def test_a_page_without_insurance_asks_for_no_card(industry: str) -> None:
    for purpose in PURPOSES[:3]:
        assert "保険証" not in every_text(industry.replace("_", " "), purpose=purpose)


@pytest.mark.parametrize("industry", INSURED.split())
def test_a_page_of_an_insured_clinic_asks_for_the_card(industry: str) -> None:
    assert "マイナ保険証" in every_text(industry, "猫アレルギー", "犬", "目の前が駅", purpose="予約")


@pytest.mark.parametrize("keyword", ["動物病院", "AGA", "二重", "脂肪吸引", "ＥＤ治療"])
def test_a_keyword_may_say_that_insurance_does_not_pay(keyword: str) -> None:
    assert "保険証" not in every_text("医療", keyword)


@pytest.mark.parametrize(
    ("keyword", "name"),
    [
        ("猫アレルギー", None), ("犬", None), ("目の前が駅", None), ("猫背矯正", None), ("視力矯正", "eye"),
        ("骨盤", None),
        ("歯列矯正", "dental"),
    ],
)  # fmt: skip
def test_a_keyword_names_the_kind_of_an_unspecific_clinic(keyword: str, name: str | None) -> None:
    assert kind("医療", keyword) == name


FUNERALS = "家族葬 葬式 葬儀社 斎場 火葬場 霊園 墓石店 墓地 お墓 樹木葬 ペット葬儀 ペット霊園 funeral cemetery"
SHOPS_WORDS = "お店|ご来店|お越しを|楽しみ|余裕が生まれる|お客様の声|申し込む"


@pytest.mark.parametrize("industry", FUNERALS.split())
def test_a_page_about_the_dead_says_nothing_of_a_shop(industry: str) -> None:
    assert kind(industry) in ("farewell", "funeral", "grave")
    for purpose in PURPOSES[:4]:
        assert not re.findall(SHOPS_WORDS, every_text(industry, purpose=purpose))
        given = {"name": "x", "address": "東京都港区芝1-2-3"}
        words = call_choices("place", brief_of(least(industry, business=given, purpose=purpose)))
        assert words[0] == ("式場の場所を見る" if kind(industry) == "funeral" else "場所を見る")


@pytest.mark.parametrize("industry", ["神社", "お寺", "寺", "教会", "造園", "保険代理店", "冠婚葬祭互助会", "ふしぎ屋"])
def test_a_generic_page_calls_no_place_a_shop(industry: str) -> None:
    assert "お店" not in every_text(industry)
    assert call_choices("place", brief_of(least(industry)))[0] == "場所を見る"


@pytest.mark.parametrize("industry", ["ブランド買取", "質屋", "リサイクルショップ", "金の買い取り", "古本買取"])
def test_a_page_of_a_buyer_sells_nothing(industry: str) -> None:
    assert kind(industry, "古着", "ペット") == "buyback"
    assert not re.findall("注文|発送|お届け|贈りもの|商品", every_text(industry, purpose="販売"))


@pytest.mark.parametrize(
    ("industries", "never"),
    [
        ("遺品整理 特殊清掃 生前整理", "すっきり|落ちない汚れ|楽しみ|お店"),
        (
            "放課後等デイサービス 児童発達支援 障害者グループホーム 就労継続支援B型",
            "昔の仕事|口ぐせ|ケアマネジャー|重ねた歳月",
        ),
        ("訪問介護 訪問入浴 老人ホーム", "行きたがりません"),
        ("トリミングサロン 犬の美容室", "髪|鏡|お肌"),
        ("探偵 経営コンサルタント 離婚カウンセラー 興信所", "守秘義務|弁護士|法律|帳簿|申告"),
        ("タクシー会社 銭湯 映画館 図書館 寺院 消費者金融 カラオケ店 バス会社", "伺ってから決まります|内訳"),
        ("NPO NPO法人 募金活動", "料金|費用|お客様"),
        ("EC 雑貨 家具", "返品や交換|ご注文|予約注文"),
        ("銭湯 映画館 神社 寺院 美術館 農家 酒蔵 窯元", "どうしよう|うまく言葉に|お悩み|かかる手間|頼"),
        ("コンタクトレンズ", "贈り"),
        ("引越し 鍵屋 害虫駆除 便利屋 水漏れ", "うまく言葉に"),
        (
            "助産院 助産所 助産師 産後ケア 産後ケア施設 訪問看護 訪問看護ステーション 義肢 義肢装具 コンタクトレンズ "
            "献血ルーム 保健所 保健センター 遺伝子検査 医師会 検査センター",
            "診察|診断|治療|診療|患者|保険証|お薬|処方",
        ),
        ("調剤薬局 ドラッグストア 漢方薬局", "診察|診断|治療|診療|患者|医院"),
        ("整体院 整骨院 鍼灸院 柔道整復師 マッサージ エステサロン 眼鏡店 補聴器", "診察|診断|治療|診療|患者|保険証"),
        ("行政書士 司法書士 社労士 税理士 弁理士", "訴訟|裁判|弁護|示談"),
        ("学習塾 予備校 英会話教室 料理教室", "学校|卒業|入学|単位|学位"),
    ],
)  # fmt: skip
def test_a_page_says_only_what_is_true_of_its_trade(industries: str, never: str) -> None:
    for industry in industries.split():
        for purpose in PURPOSES[:3]:
            assert not re.findall(never, every_text(industry, "離婚", "税務", purpose=purpose)), (industry, purpose)


@pytest.mark.parametrize("industry", ["弁護士", "税理士事務所", "司法書士", "行政書士", "社労士", "弁理士"])
def test_a_profession_by_law_speaks_of_its_duty_of_secrecy(industry: str) -> None:
    assert "職務上の守秘義務" in every_text(industry)
