"""The head of an arm's page: its address and cards are those of the page that it stands in for."""

import re

MOST_HEAD = 262_144
_START = re.compile(rb"<head\b[^>]*>", re.IGNORECASE)
# What looks like a tag within a title or a script is text: a customer's words are not escaped there.
# Without an end tag, the text goes on to the end.
_PART = re.compile(
    rb"""<(?P<raw>title|script|style)\b.*?(?:</(?P=raw)\b|\Z)|(?P<end></head\b|<body\b)"""
    rb"""|(?P<tag><(?:link|meta)\s(?:[^<>"']|"[^"]*"|'[^']*')*+>)""",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE = re.compile(rb"""(?<![a-z-])([a-z-]++)\s*+=\s*("[^"]*"|'[^']*'|[^\s>"']+)""", re.IGNORECASE)


def dressed(arm: bytes, page: bytes, arm_url: bytes, page_url: bytes) -> bytes:
    """Return the arm's HTML with the page's canonical link and cards, and the page's address in its head.

    The title and the rest stay the arm's. HTML without a head stays as it is.
    """
    start, end = _START.search(arm, 0, MOST_HEAD), _head_end(arm)
    if start is None or start.end() > end:
        return arm
    tags = b"".join(_of_page(page[: _head_end(page)]))
    head = _PART.sub(lambda part: b"" if _is_of_page(part["tag"]) else part[0], arm[start.end() : end])
    # a longer id may begin with the arm's id
    head = re.sub(re.escape(arm_url) + rb"(?![A-Za-z0-9._-])", lambda _: page_url, head)
    return arm[: start.end()] + head + tags + arm[end:]


def _head_end(html: bytes) -> int:
    ends = (part.start() for part in _PART.finditer(html, 0, MOST_HEAD) if part["end"])
    return next(ends, min(len(html), MOST_HEAD))


def _of_page(head: bytes) -> list[bytes]:
    return [part["tag"] for part in _PART.finditer(head) if _is_of_page(part["tag"])]


def _is_of_page(tag: bytes | None) -> bool:
    """Return whether a tag is a canonical link or belongs to a card (Open Graph, Twitter)."""
    values = {name.lower(): value.strip(b"\"'").strip().lower() for name, value in _ATTRIBUTE.findall(tag or b"")}
    card = values.get(b"property") or values.get(b"name") or b""
    return values.get(b"rel") == b"canonical" or card.startswith((b"og:", b"twitter:"))
