"""Boundaries of Japanese words, found by SudachiPy with its core dictionary.

The dictionary is a file of 200 MB that is mapped into memory at the first call, once in a process. The edge makes no
call. docs/generation.md says why this analyser.
"""

import re
import threading
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sudachipy import Tokenizer

LONGEST = 200
SHORTEST_PART = 3
_one_at_a_time = threading.Lock()  # a tokenizer serves one thread


@cache
def _tokenizer() -> "Tokenizer":
    from sudachipy import Dictionary  # not at the module's import: the edge imports the module, too

    return Dictionary(dict="core").tokenizer()


@lru_cache(maxsize=512)
def boundaries(text: str, short: bool = False) -> frozenset[int]:
    """Return the positions where words begin or end, in the first LONGEST characters of the text.

    Compounds of the dictionary (絶対音感) are one word; with `short`, their parts are words.
    """
    from sudachipy import SplitMode

    with _one_at_a_time:
        morphemes = _tokenizer().tokenize(text[:LONGEST], mode=SplitMode.A if short else SplitMode.C)
        return frozenset((0, *(morpheme.end() for morpheme in morphemes)))


_KANA_BEFORE = re.compile("[ぁ-ゖァ-ヺー]$")


@lru_cache(maxsize=4096)
def begins_word(text: str, at: int) -> bool:
    """Return whether a word in kana begins at a position: バー in ワインバー, but not in サーバー.

    The dictionary does not have every compound. A part of a compound that it does not have begins after a word that it
    has.
    """
    if _KANA_BEFORE.search(text[:at]) is None:
        return True
    if at in boundaries(text, short=True):
        return True
    from sudachipy import SplitMode

    with _one_at_a_time:
        tokenize = _tokenizer().tokenize
        around = next((word for word in tokenize(text[:LONGEST], mode=SplitMode.A) if at < word.end()), None)
        if around is None or not around.is_oov() or at - around.begin() < SHORTEST_PART:
            return False
        before = list(tokenize(text[around.begin() : at], mode=SplitMode.C))
        return len(before) == 1 and not before[0].is_oov()
