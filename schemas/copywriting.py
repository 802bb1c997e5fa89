"""The copy of a page: a model's or built-in texts. Facts and names are slots that are filled later."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.generation import Model
from schemas.sections import Benefits, Closing, Faq, Flow, Hero, Problems, Solution

NAME_SLOT = "〔屋号〕"
TOPIC_SLOT = "〔題材〕"
GIVEN = ("prices", "testimonials", "licences", "hours", "access")


class CopyFields(Model):
    """The fields of a request that its copy depends on.

    They hold no name, address or fact: `given` lists the names of the facts, without their values.
    """

    industry: str
    purpose: str
    keywords: Annotated[list[str], Field(max_length=20)]
    tone: Literal["friendly", "formal", "premium"]
    quality: Literal["fast", "high"]
    locale: str
    given: list[str]


class Copy(Model):
    """The texts of one page, by section. They may contain NAME_SLOT and TOPIC_SLOT."""

    hero: Hero
    problems: Problems
    solution: Solution
    benefits: Benefits
    flow: Flow | None = None
    faq: Faq
    closing: Closing
