"""Trades: the rules that map the industry that a customer typed to a design and to advertising rules.

`trades.toml` lists the names of trades and says how they are read. `words.py` has the texts of a trade.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from processors.pages.comparable import as_hiragana
from processors.pages.morphemes import begins_word
from processors.pages.purposes import SOME
from processors.text import folded

GENERIC, CLINIC, MEDICAL, ANY = "generic", "clinic", "medical", "any"
FOR = "向け"
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
# a short word of kana or letters is part of many others (パン in カンパニー), so no kana or letter may follow it
SHORT_KANA, SHORT_LATIN = 3, 5
# but a word of its own may: ネイルケア, エステルーム
_SUFFIXES = (
    "(?:けあ|さろん|すたじお|しょっぷ|すとあ|すくーる|るーむ|はうす|かふぇ|ばー|ほてる|せんたー|くらぶ|さーびす|あーと|えくすて|せらぴー|"
    "らうんじ|きっちん|れっすん|れすとらん|だいにんぐ)"
)
# the words around a name that leave its kind as it is: 引越しセンター, 農家さん; a 市民農園 has other growers
_SAME_KIND = re.compile("(?:し|さん|業者?|会社|専門|店|屋|家|場|所|施設|法人|せんたー|さーびす|ぼっくす)*$")
_OTHER_KIND = re.compile(
    "(?:用|貸し?|市民|体験|狩り|移動|出張|訪問|自宅|家庭|ほーむ|電子|おんらいん|ねっと|ばーちゃる|vr)の?$"
)
# 歯 科, A.G.A.
_SPACED = re.compile(r"(?<=[一-龥])[ ・･·]+(?=[一-龥])|(?<=\b[a-z])\.")
_KANA, _LATIN = re.compile("[ぁ-んー]+"), re.compile("[a-z -]+")


@dataclass(frozen=True, slots=True)
class TradeMatch:
    """The trade of an industry: design, groups of rules, the reason, whether the list has it.

    `sells` is one of `purposes.LEVELS`. A `licensed` trade is a profession that only its members may practise.
    `kind` is the kind of shop of a trade that no word of a kind names; None beside a name of another kind, and if the
    industry says more than its name: サウナ施工 is no sauna.
    """

    design: str
    groups: frozenset[str]
    reason: str
    known: bool
    sells: str = SOME
    licensed: bool = False
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the list of trades; `trades.toml` explains the fields."""

    design: str
    groups: frozenset[str] = frozenset()
    sells: str = SOME
    licensed: bool = False
    yields: frozenset[str] = frozenset()
    alone: bool = False
    kind: str | None = None

    def yields_to(self, other: "Row") -> bool:
        """Return whether a name of the other row decides the design before this row's."""
        return self is not other and not self.yields.isdisjoint({ANY, other.design, *other.groups})


@dataclass(frozen=True, slots=True)
class Named:
    """A name of a trade in an industry: its row, its text, and where it stands."""

    row: Row
    name: str
    start: int
    end: int

    def inside(self, other: "Named") -> bool:
        """Return whether the name stands in the text of the other."""
        return other.start <= self.start and self.end <= other.end


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files("processors").joinpath("pages", "trades.toml").read_text("utf-8"))


@cache
def _listed() -> tuple[dict[str, list[tuple[Row, str, "Name"]]], list[tuple[Row, re.Pattern[str]]]]:
    """Return the names with their rows, by the first letter of a name, and the patterns with theirs."""
    names: dict[str, list[tuple[Row, str, Name]]] = {}
    patterns = []
    for entry in _table()["trade"]:
        row = Row(
            design=entry["design"],
            groups=frozenset(entry["groups"]),
            sells=entry.get("sells", SOME),
            licensed=entry.get("licensed", False),
            yields=frozenset(entry.get("yields", ())),
            alone=entry.get("alone", False),
            kind=entry.get("kind"),
        )
        for name in entry["names"]:
            names.setdefault(typed(name)[0], []).append((row, name, name_of(typed(name))))
        patterns += [(row, re.compile(as_hiragana(text))) for text in entry.get("patterns", ())]
    return names, patterns


@cache
def _any_of(key: str) -> re.Pattern[str]:
    """Return the pattern of the words that the list has under a key."""
    return re.compile(as_hiragana("|".join(_table()[key])))


class Spelt:
    """A text in the form in which names are found, and in hiragana; both have the same length.

    No name stands inside the spans of `nothing`: 犬 does not stand in 犬山.
    """

    def __init__(self, words: str) -> None:
        self.text = _SPACED.sub("", folded(words))  # other spaces stay, because they end English words
        self.kana = as_hiragana(self.text)
        self.nothing = [match.span() for match in _any_of("nothing").finditer(self.kana)]


@lru_cache(maxsize=4096)
def spelt(words: str) -> Spelt:
    """Return a text in the form in which names are looked for."""
    return Spelt(words)


def typed(words: str) -> str:
    """Return the form in which names are compared."""
    return spelt(words).kana


@dataclass(frozen=True, slots=True)
class Name:
    """A name, by the pattern that finds it in hiragana, and whether it must begin a word."""

    pattern: re.Pattern[str]
    begins: bool = False

    def spans_in(self, words: Spelt) -> list[tuple[int, int]]:
        """Return where the name is a word of its own."""
        return [
            (start, end)
            for start, end in (match.span() for match in self.pattern.finditer(words.kana))
            if not any(first <= start and end <= last for first, last in words.nothing)
            and (not self.begins or begins_word(words.text, start, end))
        ]


@cache
def name_of(name: str) -> Name:
    """Return the name, given in the form of `typed`, as it is found in texts."""
    if _LATIN.fullmatch(name):
        return Name(re.compile(f"(?<![a-z]){name}" + ("(?![a-z])" if len(name) < SHORT_LATIN else "")))
    if _KANA.fullmatch(name) and len(name) <= SHORT_KANA:
        return Name(re.compile(f"{name}(?={_SUFFIXES}|(?![ぁ-んー]))"), begins=True)
    return Name(re.compile(re.escape(name)))


@lru_cache(maxsize=4096)
def trade_of(industry: str) -> TradeMatch:
    """Return the trade of an industry.

    The name that ends last gives the design, because the last word of a Japanese compound says what the whole is
    (料理教室 is a school). Rows of `trades.toml` say which names yield to others. The rules of all names apply.
    """
    words = spelt(industry)
    every = _named_in(words)
    if not every:
        return TradeMatch(GENERIC, STRICTEST, "the list of trades has no name that the industry contains", known=False)
    own = [named for named in every if not _served(named, words)]
    first = [named for named in own if not any(named.row.yields_to(other.row) for other in own)]
    last = max(first or own or every, key=lambda named: (named.end, named.end - named.start))
    row = last.row if own else Row(GENERIC)
    groups = frozenset().union(*(named.row.groups for named in every))
    if row.design == CLINIC:
        groups -= NOT_OF_CLINICS
    if MEDICAL not in groups:
        groups |= {LAY}
    reason = f"the industry contains {last.name}"
    return TradeMatch(row.design, groups, reason, True, row.sells, row.licensed, _kind(last, every, words))


def _kind(last: Named, every: list[Named], words: Spelt) -> str | None:
    """Return the kind of the last name; None if the industry says more than the name."""
    alike = all(named.row.kind == last.row.kind or named.inside(last) for named in every)
    around = _OTHER_KIND.search(words.kana[: last.start]) or not _SAME_KIND.match(words.kana, last.end)
    return last.row.kind if alike and not around else None


def _served(named: Named, words: Spelt) -> bool:
    """Return whether an industry only sells to those whom a name means: 病院向けシステム, 医療機器メーカー."""
    return FOR in words.kana[named.end :] or (
        named.row.design == CLINIC and _any_of("suppliers").search(words.kana, named.end) is not None
    )


def _named_in(words: Spelt) -> list[Named]:
    """Return the names in a text, without those inside the names that stand alone."""
    names, patterns = _listed()
    every = [
        Named(row, listed, start, end)
        for letter in sorted(set(words.kana))
        for row, listed, name in names.get(letter, ())
        for start, end in name.spans_in(words)
    ]
    every += [Named(row, match[0], *match.span()) for row, text in patterns for match in text.finditer(words.kana)]
    wholes = [named for named in every if named.row.alone]
    return [named for named in every if named.row.alone or not any(named.inside(whole) for whole in wholes)]
