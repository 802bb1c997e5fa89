"""From copy and facts to a page: theme by rule, Jinja2 in a sandbox with autoescape, nothing unescaped."""

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import FunctionLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup

from schemas.copywriting import Copy
from schemas.generation import GenerationRequest

TEMPLATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours of a page; contrast of ink on ground and of call text on call is at least 4.5."""

    name: str
    ground: str
    ink: str
    soft: str
    call: str
    hero: tuple[str, str]


THEMES = {
    "飲食": Theme("warm", "#fffaf3", "#3b2a1e", "#f6e7d3", "#b23a0e", ("#f4b860", "#c8553d")),
    "美容": Theme("soft", "#fff8fa", "#40303a", "#f8e4ea", "#a23b6a", ("#f7c6d4", "#b98ac2")),
    "不動産": Theme("calm", "#f7fafc", "#1f2d3a", "#e1ebf2", "#1d5c8a", ("#9cc3da", "#3f6f8f")),
}
PLAIN = Theme("plain", "#fbfbf8", "#2b2d2b", "#e9ece4", "#2f6b4f", ("#b9cfa8", "#5d8a73"))


def choose_theme(industry: str) -> Theme:
    """The industry's theme, or the plain one."""
    return THEMES.get(industry, PLAIN)


def hero_svg(theme_name: str) -> bytes:
    """The first view's illustration, drawn from the theme's colours."""
    theme = next((one for one in THEMES.values() if one.name == theme_name), PLAIN)
    light, deep = theme.hero
    circles = "".join(
        f'<circle cx="{120 + step * 165}" cy="{330 - (step % 3) * 70}" r="{150 - step * 14}" fill="{deep}"'
        ' opacity="0.22"/>'
        for step in range(5)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 450" width="800" height="450">'
        f'<defs><linearGradient id="g" x2="1" y2="1"><stop stop-color="{light}"/><stop offset="1" stop-color="{deep}"/>'
        f'</linearGradient></defs><rect width="800" height="450" fill="url(#g)"/>{circles}</svg>'
    ).encode()


def _source(name: str) -> str:
    return files("processors").joinpath("templates", name).read_text("utf-8")


def _script_json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False)
    for letter, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028")):
        text = text.replace(letter, escape)
    return Markup(text)  # noqa: S704 - escaped above for exactly this place


_environment = ImmutableSandboxedEnvironment(
    loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_environment.filters["script_json"] = _script_json


def integrate(request: GenerationRequest, copy: Copy, *, theme: str, hero_url: str, lp_id: str, base_url: str) -> str:
    """The page's HTML. `base_url` is the public listener's, `hero_url` an address under it."""
    found = next((one for one in THEMES.values() if one.name == theme), PLAIN)
    business = request.business
    structured = {
        "@context": "https://schema.org",
        "@type": "LocalBusiness",
        "name": business.name,
        **({"telephone": business.phone} if business.phone else {}),
        **({"address": business.address} if business.address else {}),
    }
    return _environment.get_template("page.html.j2").render(
        request=request,
        business=business,
        facts=request.facts,
        copy=copy,
        theme=found,
        hero_url=hero_url,
        lp_id=lp_id,
        base_url=base_url,
        page_url=f"{base_url}/lp/{lp_id}",
        structured=structured,
    )


def optimise(html: str) -> bytes:
    """The page without indentation and empty lines; what people read is untouched."""
    return "\n".join(line.strip() for line in html.splitlines() if line.strip()).encode()
