"""Addresses on sites of other companies: hosted forms, booking pages, social networks, markets.

`sites.toml` lists their hosts. A page's form posts only to an address that may take the post: a visitor's words that a
hosted form or a booking page receives are lost.
"""

import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from urllib.parse import unquote, urlsplit

# a place for people: a booking system needs a date and more than a form of this page has
_BOOKING = re.compile("reserve|reservations?|rsv|yoyaku|bookings?|予約|ご予約|ネット予約")
# a program that takes what is posted: mail.cgi, send.php, or a path of an API; index.php is the page of a folder
_PROGRAM = re.compile(
    r"(?<!/index)(?<!/default)\.(?:php[0-9]?|cgi|pl|aspx?|jsp|do|exe|py|rb)(?:/|$)|(?:^|/)api(?:/|$)", re.IGNORECASE
)
_PORT = re.compile(r":(?!(?:80|443)$)[0-9]+$")
# parameters that say where a visitor came from
_TRACKING = re.compile(r"utm_|(?:igsh|igshid|fbclid|gclid|yclid|hl|ref)(?:=|$)", re.IGNORECASE)
_INDEX = re.compile(r"/(?:(?:index|default)\.[a-z0-9]+)?$", re.IGNORECASE)
_DOCUMENT = re.compile(r"\.(?:s?html?|xhtml|pdf)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Site:
    """A listed site: its kind, and its name on a button; an unlisted site has neither."""

    kind: str = ""
    name: str = ""


@cache
def _listed() -> dict[str, Site]:
    """Return the listed sites by host, or by host and the beginning of the path."""
    source = files("processors").joinpath("pages", "sites.toml").read_text("utf-8")
    return {
        host: Site(kind, hosts[host] if isinstance(hosts, dict) else "")
        for kind, hosts in tomllib.loads(source).items()
        for host in hosts
    }


@cache
def names() -> frozenset[str]:
    """Return the names of all listed sites that have one."""
    return frozenset(site.name for site in _listed().values() if site.name)


def host_of(url: str) -> str:
    """Return the host of an address, without a dot at the end; empty for none."""
    return (urlsplit(url).hostname or "").removesuffix(".")


def site_of(url: str) -> Site:
    """Return the listed site of an address. The longest host, then the longest path, wins."""
    labels = host_of(url).split(".")
    path = urlsplit(url).path.strip("/").split("/")[0]
    for at in range(len(labels)):
        host = ".".join(labels[at:])
        for key in (f"{host}/{path}", host):
            if key in _listed():
                return _listed()[key]
    return Site()


def way_of(url: str, *, is_form: bool) -> str:
    """Return the use of an address that a customer gives as form, or else as site.

    The uses: "form" takes what the page's form posts, "hosted" is the page of a form, "booking" that of a booking
    system, "line" a LINE account, "page" a page on a named site, and "url" the business's own site.
    """
    match site_of(url).kind:
        case "line" | "hosted" | "booking" as kind:
            return kind
        case "pages":
            return "page"
        case "portals":
            return "booking" if is_form else "page"
        case "builders":
            return "hosted" if is_form else "url"
        case "endpoints":
            return "form" if is_form else "url"
    return _shape(url) if is_form else "url"


def _shape(url: str) -> str:
    """Return the use of a form's address on an unlisted host. A page for people takes no post."""
    parts = urlsplit(url)
    path = unquote(parts.path)
    words = (*host_of(url).split("."), *path.casefold().split("/"))
    if not _PROGRAM.search(path) and any(_BOOKING.fullmatch(word) for word in words):
        return "booking"
    return "hosted" if parts.fragment or _DOCUMENT.search(path) else "form"


def same_address(url: str, other: str) -> bool:
    """Return whether two addresses open the same page, though customers write them differently."""
    return _page(url) == _page(other)


def _page(url: str) -> tuple[str, ...]:
    parts = urlsplit(url)
    port = _PORT.search(parts.netloc)
    query = "&".join(part for part in parts.query.split("&") if not _TRACKING.match(part))
    return _domain(url), port[0] if port else "", _INDEX.sub("", unquote(parts.path)), query, parts.fragment


def _domain(url: str) -> str:
    """Return the host of an address as the DNS has it, without www."""
    host = host_of(url)
    with suppress(ValueError):  # an earlier release may have accepted another host
        host = host.encode("idna").decode()
    host = host.removeprefix("www.")
    return "x.com" if host in ("twitter.com", "mobile.twitter.com") else host


def takes_posts(url: str, own: str | None) -> bool:
    """Return whether an address is known to take posts, or is a program on the business's own site.

    Most sites have a page for people at `/contact/`, which loses a post.
    """
    host, site = _domain(url), _domain(own or "")
    is_own = bool(site) and (host == site or host.endswith(f".{site}"))
    return site_of(url).kind == "endpoints" or (is_own and _PROGRAM.search(unquote(urlsplit(url).path)) is not None)
