"""Boundaries of Japanese words, found by SudachiPy with its core dictionary.

The dictionary is a file of 200 MB that is mapped into memory at the first call, once in a process. The edge makes no
call. docs/generation.md says why this analyser.
"""

import math
import re
import threading
from functools import cache, lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sudachipy import Dictionary, Tokenizer

LONGEST = 200
_one_at_a_time = threading.Lock()  # a tokenizer serves one thread


@cache
def _dictionary() -> "Dictionary":
    from sudachipy import Dictionary  # not at the module's import: the edge imports the module, too

    return Dictionary(dict="core")


@cache
def _tokenizer() -> "Tokenizer":
    return _dictionary().tokenizer()


@lru_cache(maxsize=512)
def boundaries(text: str, short: bool = False) -> frozenset[int]:
    """Return the positions where words begin or end, in the first LONGEST characters of the text.

    Compounds of the dictionary (絶対音感) are one word; with `short`, their parts are words.
    """
    from sudachipy import SplitMode

    with _one_at_a_time:
        morphemes = _tokenizer().tokenize(text[:LONGEST], mode=SplitMode.A if short else SplitMode.C)
        return frozenset((0, *(morpheme.end() for morpheme in morphemes)))


_HIRAGANA_BEFORE, _KATAKANA_BEFORE = re.compile("[ぁ-ゖー]+$"), re.compile("[ァ-ヺー]+$")


@lru_cache(maxsize=4096)
def begins_word(text: str, start: int, end: int) -> bool:
    """Return whether a name in kana begins a word: バー in ワインバー, but not in サーバー.

    The dictionary does not have every compound (シーシャバー). So a name in a compound also begins a word if no longer
    word of the dictionary ends with it, as カバー does in ソファカバー. A longer word does not count if the rest before
    it is no word: テキーラバー is テキーラ and バー, because テキー before ラバー is none.
    """
    before = (_KATAKANA_BEFORE if "ァ" <= text[start] <= "ヺ" else _HIRAGANA_BEFORE).search(text[:start])
    if before is None or start in boundaries(text, short=True):
        return True
    first = before.start()
    longer = [_parts(text[first:at]) for at in range(first, start) if _is_whole(text[at:end], proper=at == first)]
    return not longer or math.inf > _parts(text[first:start]) <= min(longer)


def _parts(text: str) -> float:
    """Return how many words a text has; infinity if the dictionary does not have them all."""
    from sudachipy import SplitMode

    with _one_at_a_time:
        words = _tokenizer().tokenize(text, mode=SplitMode.C)
        return math.inf if any(word.is_oov() for word in words) else len(words)


def _is_whole(surface: str, proper: bool) -> bool:
    """Return whether the dictionary has the surface as a word without parts.

    Proper nouns (イバー) count only with `proper`.
    """
    from sudachipy import SplitMode

    with _one_at_a_time:
        every = _dictionary().lookup(surface)
        entries = [entry for entry in every if proper or "固有名詞" not in entry.part_of_speech()]
        return bool(entries) and not any(len(entry.split(SplitMode.A)) for entry in entries)
