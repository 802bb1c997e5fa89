"""The rules for advertisements, read from `rules/*.toml`, with the law and guideline of each.

`rules/README.md` says in Japanese how to correct them.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from processors.pages.comparable import as_hiragana, squeezed
from processors.pages.first_characters import first_characters

_NAME = re.compile("{([A-Z]+)}")
LEXICON = "lexicon.toml"


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rule: the words and patterns that it forbids, harmless expressions, and its legal sources.

    Words count between boundaries of words, patterns anywhere. No part of an innocent expression (`harmless`) counts.
    Each pattern has the characters with which a match can begin (None: any). With `given`, the customer's own words
    allow the expression, if they break the rule too. With `bare`, a mere noun of theirs does (個室).
    """

    name: str
    kind: str
    says: str
    law: str
    guideline: str
    page: str
    groups: frozenset[str] | None
    words: tuple[str, ...]
    patterns: tuple[tuple[re.Pattern[str], frozenset[str] | None], ...]
    harmless: re.Pattern[str] | None
    given: bool
    bare: bool

    @property
    def source(self) -> str:
        """The law, the guideline and the page that the rule follows."""
        return f"{self.law}、{self.guideline} {self.page}"


Listed = tuple[re.Pattern[str], Rule]


@cache
def rules_of(groups: frozenset[str]) -> tuple[Rule, ...]:
    """Return the rules of these groups, and then the rules of all trades."""
    special = [rule for rule in every_rule() if rule.groups is not None and rule.groups & groups]
    return (*special, *(rule for rule in every_rule() if rule.groups is None))


@cache
def words_of(groups: frozenset[str]) -> dict[str, list[tuple[str, Rule]]]:
    """Index the words of these rules by their first two characters. Each word has its rule."""
    words: dict[str, list[tuple[str, Rule]]] = {}
    for rule in rules_of(groups):
        for word in rule.words:
            words.setdefault(word[:2], []).append((word, rule))
    return words


@cache
def patterns_of(groups: frozenset[str]) -> tuple[dict[str, list[Listed]], list[Listed]]:
    """Index the patterns by the first characters of a match. Return the index and all other patterns."""
    beginning: dict[str, list[Listed]] = {}
    others = []
    for rule in rules_of(groups):
        for pattern, first in rule.patterns:
            if first is None:
                others.append((pattern, rule))
            for start in first or ():
                beginning.setdefault(start, []).append((pattern, rule))
    return beginning, others


@cache
def every_rule() -> tuple[Rule, ...]:
    """Return all rules, in the order of their files' names."""
    folder = _folder()
    names = sorted(path.name for path in folder.iterdir() if path.name.endswith(".toml") and path.name != LEXICON)
    texts = [(name, folder.joinpath(name).read_text("utf-8")) for name in names]
    return tuple(_rule(entry) for _, text in texts for entry in tomllib.loads(text)["rule"])


def _rule(entry: dict[str, object]) -> Rule:
    listed = {key: tuple(map(str, entry.get(key, ()))) for key in ("words", "patterns", "harmless", "groups")}  # type: ignore[call-overload]
    harmless = "|".join(map(_expanded, listed["harmless"]))
    return Rule(
        **{key: str(entry[key]) for key in ("name", "kind", "says", "law", "guideline", "page")},
        groups=frozenset(listed["groups"]) if listed["groups"] else None,
        words=tuple(dict.fromkeys(as_hiragana(squeezed(word)) for word in listed["words"])),
        patterns=tuple((re.compile(text), first_characters(text)) for text in map(_expanded, listed["patterns"])),
        harmless=re.compile(harmless) if harmless else None,
        given=bool(entry.get("given", False)),
        bare=bool(entry.get("bare", False)),
    )


def _folder() -> Traversable:
    return files("processors").joinpath("pages", "rules")


@cache
def _lexicon() -> dict[str, str]:
    """Return the regular expression of each name in the lexicon. An entry may use earlier names."""
    expanded: dict[str, str] = {}
    for name, words in tomllib.loads(_folder().joinpath(LEXICON).read_text("utf-8")).items():
        expanded[name] = _NAME.sub(lambda found: expanded[found[1]], f"(?:{'|'.join(words)})")
    return expanded


def _expanded(pattern: str) -> str:
    return as_hiragana(_NAME.sub(lambda found: _lexicon()[found[1]], pattern))
