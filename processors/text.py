"""Cleaning of text from people or models: one line, without control or direction marks."""

import re
import unicodedata
from html import unescape
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import nh3

# C0/C1 controls, line and paragraph separators, zero-width space, byte order mark, marks and overrides of direction,
# surrogates, private use and noncharacters: all are invisible and can mislead
_UNSEEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff"
    "\ud800-\udfff\ue000-\uf8ff\U000e0000-\U000e0fff\U000f0000-\U0010ffff]"
)
_SPACE = re.compile(r"[ \t\n\u00a0]+")
_WIDE = {0xFF01 + at: 0x21 + at for at in range(94) if chr(0x21 + at).isalnum()} | {0xFF05: 0x25}
_HALF_KANA = re.compile("[\uff61-\uff9f]+")
_JOINERS = re.compile("[\u00ad\u034f\u180e\u200c\u200d\ufe00-\ufe0f]")
# escapes of JSON that a writer escaped twice, and a list mark before a text; ●市 is a placeholder
_BREAK, _QUOTED = re.compile(r"\\+[nrt](?![A-Za-z])"), re.compile(r"""\\+(?=["'/])""")
_MARK = re.compile("^(?:[・◆▶▪✓✔→]|[■●](?![県市区町駅店円年人様社月丁名]|さん))(?![〇○●◎△▲□■◇◆×✕])")
_EMPHASIS = {"strong", "em"}
# the letters that nh3 changes; it takes 20 µs for any text
_ESCAPED = re.compile("[<>&\u00a0]")


def shown(text: str) -> str:
    """Return the text as one line without invisible characters."""
    return _SPACE.sub(" ", _UNSEEN.sub("", text.replace("\r", "\n"))).strip()


def written(text: str) -> str:
    """Return a writer's text as `shown` does, with half-width letters and digits and full-width kana.

    Soft hyphens and joiners are removed: inside a Japanese word they show nothing. The backslashes of line breaks and
    quotes that were escaped twice are removed, too, as are a single quote at an end and a list mark at the beginning.
    """
    text = _JOINERS.sub("", text)
    if "\\" in text:
        text = _QUOTED.sub("", _BREAK.sub(" ", text))
    text = shown(_HALF_KANA.sub(lambda kana: unicodedata.normalize("NFKC", kana[0]), text))
    if text.count('"') % 2:
        text = text.removesuffix('"') if text.endswith('"') else text.removeprefix('"')
    return _MARK.sub("", text).strip().translate(_WIDE)


def plain(text: str) -> str:
    """Return a writer's text without any markup."""
    return written(unescape(nh3.clean(text, tags=set())) if "<" in text or "&" in text else text)


def emphasised(text: str) -> str:
    """Return a writer's text as HTML with no other markup than `<strong>` and `<em>`."""
    return written(nh3.clean(text, tags=_EMPHASIS, attributes={}) if _ESCAPED.search(text) else text)


def folded(text: str) -> str:
    """Return the text in the form for comparisons: NFKC, case folded, one line."""
    return shown(unicodedata.normalize("NFKC", text)).casefold()


def address(url: str) -> str:
    """Return a URL for an attribute; percent-encode invalid characters after its host."""
    parts = urlsplit(shown(url))
    path, query, fragment = (quote(part, safe="/:@!$&'()*+,;=-._~%?") for part in parts[2:])
    return urlunsplit((parts.scheme, parts.netloc, path, query, fragment))


def cut(text: str, most: int) -> str:
    """Return at most `most` characters of the text; an ellipsis replaces the rest."""
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def walk(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return all texts in a value, each with its path ("faq.items.1.answer")."""
    if isinstance(value, str):
        return [(path, value)]
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [pair for key, child in children for pair in walk(child, f"{path}.{key}" if path else str(key))]
