"""Near copy: copy of one page, lent to another page with the same industry, purpose, tone and locale.

Copy may contain its page's keywords, and claims that only these keywords support. A group of sections that contains
either is not lent; built-in copy replaces it.
"""

import re
from typing import Any

from processors.pages.answers import refused
from processors.pages.cache_keys import shared_given
from processors.pages.copywriting import assemble
from processors.text import folded, plain, walk
from schemas.copywriting import Copy
from schemas.page_cache import CachedCopy
from schemas.plan import Brief
from schemas.sections import of_group

_BETWEEN = re.compile(r"[\s・、,]+")


def lent(brief: Brief, donor: CachedCopy) -> Copy | None:
    """Return the donor's copy with only the groups that the asker's keywords and facts support.

    Built-in copy fills the other groups. Return None if no group is supported.
    """
    asker = brief.fields
    if donor.fields is None or not set(shared_given(donor.fields.given)) <= set(shared_given(asker.given)):
        return None
    foreign = _foreign(donor.fields.keywords, asker.keywords)
    written = donor.copy_.model_dump()
    sections: dict[str, Any] = {}
    for group in brief.groups:
        part = {section.name: written[section.name] for section in of_group(group)}
        if None in part.values() or refused(part, asker):
            continue
        if not any(word in folded(plain(text)) for _, text in walk(part) for word in foreign):
            sections |= part
    return assemble(brief, sections) if sections else None


def _foreign(theirs: list[str], mine: list[str]) -> list[str]:
    """Return the words of the donor's keywords that no keyword of the asker contains."""
    words = {word for keyword in theirs for word in _BETWEEN.split(keyword) if word}
    return [word for word in words if not any(word in keyword for keyword in mine)]
