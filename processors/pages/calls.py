"""Calls to action: the addresses and words of a page's buttons, by given facts and purpose."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from processors.pages.designs import design_of
from processors.pages.facts import given_of, known, line_of, phone_of, url_of
from processors.pages.words import words_of
from processors.text import address
from schemas.generation import GenerationRequest
from schemas.plan import Brief

_ORDER = ("form", "line", "phone", "url", "place", "hours", "prices")
ORDERS = {"visit": ("place", "hours", "form", "line", "phone", "url", "prices")}
SHORT = {
    "visit": "問い合わせる",
    "booking": "予約する",
    "inquiry": "問い合わせる",
    "sale": "注文について聞く",
    "recruit": "応募について聞く",
}
SEND = {"booking": "この内容で予約を申し込む", "sale": "この内容で注文を送る"}
_SENDS = re.compile(r"送信|送る|この内容")
HREFS = {"form": "#contact", "place": "#information", "hours": "#information", "prices": "#price", "more": "#solution"}
# words of a button that leads to something else than a form
_ELSEWHERE = re.compile(r"見る|みる|場所|地図|電話|LINE|サイト|料金|価格|メニュー|購入|買う|ダウンロード|資料")


@dataclass(frozen=True, slots=True)
class Call:
    """A call to action: the kind of its target, its address on the page or outside, and its words."""

    kind: str
    href: str
    words: str


def kind_of_call(facts: Collection[str], purpose: str) -> str:
    """Return the kind of target that suits the purpose best, or "more" if no fact gives any."""
    return next((kind for kind in ORDERS.get(purpose, _ORDER) if kind in facts), "more")


def call_choices(kind: str, brief: Brief) -> tuple[str, ...]:
    """Return the built-in words for a button with a target of this kind, the usual words first."""
    words, purpose, price = words_of(brief), brief.purpose, words_of(brief).headings["price"]
    asked = "inquiry" if purpose == "visit" else purpose
    short = words.calls.get(f"{asked}_short", SHORT[purpose])
    hours_word = design_of(brief.trade).hours_word
    return {
        "form": (words.calls.get(asked, words.calls["inquiry"]), f"フォームで{short}", f"ここから{short}"),
        "line": (f"LINEで{short}", "LINEで話す", "LINEを開く"),
        "phone": (f"電話で{short}", "電話で話す", "電話をかける"),
        "url": ("公式サイトで商品を見る" if purpose == "sale" else "公式サイトを見る", "公式サイトへ", "サイトを開く"),
        "place": (f"{words.place}を見る", "場所を確かめる", "行き方を見る"),
        "hours": (f"{hours_word}を見る", f"{hours_word}を確かめる"),
        "prices": (f"{price}を見る", f"{price}を確かめる"),
        "more": ("くわしく見る", "つづきを読む"),
    }[kind]


def call_of(request: GenerationRequest, brief: Brief, written: str) -> Call:
    """Return the page's main call to action.

    `written` are the copy's words for it. Words that are not built in can stand only for a form.
    """
    kind = kind_of_call(known(given_of(request)), brief.purpose)
    return Call(kind, href_of(request, kind), call_words(kind, brief, written))


def call_words(kind: str, brief: Brief, written: str) -> str:
    """Return a writer's words for a button if they suit its target, else the usual words."""
    choices = call_choices(kind, brief)
    return written if written in choices or _fits(kind, written) else choices[0]


def _fits(kind: str, written: str) -> bool:
    """Return whether a writer's words suit a target of this kind; those of a button that sends do not."""
    return kind == "form" and not _ELSEWHERE.search(written) and not _SENDS.search(written)


def leads_away(call: Call, section: str) -> bool:
    """Return whether a call at the end of a section leads to another place than this section."""
    return call.kind != "more" and call.href != f"#{section}"


def outside_words(brief: Brief, kind: str) -> str:
    """Return the words of the last button, which leaves the page for the LINE account or the site."""
    return call_choices(kind, brief)[0]


def phone_call(request: GenerationRequest) -> Call | None:
    """Return the call that dials the telephone number, or None without a number."""
    return Call("phone", href_of(request, "phone"), "電話する") if phone_of(request) else None


def href_of(request: GenerationRequest, kind: str) -> str:
    """Return the address of a call's target, on the page or outside."""
    if kind == "phone":
        return f"tel:{dialled(phone_of(request) or '')}"
    if kind in ("line", "url"):
        return address((line_of(request) if kind == "line" else url_of(request)) or "")
    return HREFS[kind]


_INLAND_ZERO = re.compile(r"^((?:\+|00)[0-9]{1,3}[ -]*)\(0\)")


def dialled(phone: str) -> str:
    """Return the telephone number as it is dialled: without the (0) of +81 (0)3-1234-5678."""
    phone = _INLAND_ZERO.sub(r"\1", phone.strip())
    return "".join(letter for letter in phone if letter in "+0123456789")
