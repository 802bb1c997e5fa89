"""The licences that a trade shows on its pages, by the names of trades in `licences.toml`."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from processors.pages.comparable import as_hiragana
from processors.pages.trades import typed

# a business that serves such a trade is no such trade: 不動産業者向けシステム, 税理士試験の講座
_OTHER_BUSINESS = re.compile(
    as_hiragana(
        "向け|専門の?(?:税理士|会計|弁護士|コンサル|デザイン|制作|人材)|システム|ソフト|アプリ|saas|テック|コンサル|セミナー|スクール|講座|"
        "教室|学校|学院|予備校|研修|養成|試験|受験|メディア|比較サイト|一括査定|写真|撮影|清掃|クリーニング|協会|組合|(?:ホームページ|web|サイト|動画|チラシ)制作|集客支援|開業支援|求人サイト|保険"
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
    other: re.Pattern[str] | None
    sold: bool

    def named_in(self, industry: str) -> bool:
        """Return whether an industry, in the form of `trades.typed`, names a trade that needs this licence."""
        text = self.other.sub("/", industry) if self.other else industry
        found = (match for name in self.names for match in name.finditer(text))
        return any(not _OTHER_BUSINESS.search(text, match.end()) for match in found)


def licences_of(industry: str, sells: bool) -> list[Licence]:
    """Return the licences that a trade shows; those for goods only if it sells them at a distance."""
    text = typed(industry)
    distant = sells or _ONLINE.search(text) is not None
    return [licence for licence in _listed() if (distant or not licence.sold) and licence.named_in(text)]


@cache
def _listed() -> tuple[Licence, ...]:
    source = files("processors").joinpath("pages", "licences.toml").read_text("utf-8")
    return tuple(
        Licence(
            shows=entry["shows"],
            law=entry["law"],
            names=tuple(re.compile(rf"(?<![a-z]){re.escape(typed(word))}") for word in entry["words"]),
            other=re.compile(as_hiragana("|".join(entry["not"]))) if "not" in entry else None,
            sold=entry.get("sold", False),
        )
        for entry in tomllib.loads(source)["licence"]
    )
