"""Copy that was written for one page, lent to another of the same industry, purpose, tone and locale.

What was written for a page may hold its keywords, and claims that only its keywords make. A group of sections that
holds either is not lent: the built-in copy takes its place.
"""

import re

from processors.pages.answers import claimed, walk
from processors.pages.copywriting import assemble, groups
from processors.text import folded, plain
from schemas.copywriting import Copy, CopyFields
from schemas.page_cache import CachedCopy
from schemas.sections import of_group

_BETWEEN = re.compile(r"[\s・、,]+")


def lent(asker: CopyFields, donor: CachedCopy) -> Copy | None:
    """The donor's copy as far as the asker's keywords and facts bear it; None when they bear no group of it."""
    if donor.fields is None or not set(donor.fields.given) <= set(asker.given):
        return None
    foreign = _foreign(donor.fields.keywords, asker.keywords)
    written = donor.copy_.model_dump()
    parts = {}
    for group in groups(asker):
        part = {section.name: written[section.name] for section in of_group(group)}
        if None not in part.values() and all(_borne(words, asker, foreign) for _, words in walk(part, group)):
            parts[group] = part
    return assemble(asker, parts) if parts else None


def _foreign(theirs: list[str], mine: list[str]) -> list[str]:
    """Words of the donor's keywords that are in none of the asker's."""
    words = {word for keyword in theirs for word in _BETWEEN.split(keyword) if word}
    return [word for word in words if not any(word in keyword for keyword in mine)]


def _borne(text: str, asker: CopyFields, foreign: list[str]) -> bool:
    compared = folded(plain(text))
    return claimed(text, asker.keywords) is None and not any(word in compared for word in foreign)
