"""The licences that a trade shows on its pages, by the names of trades in `licences.toml`."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from processors.pages.comparable import as_hiragana
from processors.pages.purposes import expanded
from processors.pages.trades import typed

# a business that serves such a trade is no such trade: 不動産業者向けシステム, 税理士試験の講座
_OTHER_BUSINESS = re.compile(
    as_hiragana(
        "向け|(?:専門の?|に強い|に詳しい|が得意な|特化の?)(?:税理士|会計|弁護士|司法書士|行政書士|コンサル|デザイン|制作|人材)|システム|ソフト|アプリ|saas|テック|コンサル|セミナー|スクール|講座|"
        "教室|学校|学院|予備校|研修|養成|試験|受験|メディア|比較サイト|一括査定|写真|撮影|清掃|クリーニング|協会|組合|(?:ホームページ|web|サイト|動画|チラシ)制作|集客支援|開業支援|求人サイト|保険|被害|"
        r"\b(?:software|apps?|school|academy|seminars?|courses?|insurance|photo\w*|marketing|web design|cleaning)\b|"
        r"\b(?:association|jobs)\b"
    )
)
# a trade that sells its goods on the net
_ONLINE = re.compile(
    as_hiragana(
        "通販|通信販売|オンライン|ネット(?:販売|ショップ|ストア)|お取り寄せ|宅配|(?<![a-z])ec(?![a-z])|shop|store"
    )
)


@dataclass(frozen=True, slots=True)
class Licence:
    """A licence to show: its words for the customer, its law, and the names of the trades that need it."""

    shows: str
    law: str
    names: tuple[re.Pattern[str], ...]
    others: tuple[re.Pattern[str], ...]
    sold: bool

    def named_in(self, industry: str) -> bool:
        """Return whether an industry, in the form of `trades.typed`, names a trade that needs this licence."""
        other = [match.span() for pattern in self.others for match in pattern.finditer(industry)]
        return any(
            not _OTHER_BUSINESS.search(industry, match.end())
            and not any(start < match.end() and match.start() < end for start, end in other)
            for name in self.names
            for match in name.finditer(industry)
        )


def licences_of(industry: str, sells: bool) -> list[Licence]:
    """Return the licences that a trade shows; those for goods only if it sells them at a distance."""
    text = typed(industry)
    distant = sells or _ONLINE.search(text) is not None
    return [licence for licence in _listed() if (distant or not licence.sold) and licence.named_in(text)]


@cache
def _listed() -> tuple[Licence, ...]:
    table = tomllib.loads(files("processors").joinpath("pages", "licences.toml").read_text("utf-8"))

    def compiled(texts: list[str]) -> tuple[re.Pattern[str], ...]:
        return tuple(re.compile(as_hiragana(expanded(text, table["words"]))) for text in texts)

    return tuple(
        Licence(
            shows=entry["shows"],
            law=entry["law"],
            names=tuple(_whole(typed(word)) for word in entry["words"]) + compiled(entry.get("patterns", [])),
            others=compiled(entry.get("not", [])),
            sold=entry.get("sold", False),
        )
        for entry in table["licence"]
    )


def _whole(name: str) -> re.Pattern[str]:
    """Return the pattern of a name; no letter stands beside an English one: cpanel is no cpa."""
    return re.compile(rf"(?<![a-z]){re.escape(name)}" + ("s?(?![a-z])" if name[-1].isascii() else ""))
