"""The studio's pages: sandboxed Jinja2 with autoescape, texts in Japanese or English."""

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import FunctionLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from processors.pictures.words import Language
from processors.studio.words import WORDS
from processors.text import shown


def _source(name: str) -> str:
    return files("processors").joinpath("templates", "studio", name).read_text("utf-8")


def _percent(value: float) -> str:
    """Return a share 0..1 as percent."""
    return f"{100 * value:.0f} %" if value >= 0.0995 or not value else f"{100 * value:.1f} %"


def _number(value: float) -> str:
    return f"{value:,.0f}"


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": _percent, "number": _number, "shown": shown}
    return environment


def render(page: str, language: Language, **values: Any) -> str:
    """Return the HTML of a page of `templates/studio/`; `values` are the variables of its template."""
    return _environment().get_template(f"{page}.html.j2").render(language=language, w=WORDS[language], **values)
