"""The sections of a page: what each holds, how long, and who fills it.

The registry gives the JSON Schema that a model writes to and names the Jinja2 macro that shows the section.
Lengths are characters; descriptions are Japanese because a model reads them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.generation import Line, Model, Price, Testimonial


class Filler(StrEnum):
    """Who may fill a section. What only a customer knows is never written by a model."""

    MODEL = "model"
    CUSTOMER = "customer"
    SYSTEM = "system"


class Emphasis:
    """Marks a text in which `<strong>` and `<em>` may stand; every other text is plain."""


class Headline:
    """Marks a text that ends without a full stop."""


Title = Annotated[str, Field(min_length=2, max_length=24, description="見出し。4〜14文字。句点なし"), Headline()]
Body = Annotated[str, Field(min_length=10, max_length=120, description="説明。35〜70文字"), Emphasis()]
Item = Annotated[str, Field(min_length=6, max_length=56, description="一文。15〜32文字。句点なし"), Headline()]


class Point(Model):
    """A heading and its text."""

    title: Title
    text: Body


class Question(Model):
    """A question and its answer."""

    question: Annotated[str, Field(min_length=5, max_length=60, description="質問。12〜28文字")]
    answer: Annotated[str, Field(min_length=8, max_length=150, description="回答。35〜80文字"), Emphasis()]


class Hero(Model):
    """The first view."""

    catch: Annotated[
        str,
        Field(min_length=4, max_length=34, description="キャッチコピー。10〜22文字。読点は一つまで、句点なし"),
        Headline(),
    ]
    lead: Annotated[str, Field(min_length=15, max_length=140, description="リード文。45〜85文字"), Emphasis()]
    call: Annotated[str, Field(min_length=2, max_length=16, description="ボタンの文言。4〜11文字")]


class Problems(Model):
    """What the reader struggles with, in the reader's words."""

    items: Annotated[list[Item], Field(min_length=3, max_length=4, description="読み手の悩み。3つ")]


class Solution(Model):
    """How it is solved: a lead and the features behind it."""

    lead: Annotated[str, Field(min_length=10, max_length=120, description="悩みへの答え。35〜70文字"), Emphasis()]
    features: Annotated[list[Point], Field(min_length=3, max_length=4, description="特徴。3つ")]


class Benefits(Model):
    """What is better afterwards."""

    items: Annotated[list[Item], Field(min_length=3, max_length=4, description="利用したあとの良い変化。3つ")]


class Flow(Model):
    """The way from first contact to the end."""

    steps: Annotated[list[Point], Field(min_length=3, max_length=5, description="手順。3〜4つ")]


class Faq(Model):
    """Questions that come before a decision."""

    items: Annotated[list[Question], Field(min_length=3, max_length=6, description="質問と回答。3〜4つ")]


class Closing(Model):
    """The last call."""

    heading: Annotated[
        str, Field(min_length=4, max_length=34, description="結びの見出し。8〜20文字。句点なし"), Headline()
    ]
    text: Annotated[str, Field(min_length=10, max_length=120, description="結びの文。35〜70文字"), Emphasis()]


class Proof(Model):
    """Customers' own words, shown as given."""

    testimonials: Annotated[list[Testimonial], Field(min_length=1)]


class PriceList(Model):
    """Prices as given."""

    prices: Annotated[list[Price], Field(min_length=1)]


class Information(Model):
    """Where and when."""

    address: Line | None
    hours: Line | None
    access: Line | None
    phone: str | None
    url: str | None


class Form(Model):
    """The form and where it posts to."""

    action: str
    purpose: str


class Footer(Model):
    """Who stands behind the page, and what the law wants said."""

    name: str
    address: str | None
    phone: str | None
    url: str | None
    licences: list[str]
    sale: bool
    form: bool


@dataclass(frozen=True, slots=True)
class Section:
    """One entry of the registry. `name` is also the macro's; sections of one `group` are written by one call."""

    name: str
    holds: type[Model]
    filler: Filler
    required: bool
    group: str | None = None


SECTIONS = (
    Section("hero", Hero, Filler.MODEL, True, "hero"),
    Section("problems", Problems, Filler.MODEL, True, "story"),
    Section("solution", Solution, Filler.MODEL, True, "solution"),
    Section("benefits", Benefits, Filler.MODEL, True, "story"),
    Section("proof", Proof, Filler.CUSTOMER, False),
    Section("price", PriceList, Filler.CUSTOMER, False),
    Section("flow", Flow, Filler.MODEL, False, "flow"),
    Section("faq", Faq, Filler.MODEL, True, "faq"),
    Section("information", Information, Filler.CUSTOMER, False),
    Section("closing", Closing, Filler.MODEL, True, "hero"),
    Section("form", Form, Filler.SYSTEM, False),
    Section("footer", Footer, Filler.SYSTEM, True),
)
BY_NAME = {section.name: section for section in SECTIONS}
GROUPS = ("hero", "story", "solution", "flow", "faq")


def of_group(group: str) -> tuple[Section, ...]:
    """The sections that one call writes; KeyError for a group that there is not."""
    if group not in GROUPS:
        raise KeyError(group)
    return tuple(section for section in SECTIONS if section.group == group)
