"""Trades: the rules that map the industry and purpose that a customer typed.

`trades.toml` lists the names of trades, with the design and the groups of advertising rules of each.
`words.py` has the texts of a trade.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from processors.pages.comparable import as_hiragana
from processors.text import folded

GENERIC, RECRUIT, CLINIC, MEDICAL = "generic", "recruit", "clinic", "medical"
LAY = "lay"  # every trade that is no medical one
NAMES = (CLINIC, "school", "counsel", "realestate", "shop", "beauty", "restaurant", GENERIC)
# the groups of rules of an unknown trade: all that bound claims
STRICTEST = frozenset(
    (
        MEDICAL,
        LAY,
        "therapy",
        "cosmetic",
        "food",
        "restaurant",
        "realestate",
        "profession",
        "school",
        "finance",
        "care",
        "pet",
    )
)
# a clinic may speak of treatment, which the rules of 美容 or 整体 forbid; the rules of clinics bound its claims
NOT_OF_CLINICS = frozenset(("cosmetic", "therapy"))
# 募集 and 応募 mean jobs only at the start, or after a word for staff: 生徒募集 looks for pupils
_STAFF = (
    "スタッフ|キャスト|パート|バイト|社員|職員|従業員|店員|[務備売工乗船教導援談]員|作業員|清掃員|配[達送]員|要員|人[材手員]|職人|料理人|管理人|[働担]き?い?手|"
    "[転助]手|[士師]|(?<!求)職|[経験技術担当]者|新卒|中途|店長|幹部|後継者|候補|インターン|正規|派遣|ドライバー|エンジニア|デザイナー|プログラマー|"
    "ライター|トレーナー|インストラクター|コーチ|セラピスト|スタイリスト|ネイリスト|アイリスト|エステティシャン|アシスタント|ヘルパー|ケアマネ|マネージャー|"
    "オペレーター|ディレクター|カメラマン|シェフ|コック|パティシエ|ソムリエ"
)
_JOBS = re.compile(
    f"採用|求人|急募|リクルート|^(?:募集|応募)(?!キャンペーン)|(?:{_STAFF})(?:さん|候補)?(?:の|を|への|に|大|積極|追加|随時)?(?:募集|応募)"
)
PURPOSES = (
    ("booking", ("予約", "体験", "来院")),
    ("inquiry", ("募集", "応募")),
    ("sale", ("販売", "購入", "通販", "注文", "物販", "売上")),
    ("visit", ("集客", "来店", "認知", "宣伝", "紹介")),
)
# a short word of kana or letters is part of many others (パン in カンパニー), so no kana or letter may follow it
SHORT_KANA, SHORT_LATIN = 3, 5
# but a word of its own may: ネイルケア, エステルーム
_SUFFIXES = (
    "(?:けあ|さろん|すたじお|しょっぷ|すとあ|すくーる|るーむ|はうす|かふぇ|ばー|ほてる|せんたー|くらぶ|さーびす|あーと|えくすて|せらぴー|"
    "らうんじ|きっちん|れっすん|れすとらん|だいにんぐ)"
)
# 歯 科, A.G.A.
_SPACED = re.compile(r"(?<=[一-龥])[ ・･·]+(?=[一-龥])|(?<=\b[a-z])\.")
_KANA, _LATIN = re.compile("[ぁ-んー]+"), re.compile("[a-z -]+")


@dataclass(frozen=True, slots=True)
class TradeMatch:
    """The trade of an industry: design, groups of rules, the reason, and whether the list has it."""

    design: str
    groups: frozenset[str]
    reason: str
    known: bool


@cache
def _listed() -> list[tuple[re.Pattern[str], str, str, frozenset[str]]]:
    """Return the pattern, name, design and groups of each listed name."""
    source = files("processors").joinpath("pages", "trades.toml").read_text("utf-8")
    return [
        (pattern_of(typed(name)), name, entry["design"], frozenset(entry["groups"]))
        for entry in tomllib.loads(source)["trade"]
        for name in entry["names"]
    ]


def typed(words: str) -> str:
    """Return the form in which names are compared; spaces stay, because they end English words."""
    return as_hiragana(_SPACED.sub("", folded(words)))


@cache
def pattern_of(name: str) -> re.Pattern[str]:
    """Return the pattern that finds a name, in the form of `typed`, where it is a word of its own."""
    if _LATIN.fullmatch(name):
        return re.compile(f"(?<![a-z]){name}" + ("(?![a-z])" if len(name) < SHORT_LATIN else ""))
    if _KANA.fullmatch(name) and len(name) <= SHORT_KANA:
        return re.compile(f"{name}(?={_SUFFIXES}|(?![ぁ-んー]))")
    return re.compile(re.escape(name))


@lru_cache(maxsize=4096)
def trade_of(industry: str) -> TradeMatch:
    """Return the trade of an industry.

    The name of a clinic wins. Otherwise the name that ends last wins, because the last word of a Japanese compound
    says what the whole is (料理教室 is a school). The rules of all names in the industry apply.
    """
    text = typed(industry)
    matches = [
        (design == CLINIC, match.end(), match.end() - match.start(), name, design, groups)
        for pattern, name, design, groups in _listed()
        for match in pattern.finditer(text)
    ]
    if not matches:
        return TradeMatch(GENERIC, STRICTEST, "the list of trades has no name that the industry contains", known=False)
    *_, name, design, _ = max(matches, key=lambda match: match[:3])
    groups = frozenset().union(*(match[-1] for match in matches))
    if design == CLINIC:
        groups -= NOT_OF_CLINICS
    if MEDICAL not in groups:
        groups |= {LAY}
    return TradeMatch(design, groups, f"the industry contains {name}", known=True)


def purpose_of(purpose: str) -> str:
    """Return the purpose of a page: recruit, booking, sale, visit, else inquiry."""
    text = folded(purpose)
    if _JOBS.search(text):
        return RECRUIT
    return next((kind for kind, words in PURPOSES if any(word in text for word in words)), "inquiry")
