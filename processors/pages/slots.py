"""Filling of a copy's slots with values of the request; the result is ready for autoescape."""

import re
from typing import Any

from markupsafe import Markup, escape

from processors.pages.keywords import opening
from processors.pages.trades import trade_of
from processors.pages.words import kind_of
from processors.text import cut, emphasised, shown
from schemas.copywriting import NAME_SLOT, TOPIC_SLOT
from schemas.generation import GenerationRequest, Model
from schemas.sections import SECTIONS, Emphasis, Filler, Point, Question

MOST_TOPICS, TOPIC_LENGTH = 3, 18
_SLOT = re.compile("|".join((NAME_SLOT, TOPIC_SLOT)))
_WRITTEN: list[type[Model]] = [Point, Question]
_WRITTEN += [section.holds for section in SECTIONS if section.filler is Filler.MODEL]
EMPHASISED = {
    name
    for model in _WRITTEN
    for name, info in model.model_fields.items()
    if any(isinstance(mark, Emphasis) for mark in info.metadata)
}


def topics(request: GenerationRequest) -> list[str]:
    """Return the request's first distinct keywords as typed, cleaned for display."""
    words = dict.fromkeys(cut(shown(word), TOPIC_LENGTH) for word in request.keywords)
    return [word for word in words if word][:MOST_TOPICS]


def slots(request: GenerationRequest) -> dict[str, str]:
    """Return the value of each slot: the name, and a sentence with the keywords where one fits."""
    trade = trade_of(request.industry)
    kind = kind_of(trade.design, request.industry, request.keywords)
    first = opening(trade.design, topics(request), trade.licensed, kind)
    return {NAME_SLOT: shown(request.business.name), TOPIC_SLOT: first}


def fill(value: Any, known: dict[str, str], emphasis: bool = False) -> Any:
    """Return a dumped copy with filled slots.

    Slots are filled once: a filled-in value that looks like a slot does not change. Texts that may contain emphasis
    become Markup with escaped values; all others stay plain strings.
    """
    if isinstance(value, dict):
        return {key: fill(item, known, key in EMPHASISED) for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, known) for item in value]
    if not isinstance(value, str):
        return value
    if emphasis:
        cleaned = emphasised(value)
        return Markup(_SLOT.sub(lambda slot: str(escape(known[slot[0]])), cleaned))  # noqa: S704 - cleaned by nh3
    return _SLOT.sub(lambda slot: known[slot[0]], shown(value))
