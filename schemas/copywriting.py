"""The copy of a page: what a model or the built-in templates write. Facts and names are slots, filled later."""

from typing import Annotated

from pydantic import Field

from schemas.generation import Model

Short = Annotated[str, Field(min_length=1, max_length=40)]
Sentence = Annotated[str, Field(min_length=1, max_length=160)]


class Point(Model):
    """A heading and its text."""

    title: Short
    text: Sentence


class Question(Model):
    """A question and its answer."""

    question: Annotated[str, Field(min_length=1, max_length=80)]
    answer: Sentence


class Copy(Model):
    """The words of one page, section by section."""

    catch: Short
    lead: Sentence
    call: Annotated[str, Field(min_length=1, max_length=20)]
    problems: Annotated[list[Sentence], Field(min_length=2, max_length=5)]
    features: Annotated[list[Point], Field(min_length=2, max_length=4)]
    benefits: Annotated[list[Sentence], Field(min_length=2, max_length=5)]
    flow: Annotated[list[Point], Field(min_length=2, max_length=5)]
    questions: Annotated[list[Question], Field(min_length=2, max_length=6)]
    closing: Sentence
