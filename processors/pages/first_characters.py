"""The characters with which a match of a regular expression can begin.

Most expressions then need no search in a text. `re` computes them too, but it starts a search for each expression.
"""

import re
from collections.abc import Iterable
from re import _constants as code  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

WIDEST, MOST, LONGEST = 200, 400, 2
_REPEATS = {code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT}
_ZERO_WIDTH = {code.ASSERT, code.ASSERT_NOT, code.AT}

# beginnings of a match, each with whether the expression ends there, so that the next one may follow
Beginnings = set[tuple[str, bool]]
_NOTHING: Beginnings = {("", True)}
_ANYTHING: Beginnings = {("", False)}


def first_characters(pattern: str) -> frozenset[str] | None:
    """Return the one or two characters with which a match can begin; None if a match may begin with any."""
    starts = {start for start, _ in _of_sequence(_parser.parse(pattern, re.UNICODE))}
    return None if "" in starts else frozenset(start for start in starts if len(start) == 1 or start[0] not in starts)


def _of_sequence(operations: Iterable[Any]) -> Beginnings:
    every = _NOTHING
    for operation, argument in operations:
        if not any(open_ for _, open_ in every):
            break
        every = _followed(every, _of(operation, argument))
    return every


def _followed(first: Beginnings, then: Beginnings) -> Beginnings:
    every: Beginnings = set()
    for start, open_ in first:
        if not open_:
            every.add((start, False))
            continue
        for more, still_open in then:
            both = (start + more)[:LONGEST]
            every.add((both, still_open and len(both) < LONGEST))
    if len(every) > MOST:
        every = {(start[:1], False) for start, _ in every}
    return every


def _of(operation: Any, argument: Any) -> Beginnings:
    if operation in _ZERO_WIDTH:
        return _NOTHING
    if operation is code.LITERAL:
        return {(chr(argument), True)}
    if operation is code.IN:
        return _of_set(argument)
    if operation in _REPEATS:
        return _of_repeat(*argument)
    if operation is code.SUBPATTERN:
        return _of_sequence(argument[-1])
    if operation is code.BRANCH:
        return set().union(*(_of_sequence(branch) for branch in argument[1]))
    return _ANYTHING


def _of_repeat(least: int, most: int, repeated: Iterable[Any]) -> Beginnings:
    """Return the beginnings of a repeat. Two repetitions give the first two characters."""
    once = _of_sequence(repeated)
    every = _NOTHING
    for number in range(min(most, LONGEST)):
        every = _followed(every, once if number < least else once | _NOTHING)
    return every


def _of_set(items: Any) -> Beginnings:
    characters: set[str] = set()
    for kind, value in items:
        if kind is code.LITERAL:
            characters.add(chr(value))
        elif kind is code.RANGE and value[1] - value[0] < WIDEST:
            characters.update(map(chr, range(value[0], value[1] + 1)))
        else:
            return _ANYTHING
    return {(character, True) for character in characters}
