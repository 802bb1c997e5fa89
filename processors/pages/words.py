"""The built-in words of a trade and of a kind of shop within it, chosen by the given facts.

`templates/words/<trade>.toml` is a trade's file, `kinds_<trade>.toml` beside it that of its kinds, and `more.toml` has
more texts of each trade for variants. An entry of a list is a text, or a table with conditions: `needs` and `without`
name facts, groups of facts, "insured" or "licensed", `purposes` the page's purposes. The first entries whose conditions
hold are taken. `{by}` becomes the given ways of contact.
"""

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from processors.pages.facts import known
from processors.pages.purposes import RECRUIT
from processors.pages.trades import FOR, GENERIC, NAMES, Spelt, name_of, spelt, trade_of, typed
from schemas.plan import Brief

UNINSURED = {"self_paid", "pet"}  # groups of trades
CONDITIONS = ("needs", "without", "purposes")
BY = (
    ({"phone", "form", "line"}, "お電話、フォーム、LINEのいずれかで"),
    ({"phone", "form"}, "お電話またはフォームから"),
    ({"phone", "line"}, "お電話またはLINEで"),
    ({"form", "line"}, "フォームまたはLINEから"),
    ({"phone"}, "お電話で"),
    ({"form"}, "フォームから"),
    ({"line"}, "LINEで"),
)


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of a trade or kind: writing style, law, place, headings, buttons, and the built-in copy."""

    name: str
    style: str
    law: str
    place: str
    headings: Mapping[str, str]
    calls: Mapping[str, str]
    hero: Mapping[str, Mapping[str, str]]
    problems: Sequence[Any]
    solution: Mapping[str, Any]
    benefits: Sequence[Any]
    flow: Sequence[Mapping[str, Any]]
    faq: Sequence[Mapping[str, Any]]
    closing: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of shop: its trades, the words that name it, its drawings by role, and its own texts.

    A text with one of the words in `never` does not name it: 猫背 is no cat. Only the industry names the kind, not a
    keyword, if `by_keyword` is false: a restaurant may offer cakes. Public health insurance does not pay a kind that is
    not `insured`. The other texts of the trade do not suit a kind that stands `alone`: a funeral is no shop.
    """

    name: str
    trades: tuple[str, ...]
    words: tuple[str, ...]
    never: tuple[str, ...]
    by_keyword: bool
    insured: bool
    alone: bool
    drawings: Mapping[str, str]
    texts: Mapping[str, Any]

    def named_in(self, text: Spelt) -> bool:
        """Return whether a text names this kind."""
        named = any(word in text.kana and name_of(word).spans_in(text) for word in self.words)
        return named and not any(no in text.kana for no in self.never)


def _table(name: str) -> dict[str, Any]:
    source = files("processors").joinpath("templates", "words", f"{name}.toml")
    return tomllib.loads(source.read_text("utf-8")) if source.is_file() else {}


@cache
def kinds() -> dict[str, Kind]:
    """Return the kinds of all trades by name, in the order in which their words are looked for."""
    found = {}
    for trade in NAMES:
        for name, table in _table(f"kinds_{trade}").items():
            trades, drawings = (table.pop(key, ()) for key in ("trades", "drawings"))
            named, never = (tuple(map(typed, table.pop(key, ()))) for key in ("words", "not"))
            found[name] = Kind(
                name=name,
                trades=(trade, *trades),
                words=named,
                never=never,
                by_keyword=table.pop("keywords", True),
                insured=table.pop("insured", True),
                alone=table.pop("alone", False),
                drawings=dict(drawings),
                texts=table,
            )
    return found


def kind_of(trade: str, industry: str, keywords: Sequence[str]) -> str | None:
    """Return the name of the kind that the industry names, or else a keyword, or else the list of trades.

    Return None for no known kind. The generic design holds trades that have nothing in common, so there a keyword says
    nothing about a known one: an insurance agency with the keyword 自動車 repairs no cars. 葬儀社向けシステム is no
    funeral.
    """
    match = trade_of(industry)
    unlike = trade == GENERIC and match.known
    own = industry.rpartition(FOR)[2]
    for number, text in enumerate(map(spelt, (own, *(() if unlike else keywords)))):
        for kind in kinds().values():
            if trade in kind.trades and (kind.by_keyword or number == 0) and kind.named_in(text):
                return kind.name
    return match.kind if trade == match.design else None


@cache
def words(trade: str, kind: str | None = None) -> Words:
    """Return the texts of a trade, with those of a kind in their place.

    Raise KeyError for an unknown trade. The generic texts fill what a trade's file does not have.
    """
    if trade not in (*NAMES, RECRUIT):
        raise KeyError(trade)
    base = Words(name=trade, **{**_table(GENERIC), **_table(trade)})
    own = kinds()[kind].texts if kind in kinds() else {}
    shared = () if alone(kind) else ("faq", "closing")
    both = {name: [*own[name], *getattr(base, name)] for name in shared if name in own}
    merged = {name: {**getattr(base, name), **own[name]} for name in ("headings", "calls", "hero") if name in own}
    return replace(base, **{**own, **both, **merged})


def alone(kind: str | None) -> bool:
    """Return whether the other texts of its trade do not suit a kind of shop."""
    return kind in kinds() and kinds()[kind].alone


@cache
def more_words(trade: str) -> Mapping[str, Sequence[Any]]:
    """Return more texts of a trade for variants: problems, benefits, features, questions and endings."""
    more: dict[str, Any] = _table("more")[trade]
    return more


def more_words_of(brief: Brief) -> Mapping[str, Sequence[Any]]:
    """Return more texts for variants of a page; none if those of its trade do not suit its kind."""
    if brief.purpose == RECRUIT:
        return more_words(RECRUIT)
    return {} if alone(brief.kind) else more_words(brief.trade)


def words_of(brief: Brief) -> Words:
    """Return the texts for a page: those of its trade and kind, or those for recruiting."""
    return words(RECRUIT) if brief.purpose == RECRUIT else words(brief.trade, brief.kind)


def conditions_of(brief: Brief) -> frozenset[str]:
    """Return the names that the conditions of texts may use: the given facts, "insured" and "licensed".

    A page speaks of the card of public health insurance only if neither its trade nor its kind is known to do without,
    and of a duty of secrecy only if the industry names a profession that has it by law.
    """
    trade = trade_of(brief.fields.industry)
    kind = kinds().get(brief.kind or "")  # a later release may have made the brief, with a kind that is new
    uninsured = trade.groups & UNINSURED or (kind is not None and not kind.insured)
    conditions = {"insured": not uninsured, "licensed": trade.licensed}
    return known(brief.fields.given) | {name for name, holds in conditions.items() if holds}


def chosen(entries: Sequence[Any], facts: Collection[str], purpose: str, most: int) -> list[Any]:
    """Return the first entries whose conditions hold, without the conditions."""
    fitting = (entry for entry in entries if isinstance(entry, str) or _holds(entry, facts, purpose))
    return [_plain(entry) for entry, _ in zip(fitting, range(most), strict=False)]


def _holds(entry: Mapping[str, Any], facts: Collection[str], purpose: str) -> bool:
    return (
        all(name in facts for name in entry.get("needs", ()))
        and not any(name in facts for name in entry.get("without", ()))
        and purpose in entry.get("purposes", (purpose,))
    )


def _plain(entry: Any) -> Any:
    if isinstance(entry, str):
        return entry
    values = {name: value for name, value in entry.items() if name not in CONDITIONS}
    return values["text"] if values.keys() == {"text"} else values


def filled(value: Any, facts: Collection[str], price: str) -> Any:
    """Return texts in which `{by}` names the ways of contact, and `{price}` the price list."""
    if isinstance(value, str):
        by = next((words for names, words in BY if names <= set(facts)), "")
        return value.replace("{by}", by).replace("{price}", price)
    if isinstance(value, Mapping):
        return {key: filled(item, facts, price) for key, item in value.items()}
    return [filled(item, facts, price) for item in value]
