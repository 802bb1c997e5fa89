"""The lint for Japanese advertising law. It finds forbidden words, and never changes a text.

The rules are data (`rules.py`). A lint finds words, not meanings, so it does not replace a legal review.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice

from processors.pages.comparable import as_hiragana, squeezed, with_digits
from processors.pages.denials import takes_back
from processors.pages.morphemes import LONGEST, boundaries
from processors.pages.purposes import RECRUIT, purpose_of
from processors.pages.rules import Rule, patterns_of, words_of
from processors.pages.trades import STRICTEST, trade_of
from schemas.copywriting import CopyFields

MOST_FINDINGS, AROUND, LONG_WORD = 5, 60, 4
# bounds of the work that a text with thousands of matches causes
MOST_MATCHES, MOST_OF_A_WORD = 500, 20
_NUMBERS, _COMMA, _KANA = re.compile("[0-9]+"), re.compile("(?<=[0-9]),(?=[0-9])"), re.compile("[ぁ-ゖー]")
# a fact's nouns, without words that only say that it exists
_NOUNS = re.compile("[一-鿿々]+|[ァ-ヺー]{2,}")
_FUNCTION = re.compile(
    "用意|完備|割引|値引|利用|対応|可能|設置|設け|併設|在籍|常駐|作業員|スタッフ|担当者|担当|受付|受け付|営業|施術|実施|以来|続|場合|満足|提供|始|開|歩|曜日|曜|承|伺|方|分|様|当店|当社|目|代目|付|使|差し上げ|生|経験|歴史|お金|半額|オフ|サポート|ゼロ|制度|体制|"
    "[一二三四五六七八九十百千万億〇]"
)
# the last character of a compound, and the characters before it
_SUFFIX, _KANJI_BEFORE = re.compile("[一-鿿](?![一-鿿々])"), re.compile("[一-鿿々]*$")
_DENIED = re.compile("なし|ない|なく|ぜろ|不可|不要|ません")
_NO_DIGIT_BEFORE = "(?<![0-9])"  # 0円 is no part of 500円


@dataclass(frozen=True, slots=True)
class Finding:
    """An expression that a rule forbids."""

    words: str
    rule: Rule

    @property
    def reason(self) -> str:
        """The expression, the reason and the source as one text, for a model or a customer."""
        return f"「{self.words}」：{self.rule.says}（{self.rule.law}）"


def forbidden(texts: Sequence[str], fields: CopyFields) -> dict[int, list[Finding]]:
    """Return the forbidden words in the copy of a page with these fields, by the index of the text."""
    given = (*fields.keywords, fields.purpose, fields.industry)
    return findings(texts, groups_of(fields.industry, fields.purpose), given)


def groups_of(industry: str, purpose: str) -> frozenset[str]:
    """Return the groups of rules for a page: those of its trade, and "work" for an offer of work."""
    trade = trade_of(industry)
    return trade.groups | {"work"} if purpose_of(purpose, trade.sells) == RECRUIT else trade.groups


def prepare() -> None:
    """Load the rules and the dictionary now. It takes a second, and the first text would wait."""
    findings(["絶対"], STRICTEST)


def unlawful(texts: Sequence[str], groups: frozenset[str]) -> dict[int, list[Finding]]:
    """Return the forbidden words in the customer's own texts, by the index of the text.

    Rules about facts do not apply, because the facts are the customer's.
    """
    every = findings(texts, groups)
    claims = {at: [finding for finding in found if finding.rule.kind != "fact"] for at, found in every.items()}
    return {at: found for at, found in claims.items() if found}


def findings(texts: Sequence[str], groups: frozenset[str], given: Sequence[str] = ()) -> dict[int, list[Finding]]:
    """Return an expression for each rule that a text breaks, by the index of the text.

    `given` are the customer's own words, which allow facts. All texts are searched at once, which takes less time.
    """
    words = squeezed("\n".join(text.replace("\n", " ") for text in texts))
    starts = [0, *(at + 1 for at, character in enumerate(words) if character == "\n")]
    every: dict[int, list[Finding]] = {}
    for rule, start, end in _matches(words, groups):
        if rule.given and _is_given(words, start, end, rule, given):
            continue
        found = every.setdefault(bisect_right(starts, start) - 1, [])
        if len(found) < MOST_FINDINGS and rule not in (finding.rule for finding in found):
            found.append(Finding(words[start:end], rule))
    return dict(sorted(every.items()))


def _is_given(words: str, start: int, end: int, rule: Rule, given: Sequence[str]) -> bool:
    """Return whether the customer gave this fact, with or without the words before it."""
    first = max(0, start - AROUND)
    clause = max(first, *(words.rfind(mark, first, start) + 1 for mark in "。、\n"))
    if _SUFFIX.match(words, start):
        start = max(clause, start - len(_KANJI_BEFORE.findall(words[clause:start])[0]))
    object_ = max(words.rfind(particle, clause, max(clause, start - 1)) for particle in "はにで") + 1
    facts = {words[start:end], words[clause:end], words[max(clause, object_) : end]}
    return any(_states(one, fact, rule) for one in given for fact in facts)


@lru_cache(maxsize=1024)
def _comparable(given: str) -> str:
    return with_digits(as_hiragana(_COMMA.sub("", squeezed(given))))


@lru_cache(maxsize=4096)
def _states(given: str, words: str, rule: Rule) -> bool:
    """Return whether the customer gave a fact of the same kind with the same numbers and nouns."""
    fact, theirs = _comparable(words), _comparable(given)
    if fact in theirs:
        return True
    if not rule.bare and not _is_of_kind(given, rule):
        return False
    numbers, nouns = _NUMBERS.findall(fact), _NOUNS.findall(_FUNCTION.sub(" ", _COMMA.sub("", words)))
    told = as_hiragana(squeezed(given))
    return (
        bool(numbers or nouns)
        and set(numbers) <= set(_NUMBERS.findall(theirs))
        and not (rule.bare and bool(_DENIED.search(fact)) != bool(_DENIED.search(theirs)))
        and all(_is_told(as_hiragana(noun), told) for noun in nouns)
    )


def _is_told(noun: str, told: str) -> bool:
    return noun in told or (not _KANA.search(noun) and set(noun) <= set(told))


@lru_cache(maxsize=4096)
def _is_of_kind(given: str, rule: Rule) -> bool:
    theirs = as_hiragana(squeezed(given))
    words = any(re.search(_NO_DIGIT_BEFORE + re.escape(word), theirs) for word in rule.words)
    return words or any(pattern.search(theirs) for pattern, _ in rule.patterns)


def _matches(words: str, groups: frozenset[str]) -> Iterator[tuple[Rule, int, int]]:
    """Yield the matches of each rule. Skip matches within a harmless expression."""
    text = as_hiragana(words)
    for rule, start, end in islice(chain(_words(words, text, groups), _patterns(text, groups)), MOST_MATCHES):
        if not _is_harmless(rule, text, start, end):
            yield rule, start, end


def _words(words: str, text: str, groups: frozenset[str]) -> Iterator[tuple[Rule, int, int]]:
    listed = words_of(groups)
    pairs = {text[at : at + 2] for at in range(len(text))} | set(text)
    for pair in pairs & listed.keys():
        for word, rule in listed[pair]:
            for start in islice(_places(word, text), MOST_OF_A_WORD):
                if _is_whole(words, start, start + len(word)):
                    yield rule, start, start + len(word)


def _places(word: str, text: str) -> Iterator[int]:
    start = text.find(word)
    while start >= 0:
        yield start
        start = text.find(word, start + len(word))


def _patterns(text: str, groups: frozenset[str]) -> Iterator[tuple[Rule, int, int]]:
    beginning, others = patterns_of(groups)
    for at in range(len(text)):
        for start in (text[at], text[at : at + 2]):
            for pattern, rule in beginning.get(start, ()):
                if (match := pattern.match(text, at)) is not None:
                    yield rule, *match.span()
    for pattern, rule in others:
        for match in pattern.finditer(text):
            yield rule, *match.span()


def _is_whole(words: str, start: int, end: int) -> bool:
    """Return whether the expression begins and ends at the boundaries of words."""
    block = start - start % AROUND - AROUND  # neighbours share a part, so it is analysed once
    first = max(words.rfind("\n", 0, start) + 1, words.rfind("。", 0, start) + 1, block)
    last = words.find("\n", end)
    part = words[first : min(last if last >= 0 else len(words), first + LONGEST)]
    return {start - first, end - first} <= boundaries(part, short=end - start >= LONG_WORD)


def _is_harmless(rule: Rule, text: str, start: int, end: int) -> bool:
    if takes_back(text, start, end, rule.kind):
        return True
    if rule.harmless is None:
        return False
    around = rule.harmless.finditer(text, max(0, start - AROUND), end + AROUND)
    return any(match.start() <= start and end <= match.end() for match in around)
