"""The characters with which a match of a regular expression can begin.

Most expressions then need no search in a text. `re` computes them too, but it starts a search for each expression.
"""

import re
from re import _constants as code  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

WIDEST = 200
_REPEATS = {code.MAX_REPEAT, code.MIN_REPEAT, code.POSSESSIVE_REPEAT}
_ZERO_WIDTH = {code.ASSERT, code.ASSERT_NOT, code.AT}


def first_characters(pattern: str) -> frozenset[str] | None:
    """Return the characters with which a match can begin; None if a match may begin with any."""
    first, empty = _of_sequence(_parser.parse(pattern, re.UNICODE))
    return None if first is None or empty else frozenset(first)


def _of_sequence(operations: Any) -> tuple[set[str] | None, bool]:
    """Return the first characters of a sequence (None: any), and whether it can match nothing."""
    every: set[str] = set()
    for operation, argument in operations:
        first, empty = _of(operation, argument)
        if first is None:
            return None, False
        every |= first
        if not empty:
            return every, False
    return every, True


def _of(operation: Any, argument: Any) -> tuple[set[str] | None, bool]:
    if operation in _ZERO_WIDTH:
        return set(), True
    if operation is code.LITERAL:
        return {chr(argument)}, False
    if operation is code.IN:
        return _of_set(argument), False
    if operation in _REPEATS:
        least, _, repeated = argument
        first, empty = _of_sequence(repeated)
        return first, empty or least == 0
    if operation is code.SUBPATTERN:
        return _of_sequence(argument[-1])
    if operation is code.BRANCH:
        branches = [_of_sequence(branch) for branch in argument[1]]
        if any(first is None for first, _ in branches):
            return None, False
        return set().union(*(first or () for first, _ in branches)), any(empty for _, empty in branches)
    return None, False


def _of_set(items: Any) -> set[str] | None:
    characters: set[str] = set()
    for kind, value in items:
        if kind is code.LITERAL:
            characters.add(chr(value))
        elif kind is code.RANGE and value[1] - value[0] < WIDEST:
            characters.update(map(chr, range(value[0], value[1] + 1)))
        else:
            return None
    return characters
