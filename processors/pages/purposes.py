"""Purposes: the kind of page that a customer asks for, read from the purpose that they typed.

`purposes.toml` lists the expressions with their meanings, and says how they are read.
"""

import re
import tomllib
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

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


def expanded(text: str, words: dict[str, str]) -> str:
    """Return an expression in which the words of a list stand for their names: {STAFF}."""
    while _NAME.search(text):
        text = _NAME.sub(lambda name: words[name[1]], text)
    return text


@cache
def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(expanded(text, _table()["words"]))


class _Expression(NamedTuple):
    """An expression in a purpose, in the order in which expressions decide: by `wins`, then by the end."""

    wins: bool
    end: int
    start: int
    meaning: str | None


@cache
def _rows(key: str, sells: str) -> list[tuple[dict[str, Any], re.Pattern[str]]]:
    """Return each expression that counts for trades that sell this, with its row."""
    rows = [row for row in _table()[key] if LEVELS.index(row.get("sells", NOTHING)) <= LEVELS.index(sells)]
    return [(row, _compiled(text)) for row in rows for text in row["patterns"]]


@lru_cache(maxsize=4096)
def purpose_of(purpose: str, sells: str) -> str:
    """Return the purpose of a page: recruit, booking, sale, visit, else inquiry.

    `sells` says what the trade sells, one of `LEVELS`. A trade without goods has a sale only if the purpose names goods
    or mail order.
    """
    text = folded(purpose)
    whole = _expressions(text, sells)
    parts = [(part, _expressions(part, sells)) for part in _SEPARATOR.split(text)]
    if all(one.meaning for one in whole) and all(_is_bare(part, found) for part, found in parts):
        return min((meaning for _, found in parts if (meaning := _meaning(found))), key=ORDER.index)
    otherwise = (row["means"] for row, pattern in _rows("otherwise", sells) if pattern.search(text))
    return _meaning(whole) or next(otherwise, None) or INQUIRY


def _expressions(text: str, sells: str) -> list[_Expression]:
    """Return the expressions of a text, without those inside longer ones and those that it denies."""
    every = [
        _Expression(row.get("wins", False), match.end(), match.start(), row.get("means"))
        for row, pattern in _rows("row", sells)
        for match in pattern.finditer(text)
    ]
    whole = [one for one in every if not any(_inside(one, other) for other in every)]
    return [one for one in whole if one.meaning is None or not _compiled("{NOT}").match(text, one.end)]


def _meaning(found: list[_Expression]) -> str | None:
    return max(((one.wins, one.end, one.meaning) for one in found if one.meaning), default=(False, 0, None))[-1]


def _is_bare(part: str, found: list[_Expression]) -> bool:
    """Return whether hardly more than expressions with a meaning stand in a part of a purpose."""
    said = {at for one in found for at in range(one.start, one.end)}
    return _meaning(found) is not None and len(part) - len(said) <= _REST_OF_BARE


def _inside(one: _Expression, other: _Expression) -> bool:
    span, around = (one.start, one.end), (other.start, other.end)
    return span != around and around[0] <= span[0] and span[1] <= around[1]
