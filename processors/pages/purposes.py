"""Purposes: the kind of page that a customer asks for, read from the purpose that they typed.

`purposes.toml` lists the expressions with their meanings, and says how they are read.
"""

import re
import tomllib
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from processors.text import folded

RECRUIT, BOOKING, SALE, VISIT, INQUIRY = ORDER = ("recruit", "booking", "sale", "visit", "inquiry")
# what a trade sells: no goods (an estate agent), perhaps some (a hair salon), or mostly goods (a shop)
NOTHING, SOME, GOODS = LEVELS = ("nothing", "some", "goods")
_SEPARATOR = re.compile("[・、,/&+]|(?<=[一-龥ァ-ヶー])と(?=[一-龥ァ-ヶー])")
_NAME = re.compile("{([A-Z]+)}")
_REST_OF_BARE = 5


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files("processors").joinpath("pages", "purposes.toml").read_text("utf-8"))


@cache
def _compiled(text: str) -> re.Pattern[str]:
    while _NAME.search(text):
        text = _NAME.sub(lambda name: _table()["words"][name[1]], text)
    return re.compile(text)


@cache
def _rows(key: str, sells: str) -> list[tuple[str | None, re.Pattern[str]]]:
    """Return the meaning of each expression that counts for trades that sell this."""
    rows = [row for row in _table()[key] if LEVELS.index(row.get("sells", NOTHING)) <= LEVELS.index(sells)]
    return [(row.get("means"), _compiled(text)) for row in rows for text in row["patterns"]]


@lru_cache(maxsize=4096)
def purpose_of(purpose: str, sells: str = SOME) -> str:
    """Return the purpose of a page: recruit, booking, sale, visit, else inquiry.

    `sells` says what the trade sells, one of `LEVELS`. A trade without goods has a sale only if the purpose names goods
    or mail order.
    """
    text = folded(purpose)
    parts = [_read(part, sells) for part in _SEPARATOR.split(text)]
    if len(parts) > 1 and all(meaning is not None and rest <= _REST_OF_BARE for meaning, rest in parts):
        return min((meaning for meaning, _ in parts if meaning), key=ORDER.index)
    otherwise = (meaning for meaning, pattern in _rows("otherwise", sells) if pattern.search(text))
    return _read(text, sells)[0] or next(otherwise, None) or INQUIRY


def _read(text: str, sells: str) -> tuple[str | None, int]:
    """Return the meaning of a text, and how many characters of it stand in no expression."""
    every = [(match.span(), meaning) for meaning, pattern in _rows("row", sells) for match in pattern.finditer(text)]
    whole = [(span, meaning) for span, meaning in every if not any(_inside(span, other) for other, _ in every)]
    acts = [(end, meaning) for (_, end), meaning in whole if meaning and not _compiled("{NOT}").match(text, end)]
    rest = len(text) - len({at for (start, end), _ in whole for at in range(start, end)})
    return max(acts)[1] if acts else None, rest


def _inside(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span != other and other[0] <= span[0] and span[1] <= other[1]
