"""The facts of a request by name. Built-in copy and calls to action rely on these names only."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from processors.text import shown
from schemas.copywriting import GIVEN
from schemas.generation import GenerationRequest

LINE_HOSTS = ("lin.ee", "line.me")
# names that stand for any of several facts
GROUPS = {
    "contact": {"phone", "form", "line"},
    "reach": {"phone", "form", "line", "url"},
    "place": {"address", "access"},
    "open": {"address", "access", "hours"},
}


def phone_of(request: GenerationRequest) -> str | None:
    """Return the telephone number as shown, or None if no digit was given."""
    phone = shown(request.business.phone or "")
    return phone if any(letter.isdigit() for letter in phone) else None


def line_of(request: GenerationRequest) -> str | None:
    """Return the address of the LINE account, which customers give as their site or as their form."""
    given = (request.business.form_url, request.business.url)
    return next((url for url in given if url and _is_line(url)), None)


def form_of(request: GenerationRequest) -> str | None:
    """Return the address that the contact form posts to."""
    url = request.business.form_url
    return url if url and not _is_line(url) else None


def url_of(request: GenerationRequest) -> str | None:
    """Return the address of the business's own site."""
    url = request.business.url
    return url if url and not _is_line(url) else None


def given_of(request: GenerationRequest) -> list[str]:
    """Return the names of the given facts, without their values."""
    contacts = {
        "phone": phone_of(request),
        "form": form_of(request),
        "line": line_of(request),
        "url": url_of(request),
        "address": request.business.address,
    }
    facts = [name for name in GIVEN if getattr(request.facts, name)]
    return facts + [name for name, value in contacts.items() if value]


def takes_orders(request: GenerationRequest) -> bool:
    """Return whether a page may take orders: all that 特定商取引法 第11条 asks for is given.

    The law asks for no site of the business.
    """
    business, sale = request.business, request.facts.sale
    terms = () if sale is None else sale.model_dump().values()
    return bool(terms) and all((business.address, phone_of(request), request.facts.prices, *terms))


def known(given: Iterable[str]) -> frozenset[str]:
    """Return the names of the given facts and of the groups in which one is given."""
    names = set(given)
    return frozenset(names | {group for group, members in GROUPS.items() if members & names})


def _is_line(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return any(host == line or host.endswith(f".{line}") for line in LINE_HOSTS)
