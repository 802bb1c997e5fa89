"""The page renderer: copy and facts to HTML, by sandboxed Jinja2 with autoescape.

`og_image` and `thumbnail` belong to this interface and are defined in `cards.py`, `pictures` in `curated.py`, and
`page_warnings` in `legal.py`.
"""

import json
import re
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urljoin

import minify_html
from jinja2 import FunctionLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from processors.pages.calls import Call, call_of, form_words, leads_away, outside_calls, phone_call
from processors.pages.cards import og_image, thumbnail
from processors.pages.curated import UP, Asset, Picture, drawn, pictures, uploaded
from processors.pages.designs import DESIGNS, Design, look_of
from processors.pages.facts import phone_of, ways_of
from processors.pages.given import given_sections
from processors.pages.legal import notice_of_sale, page_warnings
from processors.pages.phrases import columns, name_phrases, phrases
from processors.pages.sites import host_of, site_of
from processors.pages.slots import fill, slots, topics
from processors.pages.words import words_of
from processors.text import address, shown
from schemas.contacts import dialled
from schemas.copywriting import Copy
from schemas.generation import GenerationRequest
from schemas.plan import Brief
from schemas.sections import Footer, Form
from schemas.uploads import Uploads

__all__ = [
    "TEMPLATE_VERSION",
    "Asset",
    "integrate",
    "og_image",
    "optimise",
    "page_warnings",
    "pictures",
    "thumbnail",
]

TEMPLATE_VERSION = 3
NO_UPLOADS = Uploads()
LONGEST_DESCRIPTION = 120
# A browser may break a line after these even with `word-break: keep-all`; a word joiner prevents it inside a phrase.
_JOINT = re.compile(r"([」』）〕】！？])(?=.)")
GOTHIC = '"Hiragino Sans","Hiragino Kaku Gothic ProN","Noto Sans JP","Noto Sans CJK JP","Yu Gothic Medium",sans-serif'
MINCHO = '"Hiragino Mincho ProN","Yu Mincho","Noto Serif JP","Noto Serif CJK JP","BIZ UDPMincho",serif'


@dataclass(frozen=True, slots=True)
class Logo:
    """A customer's own logo: its address, its size, and the ground on which it is seen."""

    src: str
    width: int
    height: int
    ground: str


@dataclass(frozen=True, slots=True)
class Page:
    """The values that all sections of a page share."""

    design: Design
    headings: dict[str, str]
    pictures: dict[str, Picture]
    logo: Logo | None
    name: str
    phone: str | None
    dial: str
    url: str | None
    site: str
    site_word: str
    hours: str | None
    topics: list[str]
    call: Call
    bar: tuple[Call, ...]
    outside: tuple[Call, ...]
    reached: bool
    form: dict[str, Any] | None
    calls: tuple[str, ...]


def _source(name: str) -> str:
    return files("processors").joinpath("templates", name).read_text("utf-8")


@cache
def _css(name: str) -> Markup:
    """Return the design's minified style sheet: variables, the base and its own rules."""
    design = DESIGNS[name]
    colours = {
        key: getattr(design, key)
        for key in ("paper", "soft", "ink", "quiet", "line", "accent", "on_accent", "deep", "on_deep")
    }
    variables = "".join(f"--{key.replace('_', '-')}:{value};" for key, value in colours.items())
    head = MINCHO if design.serif else GOTHIC
    variables += f"--body:{GOTHIC};--head:{head};--latin:{head};--round:99px;--corner:10px;"
    sheet = f":root{{{variables}}}{_source('css/base.css')}{_source(f'css/{name}.css')}"
    small = minify_html.minify(f"<style>{sheet}</style>", minify_css=True, keep_closing_tags=True)
    return Markup(small.removeprefix("<style>").removesuffix("</style>"))  # noqa: S704 - our own style sheets


def _script_json(value: Any) -> Markup:
    """Return JSON that cannot end the script element around it."""
    text = json.dumps(value, ensure_ascii=False)
    for letter, instead in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028")):
        text = text.replace(letter, instead)
    return Markup(text)  # noqa: S704 - escaped above for a script element


def _phrased(text: str, name: str = "") -> Markup:
    """Return a heading that can break only between phrases; a business's name is no phrase of its own."""
    if name and name in text:
        before, name, after = text.partition(name)
        parts = [*phrases(before), *name_phrases(name), *phrases(after)]
    else:
        parts = phrases(text)
    return Markup("<wbr>").join(escape(_JOINT.sub("\\1\u2060", phrase)) for phrase in parts)


def _named(name: str) -> Markup:
    """Return a business's name that breaks between its words."""
    return Markup("<wbr>").join(escape(part) for part in name_phrases(name))


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "script_json": _script_json,
        "phrased": _phrased,
        "named": _named,
        "columns": columns,
        "shown": shown,
    }
    return environment


def integrate(
    request: GenerationRequest,
    brief: Brief,
    copy: Copy,
    uploads: Uploads = NO_UPLOADS,
    *,
    lp_id: str,
    base_url: str,
    og_key: str | None = None,
) -> str:
    """Return the page's HTML.

    `uploads` are the customer's own pictures. `base_url` is the public listener's address: the canonical address, the
    preview for social networks and the structured data have it, because they must be absolute. `og_key` is the key of
    `og_image`'s bytes in the store.
    """
    design = look_of(brief)
    words = fill(copy.model_dump(), slots(request))
    page = _page(request, brief, words, design, uploads)
    macros = _environment().get_template("sections.html.j2").module
    data = words | given_sections(request)
    body = [getattr(macros, name)(data[name], page) for name in design.order if data.get(name)]
    title = f"{words['hero']['catch']}｜{page.name}"
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=title,
            description=words["hero"]["lead"].striptags()[:LONGEST_DESCRIPTION],
            copy=words,
            body=body,
            footer=getattr(macros, "footer")(_footer(request, brief, page).model_dump(), page),  # noqa: B009 - a macro, by name
            css=_css(design.name),
            hero=page.pictures["hero"],
            structured=_structured(request, words, page, design, f"{base_url}/lp/{lp_id}"),
            page=page,
            design=design,
            lp_id=lp_id,
            page_url=f"{base_url}/lp/{lp_id}",
            og_url=f"{base_url}/{og_key}" if og_key else None,
        )
    )


def _page(request: GenerationRequest, brief: Brief, words: dict[str, Any], design: Design, uploads: Uploads) -> Page:
    ways, phone = ways_of(request), phone_of(request)
    form, url = ways.get("form"), ways.get("url") or ways.get("page")
    call, dial = call_of(request, brief, words["hero"]["call"]), phone_call(request)
    bar = (call,) if call.kind == "phone" else (dial, call) if dial else (call,) if call.kind != "more" else ()
    return Page(
        design=design,
        headings=dict(words_of(brief).headings),
        pictures=_pictures(request, brief, uploads),
        logo=_logo(uploads),
        name=shown(request.business.name) or "—",
        phone=phone,
        dial=dialled(phone or ""),
        url=address(url) if url else None,
        site=shown(host_of(url)) if url else "",
        site_word=site_of(url).name if "url" not in ways and url else "Webサイト",
        hours=shown(request.facts.hours or "") or None,
        topics=topics(request),
        call=call,
        bar=bar,
        outside=outside_calls(request, brief, call),
        reached=bool(phone or ways),
        form=Form(action=address(form), **asdict(form_words(request, brief))).model_dump() if form else None,
        calls=tuple(name for name in brief.calls if leads_away(call, name)),
    )


def _pictures(request: GenerationRequest, brief: Brief, uploads: Uploads) -> dict[str, Picture]:
    """Return the picture of each role: the customer's own as hero, else the drawings."""
    chosen = {role: drawn(drawing, role) for role, drawing in brief.drawings.items()}
    if uploads.picture is not None:
        alt = shown(request.assets.picture_alt or request.business.name)
        chosen["hero"] = uploaded(uploads.picture, "hero", alt)
    return chosen


def _logo(uploads: Uploads) -> Logo | None:
    if uploads.logo is None:
        return None
    file = uploads.logo.logo
    return Logo(f"{UP}/{file.key}", file.width, file.height, uploads.logo.ground)


def _footer(request: GenerationRequest, brief: Brief, page: Page) -> Footer:
    business = request.business
    return Footer(
        name=page.name,
        address=business.address,
        phone=page.phone,
        url=page.url,
        licences=request.facts.licences,
        sale=notice_of_sale(request, brief),
        use=page.form["use"] if page.form else None,
    )


def _structured(
    request: GenerationRequest, words: dict[str, Any], page: Page, design: Design, page_url: str
) -> list[dict[str, Any]]:
    """Return the JSON-LD of the business with its given details, and of the questions."""
    business = request.business
    optional = {
        "telephone": page.phone,
        "address": shown(business.address or ""),
        "url" if "url" in ways_of(request) else "sameAs": page.url,
    }
    return [
        {
            "@context": "https://schema.org",
            "@type": design.kind,
            "name": page.name,
            "image": urljoin(page_url, page.pictures["hero"].src),
            **({"logo": urljoin(page_url, page.logo.src)} if page.logo else {}),
            "mainEntityOfPage": page_url,
            **{key: value for key, value in optional.items() if value},
        },
        {
            "@context": "https://schema.org",
            "@type": "FAQPage",
            "mainEntity": [
                {
                    "@type": "Question",
                    "name": item["question"],
                    "acceptedAnswer": {"@type": "Answer", "text": item["answer"].striptags()},
                }
                for item in words["faq"]["items"]
            ],
        },
    ]


def optimise(html: str) -> bytes:
    """Return the page as minified bytes. Visible text and scripts stay the same."""
    small: str = minify_html.minify(html, keep_closing_tags=True, keep_html_and_head_opening_tags=True)
    return small.encode()
