"""The sections of a page: fields, lengths and the source of their content.

The registry defines the JSON Schema of a model's answer and the Jinja2 macro that renders the section.
Lengths are characters. Descriptions are Japanese because a model reads them.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from schemas.generation import Line, Model, Price, Testimonial, Treatment


class Filler(StrEnum):
    """The source of a section's content. A model never writes facts that only the customer knows."""

    MODEL = "model"
    CUSTOMER = "customer"
    SYSTEM = "system"


class Emphasis:
    """A mark on texts that may contain `<strong>` and `<em>`; all other texts are plain."""


class Headline:
    """A mark on texts that end without a full stop."""


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
    """The reader's problems, in the reader's words."""

    items: Annotated[list[Item], Field(min_length=3, max_length=4, description="読み手の悩み。3つ")]


class Solution(Model):
    """The answer to the problems: a lead and features."""

    lead: Annotated[str, Field(min_length=10, max_length=120, description="悩みへの答え。35〜70文字"), Emphasis()]
    features: Annotated[list[Point], Field(min_length=3, max_length=4, description="特徴。3つ")]


class Benefits(Model):
    """The improvements that the reader can expect."""

    items: Annotated[list[Item], Field(min_length=3, max_length=4, description="利用したあとの良い変化。3つ")]


class Flow(Model):
    """The steps from first contact to the end."""

    steps: Annotated[list[Point], Field(min_length=3, max_length=5, description="手順。3〜4つ")]


class Faq(Model):
    """Questions that readers have before they decide."""

    items: Annotated[list[Question], Field(min_length=3, max_length=6, description="質問と回答。3〜4つ")]


class Closing(Model):
    """The section at the end of a page, with the last call to action."""

    heading: Annotated[
        str, Field(min_length=4, max_length=34, description="結びの見出し。8〜20文字。句点なし"), Headline()
    ]
    text: Annotated[str, Field(min_length=10, max_length=120, description="結びの文。35〜70文字"), Emphasis()]


class Proof(Model):
    """Customers' testimonials, shown as given."""

    testimonials: Annotated[list[Testimonial], Field(min_length=1)]


class PriceList(Model):
    """Prices, shown as given."""

    prices: Annotated[list[Price], Field(min_length=1)]


class Treatments(Model):
    """Treatments that insurance does not pay, with content, cost, risks and period, shown as given."""

    treatments: Annotated[list[Treatment], Field(min_length=1)]


class Information(Model):
    """Address, hours and contacts of the business."""

    address: Line | None
    hours: Line | None
    access: Line | None
    phone: str | None
    url: str | None


class Form(Model):
    """The contact form: the address that it posts to, its words, and the use of its contents."""

    action: str
    label: str
    send: str
    use: str


class Notice(Model):
    """A table of legal facts: its heading, and its values by their words."""

    heading: str
    rows: dict[str, str]


class Footer(Model):
    """The business behind the page, and the legal notices. `use` is that of the form's contents."""

    name: str
    address: str | None
    phone: str | None
    url: str | None
    licences: list[str]
    sale: Notice | None
    use: str | None


@dataclass(frozen=True, slots=True)
class Section:
    """An entry of the registry.

    `name` is also the macro's name. One call of a model writes all sections of a `group`.
    """

    name: str
    holds: type[Model]
    filler: Filler
    group: str | None = None


SECTIONS = (
    Section("hero", Hero, Filler.MODEL, "hero"),
    Section("problems", Problems, Filler.MODEL, "story"),
    Section("solution", Solution, Filler.MODEL, "solution"),
    Section("benefits", Benefits, Filler.MODEL, "story"),
    Section("proof", Proof, Filler.CUSTOMER),
    Section("price", PriceList, Filler.CUSTOMER),
    Section("treatments", Treatments, Filler.CUSTOMER),
    Section("flow", Flow, Filler.MODEL, "flow"),
    Section("faq", Faq, Filler.MODEL, "faq"),
    Section("information", Information, Filler.CUSTOMER),
    Section("closing", Closing, Filler.MODEL, "hero"),
    Section("form", Form, Filler.SYSTEM),
    Section("footer", Footer, Filler.SYSTEM),
)
BY_NAME = {section.name: section for section in SECTIONS}
GROUPS = ("hero", "story", "solution", "flow", "faq")


def of_group(group: str) -> tuple[Section, ...]:
    """Return the sections of a group, which one call writes; raise KeyError for an unknown group."""
    if group not in GROUPS:
        raise KeyError(group)
    return tuple(section for section in SECTIONS if section.group == group)
