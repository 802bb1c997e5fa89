"""The likeness of two texts of a section, to refuse a variant that says the same again.

The measure is Dice's coefficient of pairs of neighbouring characters. It takes linear time, needs no analyser, and does
not see the order of sentences, so questions in another order are the same text. Headings count twice, because visitors
read them first.
"""

import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from processors.pages.comparable import as_hiragana, squeezed
from processors.text import plain, walk

# measured on built-in copy: texts that a reader takes for the same are above, others below (`test_likeness.py`)
ALIKE = 0.7
HEADINGS = {"catch", "heading", "title", "question"}
_NO_WORD = re.compile(r"[\W_]+")


def likeness(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return how alike two versions of a section are, from 0 to 1. Words of buttons do not count."""
    first, second = _pairs(one), _pairs(other)
    both = first.total() + second.total()
    return 2 * (first & second).total() / both if both else 1.0


def comparable(text: str) -> str:
    """Return the letters of a text in the form for comparisons."""
    return _NO_WORD.sub("", as_hiragana(squeezed(plain(text))))


def _pairs(section: Mapping[str, Any]) -> Counter[str]:
    pairs: Counter[str] = Counter()
    for path, text in walk(section):
        field, letters = path.rpartition(".")[2], comparable(text)
        if field != "call":
            for pair in map("".join, pairwise(letters)):
                pairs[pair] += 2 if field in HEADINGS else 1
    return pairs
