"""The copy of a page: what a model or the built-in texts write. Facts and names are slots, filled later."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.generation import Model
from schemas.sections import Benefits, Closing, Faq, Flow, Hero, Problems, Solution

NAME_SLOT = "〔屋号〕"
TOPIC_SLOT = "〔題材〕"
GIVEN = ("prices", "testimonials", "licences", "hours", "access")


class CopyFields(Model):
    """All that copy depends on. No name, no address, no fact: `given` names the facts, without their values."""

    industry: str
    purpose: str
    keywords: Annotated[list[str], Field(max_length=5)]
    tone: Literal["friendly", "formal", "premium"]
    quality: Literal["fast", "high"]
    locale: str
    given: list[str]


class Copy(Model):
    """The words of one page, section by section; texts may hold NAME_SLOT and TOPIC_SLOT."""

    hero: Hero
    problems: Problems
    solution: Solution
    benefits: Benefits
    flow: Flow | None = None
    faq: Faq
    closing: Closing
