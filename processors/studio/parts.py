"""The parts of a page as people call them: sections and elements, in the order of the page."""

import re
from collections.abc import Iterable

from processors.findings.words import SECTIONS, section_name
from processors.pictures.summary import SectionSeen
from processors.pictures.words import Language, Pairs

SECTION = re.compile(rb"""data-section=["']?([A-Za-z0-9_.-]{1,64})""")
NUMBERED = re.compile(r"faq-([0-9]{1,3})")
# data-element of the pages that lpstream makes; the other names end with the kind of the element
ELEMENTS: Pairs = {
    "top-tel": ("telephone number at the top", "上部の電話番号"),
    "bar-call": ("button of the bar at the bottom", "下部に固定されたボタン"),
    "bar-tel": ("telephone button of the bar at the bottom", "下部に固定された電話ボタン"),
    "form-send": ("send button of the form", "フォームの送信ボタン"),
    "form-privacy": ("privacy link of the form", "フォームのプライバシーポリシー"),
    "footer-law": ("legal notice", "特定商取引法に基づく表記"),
    "footer-privacy": ("privacy policy", "プライバシーポリシー"),
    "footer-site": ("website link at the end", "末尾のウェブサイトへのリンク"),
    "skip": ("link to the content", "本文へ移動するリンク"),
}
KINDS = {
    "call": ("button in {section}", "「{section}」のボタン"),
    "tel": ("telephone number in {section}", "「{section}」の電話番号"),
    "site": ("website link in {section}", "「{section}」のウェブサイトへのリンク"),
}
# the name of a section in pages and maps, if the registry has another
IN_PAGES = {"proof": "testimonials"}
QUESTION = ("question {number}", "よくある質問の{number}番目")


def title(section: str, language: Language) -> str:
    """Return the name of a section in a table, with a capital in English."""
    section = IN_PAGES.get(section, section)
    name = section_name(section, language)
    return name.removeprefix("the ").capitalize() if section in SECTIONS and language == "en" else name.strip("“”")


def element_title(element: str, language: Language) -> str | None:
    """Return the words for an element of a page that lpstream made, or None for any other name."""
    at = 0 if language == "en" else 1
    section, _, kind = element.rpartition("-")
    if (words := ELEMENTS.get(element)) is not None:
        text = words[at]
    elif (match := NUMBERED.fullmatch(element)) is not None:
        text = QUESTION[at].format(number=match[1])
    elif kind in KINDS and section in SECTIONS:
        text = KINDS[kind][at].format(section=section_name(section, language))
    else:
        return None
    return text[0].upper() + text[1:]


def section_order(html: bytes) -> list[str]:
    """Return the names of a page's sections from top to bottom."""
    return list(dict.fromkeys(name.decode() for name in SECTION.findall(html)))


def in_page_order(sections: Iterable[SectionSeen], order: list[str]) -> list[SectionSeen]:
    """Return the sections in the page's order; those that the page does not have come last, as they were."""
    place = {name: at for at, name in enumerate(order)}
    return sorted(sections, key=lambda section: place.get(section.name, len(place)))
