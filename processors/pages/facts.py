"""The facts of a request by name. Built-in copy and calls to action rely on these names only."""

from collections.abc import Iterable

from processors.pages.sites import names, same_address, site_of, way_of
from processors.text import shown
from schemas.copywriting import GIVEN
from schemas.generation import GenerationRequest, Sale

# names that stand for any of several facts
GROUPS = {
    "contact": {"phone", "form", "line"},
    "reach": {"phone", "form", "line", "url", "booking", *names()},
    "page": set(names()),
    "place": {"address", "access"},
    "open": {"address", "access", "hours"},
}


def phone_of(request: GenerationRequest) -> str | None:
    """Return the telephone number as shown, or None if no digit was given."""
    phone = shown(request.business.phone or "")
    return phone if any(letter.isdigit() for letter in phone) else None


def addresses_of(request: GenerationRequest) -> list[tuple[str, str]]:
    """Return the given addresses with their uses (`sites.way_of`). A form's address goes before a site's.

    Customers give a LINE account, or the page of a form, as their site or as their form.
    """
    form, site = request.business.form_url, request.business.url
    if form and site and same_address(form, site):
        form = None  # a site takes no post
    return [(way_of(url, is_form=is_form), url) for url, is_form in ((form, True), (site, False)) if url]


def ways_of(request: GenerationRequest) -> dict[str, str]:
    """Return the first given address of each use."""
    return dict(reversed(addresses_of(request)))


def listed_site(request: GenerationRequest) -> str | None:
    """Return the address that the page lists among its facts, if any.

    It is the business's own site, or else its page on a named site.
    """
    business, facts, ways = request.business, request.facts, ways_of(request)
    has_facts = business.address or facts.hours or facts.access
    return (ways.get("url") or ways.get("page")) if has_facts else None


def given_of(request: GenerationRequest) -> list[str]:
    """Return the names of the given facts without values. A page on a listed site has the site's name."""
    ways = ways_of(request)
    contacts = {
        "phone": phone_of(request),
        "form": ways.get("form") or ways.get("hosted"),
        **{name: ways.get(name) for name in ("hosted", "booking", "line", "url")},
        "address": request.business.address,
    }
    facts = [name for name in GIVEN if getattr(request.facts, name)]
    pages = [site_of(ways["page"]).name] if "page" in ways else []
    return facts + [name for name, value in contacts.items() if value] + pages


def takes_orders(request: GenerationRequest) -> bool:
    """Return whether a page may take orders: all that 特定商取引法 第11条 asks for is given.

    The law asks for no site of the business.
    """
    business, terms = request.business, terms_of(request)
    return len(terms) == len(Sale.model_fields) and all((business.address, phone_of(request), request.facts.prices))


def terms_of(request: GenerationRequest) -> dict[str, str]:
    """Return the given terms of sale by their names."""
    return request.facts.sale.model_dump(exclude_none=True) if request.facts.sale else {}


def known(given: Iterable[str]) -> frozenset[str]:
    """Return the names of the given facts and of the groups in which one is given."""
    names = set(given)
    return frozenset(names | {group for group, members in GROUPS.items() if members & names})
