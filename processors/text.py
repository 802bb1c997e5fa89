"""Text that people or models typed, made fit to be shown: one line, no control or direction marks."""

import re
import unicodedata
from html import unescape
from urllib.parse import quote, urlsplit, urlunsplit

import nh3

# C0/C1 controls, line and paragraph separators, zero-width space, byte order mark, marks and overrides of direction,
# surrogates, private use and noncharacters: none of them can be seen, all of them can mislead
_UNSEEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff"
    "\ud800-\udfff\ue000-\uf8ff\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
_SPACE = re.compile(r"[ \t\n\u00a0]+")
_WIDE = {0xFF01 + at: 0x21 + at for at in range(94) if chr(0x21 + at).isalnum()} | {0xFF05: 0x25}
_EMPHASIS = {"strong", "em"}


def shown(text: str) -> str:
    """The text as one line, without what cannot be seen."""
    return _SPACE.sub(" ", _UNSEEN.sub("", text.replace("\r", "\n"))).strip()


def written(text: str) -> str:
    """A writer's text: as `shown`, full-width letters and digits made half-width, punctuation left Japanese."""
    return shown(text).translate(_WIDE)


def plain(text: str) -> str:
    """A writer's text without any markup."""
    return written(unescape(nh3.clean(text, tags=set())) if "<" in text or "&" in text else text)


def emphasised(text: str) -> str:
    """A writer's text as HTML in which nothing but `<strong>` and `<em>` stands."""
    return written(nh3.clean(text, tags=_EMPHASIS, attributes={}))


def folded(text: str) -> str:
    """Text as it is compared: NFKC, case folded, one line."""
    return shown(unicodedata.normalize("NFKC", text)).casefold()


def address(url: str) -> str:
    """A web address fit for an attribute: what may not stand in path, query or fragment is percent-encoded."""
    parts = urlsplit(shown(url))
    path, query, fragment = (quote(part, safe="/:@!$&'()*+,;=-._~%?") for part in parts[2:])
    return urlunsplit((parts.scheme, parts.netloc, path, query, fragment))


def cut(text: str, most: int) -> str:
    """At most so many characters; an ellipsis says that there were more."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
