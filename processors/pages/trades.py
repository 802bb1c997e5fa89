"""Trades: rules that map an industry and purpose as typed. `words.py` has their texts."""

import re

from processors.text import folded

GENERIC, RECRUIT = "generic", "recruit"
# the first entry with a word that the industry contains wins: 美容クリニック is medicine, 料理教室 a school
WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("clinic", ("医療", "医院", "クリニック", "歯科", "病院", "診療", "整形外科", "内科", "皮膚科", "薬局")),
    ("school", ("教育", "学習", "塾", "スクール", "教室", "学校", "講座", "予備校", "保育", "幼稚園", "習い事")),
    ("counsel", ("士業", "弁護士", "税理士", "行政書士", "司法書士", "社労士", "社会保険労務士", "弁理士", "会計士",
                 "法律", "会計事務所")),
    ("realestate", ("不動産", "賃貸", "住宅", "マンション", "戸建", "土地", "物件", "工務店", "リフォーム")),
    ("shop", ("ec", "ecサイト", "通販", "ネットショップ", "オンラインショップ", "物販", "小売", "雑貨",
              "アパレル", "食品販売")),
    ("beauty", ("美容", "サロン", "エステ", "ネイル", "ヘア", "理容", "まつげ", "脱毛", "コスメ")),
    ("restaurant", ("飲食", "レストラン", "カフェ", "ラーメン", "居酒屋", "食堂", "料理", "寿司", "焼肉", "バー",
                    "喫茶", "ベーカリー", "パン", "そば", "うどん")),
)  # fmt: skip
NAMES = (*(name for name, _ in WORDS), GENERIC)
PURPOSES = (
    ("recruit", ("採用", "求人", "募集", "応募")),
    ("booking", ("予約", "体験", "来院")),
    ("sale", ("販売", "購入", "通販", "注文", "物販", "売上")),
    ("visit", ("集客", "来店", "認知", "宣伝", "紹介")),
)


# a short word of kana or letters is part of many others (パン in カンパニー), so it must be the industry's end
SHORT, _KANA = 3, re.compile("[a-zぁ-んァ-ヶー]+")


def trade_of(industry: str) -> tuple[str, str]:
    """Return the trade's name and the reason."""
    typed = folded(industry)
    for name, words in WORDS:
        for word in words:
            if typed.endswith(word) if len(word) < SHORT and _KANA.fullmatch(word) else word in typed:
                return name, f"the industry contains {word}"
    return GENERIC, "the industry matches no known trade"


def purpose_of(purpose: str) -> str:
    """Return the purpose of a page: recruit, booking, sale, visit, else inquiry."""
    typed = folded(purpose)
    return next((kind for kind, words in PURPOSES if any(word in typed for word in words)), "inquiry")
