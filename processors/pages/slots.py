"""Slots of a copy filled with what only the request knows; what comes out is ready for autoescape."""

import re
from typing import Any

from markupsafe import Markup, escape

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
    if any(isinstance(one, Emphasis) for one in info.metadata)
}


def topics(request: GenerationRequest) -> list[str]:
    """The request's first keywords as they were typed, fit to be shown."""
    found = dict.fromkeys(cut(shown(word), TOPIC_LENGTH) for word in request.keywords)
    return [word for word in found if word][:MOST_TOPICS]


def slots(request: GenerationRequest) -> dict[str, str]:
    """What each slot stands for."""
    topic = "・".join(topics(request)[:2]) or cut(shown(request.industry), TOPIC_LENGTH)
    return {NAME_SLOT: shown(request.business.name), TOPIC_SLOT: topic}


def fill(value: Any, known: dict[str, str], emphasis: bool = False) -> Any:
    """A dumped copy with its slots filled, once: a value that looks like a slot stays what it is.

    Texts that may carry emphasis become Markup, with what was filled in escaped; all others stay plain strings.
    """
    if isinstance(value, dict):
        return {key: fill(one, known, key in EMPHASISED) for key, one in value.items()}
    if isinstance(value, list):
        return [fill(one, known) for one in value]
    if not isinstance(value, str):
        return value
    if emphasis:
        cleaned = emphasised(value)
        return Markup(_SLOT.sub(lambda slot: str(escape(known[slot[0]])), cleaned))  # noqa: S704 - cleaned by nh3
    return _SLOT.sub(lambda slot: known[slot[0]], shown(value))
