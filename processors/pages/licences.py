"""The licences that a trade shows on its pages, by the names of trades in `licences.toml`."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from processors.pages.comparable import as_hiragana
from processors.pages.purposes import expanded
from processors.pages.trades import spelt, typed
from processors.text import folded

# a business that serves such a trade is no such trade: 不動産業者向けシステム, 税理士試験の講座
_OTHER_BUSINESS = re.compile(
    as_hiragana(
        "向け|(?:専門の?|に強い|に詳しい|が得意な|特化の?)(?:税理士|会計|弁護士|司法書士|行政書士|コンサル|デザイン|制作|人材)|システム|ソフト|アプリ|saas|テック|コンサル|セミナー|スクール|講座|"
        "教室|学校|学院|予備校|研修|養成|試験|受験|メディア|比較サイト|一括査定|写真|撮影|清掃|クリーニング|協会|組合|(?:ホームページ|web|サイト|動画|チラシ)制作|集客支援|開業支援|求人サイト|(?<!火災)保険(?!申請|金)|"
        r"\b(?:software|apps?|school|academy|seminars?|courses?|insurance|photo\w*|marketing|web design|cleaning)\b|"
        r"\b(?:association|jobs)\b"
    )
)
# a business that serves a list of trades: 不動産・建設業者向けシステム, 不動産・相続に強い税理士.
# But 弁護士・相続に強い税理士 are two professions.
_OF_A_LIST = re.compile(
    as_hiragana(
        r"[^()\s]*(?:業[者界]?|会社|士)向けの?\w*(?:システム|ソフト|アプリ|saas)|"
        r"(?<![士所])[^()\s]*(?:専門の?|に強い|に詳しい|が得意な|特化の?)(?:税理士|弁護士|司法書士|行政書士)"
    )
)
# a second trade begins here: 不動産・保険, real estate and insurance. A space inside English words is no such place.
_NEXT = re.compile(
    r"[^\w\s'.-]|(?<![a-z])[\s-]|[\s-](?![a-z])|(?<![っこひまも])と|や|及び|および|並びに|兼|から|(?<!ど)も|\b(?:and|with|in|plus)\b"
)
_CAMEL = re.compile("(?<=[a-z])(?=[A-Z][a-z])")
# a short English name stands alone or before such a word: wineshop, but not wineglass
_SHORT = 4
_BUSINESS = "(?:s|shop|store|bar|agency|agent|company|office|firm|service|market|cars?|books?|operator|trading|maker)"
# a trade that sells its goods on the net
_ONLINE = re.compile(
    as_hiragana(
        "通販|通信販売|オンライン|ネット(?:販売|ショップ|ストア)|お取り寄せ|宅配|(?<![a-z])ec(?![a-z])|shop|store"
    )
)

# a number of some licence: 第123号, 許可番号 45678, 30512345; no year, no count and no number for taxes
_NUMBER = re.compile(
    as_hiragana(
        "第[ a-z-]*[0-9〇一二三四五六七八九十][0-9〇一二三四五六七八九十-]*号|(?<![0-9-])[0-9]{5,}(?![0-9-])|"
        "(?:番号|許可|登録|免許|届出|認定)[^0-9年]{0,15}[0-9]{2,}(?![0-9]*年)"
    )
)
_TAXES = re.compile(
    as_hiragana("(?:適格請求書|インボイス|法人番号)(?:[^0-9、。/(第]{0,16}[0-9-]{10,})?|(?<![a-z])t[0-9-]{13,}")
)
_ADDRESS = re.compile(as_hiragana("電話|tel|fax|〒|住所"))
_DIGIT = re.compile("[0-9〇一二三四五六七八九十]")


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence to show: its words for the customer, its law, and the names of the trades that need it.

    `answer` finds its name or form in a given licence. A `numbered` licence needs a digit, too.
    """

    shows: str
    law: str
    answer: re.Pattern[str]
    numbered: bool
    names: tuple[re.Pattern[str], ...]
    others: tuple[re.Pattern[str], ...]
    sold: bool

    def named_in(self, industry: str) -> bool:
        """Return whether an industry, in the form of `folded`, names a trade that needs this licence."""
        kana = as_hiragana(industry)
        other = [match.span() for pattern in self.others for match in pattern.finditer(kana)]
        behind = kana
        for start, end in other:
            behind = behind[:start] + "_" * (end - start) + behind[end:]
        return any(
            not _is_served(industry, behind, match.end())
            and not any(start < match.end() and match.start() < end for start, end in other)
            for name in self.names
            for match in name.finditer(kana)
        )


def licences_of(industry: str, sells: bool) -> list[Licence]:
    """Return the licences that a trade shows; those for goods only if it sells them at a distance."""
    joined = spelt(industry).text  # 税 理 士 is a name, but 解体・清掃 are two
    texts = {joined, folded(_CAMEL.sub(" ", industry))}
    distant = sells or _ONLINE.search(as_hiragana(joined)) is not None
    return [
        licence
        for licence in _listed()
        if (distant or not licence.sold) and any(licence.named_in(text) for text in texts)
    ]


def unanswered(asked: list[Licence], given: list[str]) -> list[Licence]:
    """Return the licences that no given text names.

    A number without the name of any licence answers for one that is left, if there is such a number for each. Numbers
    for taxes, addresses and telephone numbers do not count. A text with several numbers counts also by its parts.
    """
    texts = [_TAXES.sub(" ", text) for text in map(typed, given) if not _ADDRESS.match(text)]
    left = _left(asked, texts)
    return left and min(left, _left(asked, [part for text in texts for part in _parts(text)]), key=len)


def _parts(text: str) -> list[str]:
    """Return the parts of a text between commas and slashes, without addresses and telephone numbers."""
    return [part for part in re.split("[、,/]", text) if not _ADDRESS.match(part)]


def _left(asked: list[Licence], texts: list[str]) -> list[Licence]:
    """Return the licences that no text answers for."""
    names = [[one for one in _listed() if one.answer.search(text)] for text in texts]
    left = [
        one
        for one in asked
        if not any(
            one in named and (not one.numbered or _DIGIT.search(text)) for text, named in zip(texts, names, strict=True)
        )
    ]
    bare = [text for text, named in zip(texts, names, strict=True) if not named and _NUMBER.search(text)]
    return left if len(bare) < len(left) else []


def _is_served(text: str, kana: str, end: int) -> bool:
    """Return whether another business serves the trade whose name ends here: 不動産システム."""
    following = _NEXT.search(text, end)
    until = following.start() if following else len(text)
    return _OTHER_BUSINESS.search(kana, end, until) is not None or _OF_A_LIST.match(kana, end) is not None


@cache
def _listed() -> tuple[Licence, ...]:
    table = tomllib.loads(files("processors").joinpath("pages", "licences.toml").read_text("utf-8"))

    def compiled(texts: list[str]) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(as_hiragana(expanded(text, table["words"]))) for text in texts)

    return tuple(
        Licence(
            shows=entry["shows"],
            law=entry["law"],
            answer=re.compile(as_hiragana(entry["answer"])),
            numbered=entry.get("numbered", True),
            names=tuple(_whole(typed(word)) for word in entry["words"]) + compiled(entry.get("patterns", [])),
            others=compiled(entry.get("not", [])),
            sold=entry.get("sold", False),
        )
        for entry in table["licence"]
    )


def _whole(name: str) -> re.Pattern[str]:
    """Return the pattern of a name. A short English name ends at a word's end: cpa is not in cpanel."""
    if not name.isascii():
        return re.compile(re.escape(name))
    end = f"{_BUSINESS}*(?![a-z])" if len(name) <= _SHORT else ""
    return re.compile(f"(?<![a-z]){name.replace(' ', ' ?')}{end}")
