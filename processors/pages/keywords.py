"""The first sentence of built-in copy, by the class of a request's keywords.

Classes are dishes, places, occasions and others. `templates/words/keywords.toml` holds the classes and their sentences.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from processors.text import folded

MOST = 2
OWN = ("name", "say", "pattern")


@dataclass(frozen=True, slots=True)
class Class:
    """A class of keywords: its words and their pattern, its trades, and its sentences by trade or kind.

    A `licensed` class exists only for professions that only their members may practise.
    """

    words: frozenset[str]
    pattern: re.Pattern[str]
    only: tuple[str, ...]
    single: bool
    licensed: bool
    sentences: dict[str, str]

    def has(self, keyword: str, trade: str) -> bool:
        """Return whether the keyword belongs to this class in this trade."""
        text = folded(keyword)
        if self.only and trade not in self.only:
            return False
        return text in self.words or self.pattern.fullmatch(text) is not None

    def sentence(self, trade: str, kind: str | None) -> str:
        """Return the sentence of a kind of shop, or else of its trade, or else of all trades."""
        return next(self.sentences[name] for name in (kind, trade, "") if name is not None and name in self.sentences)


@cache
def classes() -> tuple[Class, ...]:
    """Return the classes in the order in which they are tried."""
    source = files("processors").joinpath("templates", "words", "keywords.toml").read_text("utf-8")
    return tuple(_class(table) for table in tomllib.loads(source)["class"])


def _class(table: dict[str, Any]) -> Class:
    of_trades = {name: value for name, value in table.items() if isinstance(value, str) and name not in OWN}
    return Class(
        words=frozenset(folded(word) for word in table.get("words", ())),
        pattern=re.compile(table.get("pattern", "(?!)"), re.VERBOSE),
        only=tuple(table.get("only", ())),
        single=table.get("single", False),
        licensed=table.get("licensed", False),
        sentences={"": table["say"], **of_trades},
    )


def opening(trade: str, keywords: Sequence[str], licensed: bool = False, kind: str | None = None) -> str:
    """Return a sentence for the readers whom the keywords mean; empty if no class fits.

    Keywords with the same sentence are joined; others stay out of it. `licensed` says that the trade is a
    profession that only its members may practise. A sentence of the `kind` of shop goes before that of the trade.
    """
    usable = [one for one in classes() if licensed or not one.licensed]
    firsts = ((word, next((one for one in usable if one.has(word, trade)), None)) for word in keywords)
    found = [(word, one, one.sentence(trade, kind)) for word, one in firsts if one is not None]
    for first, one, sentence in found:
        if sentence:
            same = [first] if one.single else [word for word, _, other in found if other == sentence]
            return sentence.format("や".join(same[:MOST]))
    return ""
