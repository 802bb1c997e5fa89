"""The lint for Japanese advertising law: it finds words that a page may not say, and never changes a text.

The rules are data (`rules.py`). A lint finds words, not meanings, so it does not replace a legal review.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from processors.pages.comparable import as_hiragana, squeezed, with_digits
from processors.pages.morphemes import LONGEST, boundaries
from processors.pages.rules import Rule, rules_of
from processors.pages.trades import RECRUIT, purpose_of, trade_of
from schemas.copywriting import CopyFields

MOST_FINDINGS, AROUND = 5, 60
# after a claim, words that take it back: "…をお約束するものではありません"
_TAKEN_BACK = re.compile(
    r"^[^。\n]{0,24}?(?:(?:わけ|もの|こと|訳|物)で(?:は|も)(?:な|ありません|ございません)|とは(?:限|言え|いえ|言い切|申し上げ|申せ|考えて(?:い|お))|"
    r"とは限ら|(?:と|を|は)(?:断定|断言|保証|約束)(?:は)?(?:でき|いたし|し)(?:ません|かね|ない))"
)
_NUMBERS = re.compile("[0-9]+")


@dataclass(frozen=True, slots=True)
class Finding:
    """An expression that a rule forbids."""

    words: str
    rule: Rule

    @property
    def reason(self) -> str:
        """The expression, the reason and the source, for a model or a customer."""
        return f"「{self.words}」：{self.rule.says}（{self.rule.law}）"


def forbidden(text: str, fields: CopyFields) -> list[Finding]:
    """Return what the copy of a page with these fields may not say, at most MOST_FINDINGS findings."""
    groups = trade_of(fields.industry).groups
    if purpose_of(fields.purpose) == RECRUIT:
        groups |= {"work"}
    return _first(findings(text, groups, (*fields.keywords, fields.purpose, fields.industry)))


def unlawful(text: str, groups: frozenset[str]) -> list[Finding]:
    """Return what the customer's own text may not say. Facts are the customer's, so rules about them do not apply."""
    return _first(finding for finding in findings(text, groups) if finding.rule.kind != "fact")


def _first(every: Iterator[Finding]) -> list[Finding]:
    return [finding for finding, _ in zip(every, range(MOST_FINDINGS), strict=False)]


def findings(text: str, groups: frozenset[str], given: Sequence[str] = ()) -> Iterator[Finding]:
    """Yield an expression for each rule that the text breaks; `given` are the customer's own words."""
    words = squeezed(text)
    for rule, start, end in _matches(words, groups):
        if not (rule.given and any(_states(_comparable(one), words[start:end], rule) for one in given)):
            yield Finding(words[start:end], rule)


@lru_cache(maxsize=1024)
def _comparable(given: str) -> str:
    return as_hiragana(squeezed(given))


def _states(given: str, words: str, rule: Rule) -> bool:
    """Return whether the customer's words state the same fact: they contain it, or they are its core."""
    fact = with_digits(as_hiragana(words))
    theirs = with_digits(given)
    if fact in theirs:
        return True
    same = _NUMBERS.findall(fact) == _NUMBERS.findall(theirs)
    return same and theirs in fact and any(pattern.search(given) for pattern in rule.patterns)


def _matches(words: str, groups: frozenset[str]) -> Iterator[tuple[Rule, int, int]]:
    """Yield the first match of each rule that is no part of an innocent expression."""
    text = as_hiragana(words)
    for rule in rules_of(groups):
        spans = ((start, end) for start, end in _spans(rule, words, text) if not _is_harmless(rule, text, start, end))
        if (span := next(spans, None)) is not None:
            yield rule, *span


def _spans(rule: Rule, words: str, text: str) -> Iterator[tuple[int, int]]:
    for word in rule.words:
        at = text.find(word)
        while at >= 0:
            if _is_whole(words, at, at + len(word)):
                yield at, at + len(word)
            at = text.find(word, at + 1)
    for pattern in rule.patterns:
        for match in pattern.finditer(text):
            yield match.span()


def _is_whole(words: str, start: int, end: int) -> bool:
    """Return whether the expression begins and ends where words do, in the part of the text around it."""
    first = max(words.rfind("\n", 0, start) + 1, words.rfind("。", 0, start) + 1, start - AROUND)
    part = words[first : min(end + AROUND, first + LONGEST)]
    return {start - first, end - first} <= boundaries(part)


def _is_harmless(rule: Rule, text: str, start: int, end: int) -> bool:
    if _TAKEN_BACK.match(text[end : end + 60]):
        return True
    if rule.harmless is None:
        return False
    return any(match.start() < end and match.end() > start for match in rule.harmless.finditer(text))
