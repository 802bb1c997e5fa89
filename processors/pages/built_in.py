"""The built-in texts of a section: the usual one, and others for variants.

They say only what the given facts support: `words.chosen` leaves out each text whose facts are missing.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from processors.pages.calls import call_choices, kind_of_call
from processors.pages.purposes import RECRUIT
from processors.pages.words import Words, alone, chosen, conditions_of, filled, more_words_of, words, words_of
from schemas.copywriting import TOPIC_SLOT
from schemas.plan import Brief
from schemas.sections import BY_NAME

TONES = ("friendly", "formal", "premium")
MOST = {"problems": 3, "solution": 3, "benefits": 3, "faq": 4}


def versions(brief: Brief, section: str) -> Iterator[dict[str, Any]]:
    """Yield the built-in texts of a section, the usual one first; for a kind of shop, its trade's too."""
    facts, price = conditions_of(brief), words_of(brief).headings["price"]
    trade = [words(brief.trade)] if brief.kind and brief.purpose != RECRUIT and not alone(brief.kind) else []
    for texts in (words_of(brief), *trade):
        for raw in _raw(brief, texts, section):
            yield BY_NAME[section].holds.model_validate(filled(raw, facts, price)).model_dump()


def _raw(brief: Brief, texts: Words, section: str) -> Iterator[dict[str, Any]]:
    facts, purpose = conditions_of(brief), brief.purpose
    more = more_words_of(brief)
    others = more.get("features" if section == "solution" else section, ())

    def fitting(entries: Sequence[Any]) -> list[Any]:
        return chosen(entries, facts, purpose, len(entries))

    def parts(entries: Sequence[Any]) -> Iterator[list[Any]]:
        yield fitting(entries)[: MOST[section]]
        yield from _turns(fitting([*entries, *others]), MOST[section])

    match section:
        case "hero":
            opening = "" if purpose == RECRUIT else TOPIC_SLOT
            call = call_choices(kind_of_call(facts, purpose), brief)[0]
            for tone in dict.fromkeys((brief.fields.tone, *TONES)):
                yield {**texts.hero[tone], "lead": opening + texts.hero[tone]["lead"], "call": call}
        case "solution":
            for features in parts(texts.solution["features"]):
                yield {**texts.solution, "features": features}
        case "flow" | "closing":
            yield from fitting([*getattr(texts, section), *others])
        case _:
            for items in parts(getattr(texts, section)):
                yield {"items": items}


def _turns(entries: list[Any], most: int) -> Iterator[list[Any]]:
    """Yield `most` entries from each entry on, around the end."""
    for start in range(len(entries)):
        yield [entries[(start + at) % len(entries)] for at in range(min(most, len(entries)))]
