"""Calls to action: the addresses and words of a page's buttons, by given facts and purpose."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from processors.pages.designs import design_of
from processors.pages.facts import (
    addresses_of,
    given_of,
    known,
    listed_site,
    phone_of,
    takes_orders,
    terms_of,
    ways_of,
)
from processors.pages.sites import names, same_address, site_of
from processors.pages.words import words_of
from processors.text import address
from schemas.contacts import dialled
from schemas.generation import GenerationRequest
from schemas.plan import Brief

_AT_ONCE, _AWAY = ("hosted", "form", "line", "phone"), ("url", "page")
_ORDER = (*_AT_ONCE, "booking", *_AWAY, "place", "hours", "prices")
ORDERS = {
    "visit": ("place", "hours", *_AT_ONCE, "booking", *_AWAY, "prices"),
    "booking": ("booking", *_AT_ONCE, *_AWAY, "place", "hours", "prices"),
}
SHORT = {
    "visit": "問い合わせる",
    "booking": "予約する",
    "inquiry": "問い合わせる",
    "sale": "注文について聞く",
    "recruit": "応募について聞く",
}
_SENDS = re.compile(r"送信|送る|この内容")
HREFS = {"form": "#contact", "place": "#information", "hours": "#information", "prices": "#price", "more": "#solution"}
_BUYING = re.compile(r"注文(?!について|を相談|のご?相談)|購入|買(?!取|い取)|カート|決済|お?取り?寄せ")
_ORDERING = re.compile(rf"{_BUYING.pattern}|買|申し?込|予約")
# words of a button that leads to something else than a form
_ELSEWHERE = re.compile(r"見る|みる|場所|地図|電話|LINE|サイト|料金|価格|メニュー|購入|買う|ダウンロード|資料")


@dataclass(frozen=True, slots=True)
class Call:
    """A call to action: the kind of its target, its address on the page or outside, and its words."""

    kind: str
    href: str
    words: str


@dataclass(frozen=True, slots=True)
class FormWords:
    """The words of a contact form: of its large field, its button, and the use of its contents."""

    label: str
    send: str
    use: str


_INQUIRY = FormWords("お問い合わせの内容", "この内容で送る", "お問い合わせへの対応")
_ORDER_INQUIRY = FormWords("ご注文についてのお問い合わせの内容", "注文について問い合わせる", "お問い合わせへの対応")
_FORMS = {
    "booking": FormWords("ご希望の日時・ご用件", "この内容で予約を申し込む", "ご予約の受付とご連絡"),
    "sale": FormWords("ご注文・ご質問の内容", "この内容で注文を送る", "ご注文の受付・商品のお届け・ご連絡"),
    "recruit": FormWords("ご質問・ご希望", "この内容で送る", "採用の選考とご連絡"),
}


def form_words(request: GenerationRequest, brief: Brief) -> FormWords:
    """Return the words of the page's form. Without the facts that the law asks for, no order is sent."""
    only_asks = offers_orders(brief) and not takes_orders(request)
    return _ORDER_INQUIRY if only_asks else _FORMS.get(brief.purpose, _INQUIRY)


def offers_orders(brief: Brief) -> bool:
    """Return whether the page's purpose, or the usual button of its form, is an order (予約注文する)."""
    posts = "form" in brief.fields.given and "hosted" not in brief.fields.given
    return brief.purpose == "sale" or (posts and _BUYING.search(call_choices("form", brief)[0]) is not None)


def sells(request: GenerationRequest, brief: Brief) -> bool:
    """Return whether 特定商取引法 asks for a table: the page offers orders, or terms of sale are given."""
    return offers_orders(brief) or bool(terms_of(request))


def kind_of_call(facts: Collection[str], purpose: str) -> str:
    """Return the kind of target that suits the purpose best, or "more" if no fact gives any."""
    return next((kind for kind in ORDERS.get(purpose, _ORDER) if kind in facts), "more")


def call_choices(kind: str, brief: Brief) -> tuple[str, ...]:
    """Return the built-in words for a button with a target of this kind, the usual words first."""
    words, purpose, price = words_of(brief), brief.purpose, words_of(brief).headings["price"]
    asked, short = _asked(purpose), _short(brief)
    hours_word = design_of(brief.trade).hours_word
    page = next((name for name in brief.fields.given if name in names()), "")
    goods = "で商品を見る" if purpose == "sale" else "を見る"
    return {
        "form": (words.calls.get(asked, words.calls["inquiry"]), f"フォームで{short}", f"ここから{short}"),
        "hosted": ("フォームを開く", "フォームへ進む", f"フォームで{short}"),
        "booking": ("予約ページへ", "予約ページを開く"),
        "line": (f"LINEで{short}", "LINEで話す", "LINEを開く"),
        "phone": (f"電話で{short}", "電話で話す", "電話をかける"),
        "url": (f"公式サイト{goods}", "公式サイトへ", "サイトを開く"),
        "page": (f"{page}{goods}", f"{page}へ", f"{page}を開く"),
        "place": (f"{words.place}を見る", "場所を確かめる", "行き方を見る"),
        "hours": (f"{hours_word}を見る", f"{hours_word}を確かめる"),
        "prices": (f"{price}を見る", f"{price}を確かめる"),
        "more": ("くわしく見る", "つづきを読む"),
    }[kind]


def _asked(purpose: str) -> str:
    return "inquiry" if purpose == "visit" else purpose


def _short(brief: Brief) -> str:
    return words_of(brief).calls.get(f"{_asked(brief.purpose)}_short", SHORT[brief.purpose])


def call_of(request: GenerationRequest, brief: Brief, written: str) -> Call:
    """Return the page's main call to action.

    `written` are the copy's words for it. Words that are not built in can stand only for a form. Those of an order do
    not stand for a form that takes no orders. A page that offers none may still ask for a booking.
    """
    kind = kind_of_call(known(given_of(request)), brief.purpose)
    words = call_words(kind, brief, written)
    ordering = _ORDERING if offers_orders(brief) else _BUYING
    if kind == "form" and ordering.search(words) and not takes_orders(request):
        words = words_of(brief).calls.get("sale_short", SHORT["sale"]) if offers_orders(brief) else _short(brief)
    return Call(kind, href_of(request, kind), words)


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


def outside_calls(request: GenerationRequest, brief: Brief, call: Call) -> tuple[Call, ...]:
    """Return the buttons at the end that leave the page: all ways of contact, or else the site.

    A given address that the page shows nowhere else follows: none may vanish.
    """
    ways = ways_of(request)
    contacts = [kind for kind in ("hosted", "booking", "line") if kind in ways]
    kinds = contacts or [kind for kind in _AWAY if kind in ways and "form" not in ways][:1]
    elsewhere = {ways.get("form"), listed_site(request), *(ways[kind] for kind in kinds)}
    words = {kind: call.words if kind == call.kind else call_choices(kind, brief)[0] for kind in kinds}
    return (
        *(Call(kind, href_of(request, kind), words[kind]) for kind in kinds),
        *(
            Call(kind, address(url), _words_of_second(kind, url, ways[kind], brief))
            for kind, url in addresses_of(request)
            if not any(each and same_address(url, each) for each in elsewhere)
        ),
    )


def _words_of_second(kind: str, url: str, first: str, brief: Brief) -> str:
    """Return the words of a button whose address may be the second of its kind."""
    usual, *_, last = call_choices(kind, brief)
    if url == first:
        return usual
    name = site_of(url).name
    return f"{name}を見る" if name and name != site_of(first).name else f"別の{last}"


def phone_call(request: GenerationRequest) -> Call | None:
    """Return the call that dials the telephone number, or None without a number."""
    return Call("phone", href_of(request, "phone"), "電話する") if phone_of(request) else None


def href_of(request: GenerationRequest, kind: str) -> str:
    """Return the address of a call's target, on the page or outside."""
    if kind == "phone":
        return f"tel:{dialled(phone_of(request) or '')}"
    return HREFS[kind] if kind in HREFS else address(ways_of(request)[kind])
