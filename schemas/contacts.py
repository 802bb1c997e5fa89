"""Telephone numbers, web addresses and texts as customers write them.

A message that holds a request (a page's source, a plan) is read with the context `STORED`. Its contacts are those
that an earlier release accepted, so only a new request's are checked in full.
"""

import re
import unicodedata
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

STORED = {"stored": True}
_DASHES = re.compile("[‐‑‒–—―−─━ー－.．・･_]")
_BEFORE = "tel|phone|お?電話(?:番号)?|フリー(?:ダイヤル|コール)|代表(?:電話|番号)?|携帯(?:電話)?|☎|📞"
_PHONE_LABEL = re.compile(
    rf"^(?:[(\[【](?:{_BEFORE})[)\]】]|(?:{_BEFORE}))\s*[:：.]?\s*"
    r"|\s*\(?(?:代表?|代表電話|フリー(?:ダイヤル|コール)|通話(?:料)?無料|直通|携帯)\)?$",
    re.IGNORECASE,
)
_KANJI_DIGITS = str.maketrans("〇零一二三四五六七八九", "00123456789")
LONGEST_PHONE = 60
# a number within Japan, one of Japan with its country code, or one of another country
_DIALLED = re.compile(r"0[1-9][0-9]{8,9}|\+81[1-9][0-9]{8,9}|\+(?!81)[1-9][0-9]{6,14}")
_INLAND_ZERO = re.compile(r"^(\(?(?:\+|00)[0-9]{1,3}\)?[ -]*)\(0\)|^(\(?(?:\+|00)81[^0-9]*)0")
# joiners are parts of some scripts' words and of emoji
_JOINERS = "\u200c\u200d"
# letters and signs without a shape
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
_LABEL, _LONGEST_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"), 253


def dialled(phone: str) -> str:
    """Return the number as it is dialled: +81312345678 for +81 (0)3-1234-5678 and +81 03-1234-5678."""
    phone = _INLAND_ZERO.sub(r"\1\2", phone.strip())
    return "".join(letter for letter in phone if letter in "+0123456789")


def _phone(value: object, info: ValidationInfo) -> object:
    """Return a telephone number with half-width digits and plain hyphens, without the words around it."""
    if not isinstance(value, str) or len(value) > LONGEST_PHONE:
        return value
    number = unicodedata.normalize("NFKC", "".join(mark for mark in value if unicodedata.category(mark) != "Cf"))
    number = _DASHES.sub("-", _PHONE_LABEL.sub("", number.strip()).translate(_KANJI_DIGITS))
    if number and info.context != STORED and not _can_be_dialled(number):
        raise ValueError(
            "give one telephone number of 10 or 11 digits, such as 03-1234-5678, or with its country code, such as "
            "+81 3-1234-5678; leave the field out without one; write extensions and hours into facts.hours"
        )
    return number


def _can_be_dialled(number: str) -> bool:
    signs = re.fullmatch(r"\(?\+?[0-9() -]*", number)
    return signs is not None and _DIALLED.fullmatch(dialled(number)) is not None


def _http_url(value: str, info: ValidationInfo) -> str:
    """Return the address without invisible characters; raise ValueError if no browser can open it."""
    value = "".join(mark for mark in value if unicodedata.category(mark) not in ("Cc", "Cf") or mark in _JOINERS)
    value = value.strip()
    if info.context != STORED:
        _check(value)
    return value


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"give an address with a valid host and a port of 1 to 65535, if any: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(
            "give an address that starts with https:// or http:// and a host, such as https://example.com/"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError("give the address without a user name and password, because everybody can read the page")
    if port == 0:
        raise ValueError("give an address without the port 0, which no browser opens")
    if not _is_host(host):
        raise ValueError("give an address whose host has only letters, digits and hyphens between its dots")


def _is_host(host: str) -> bool:
    """Return whether a browser can look this host up: an IP address, or labels that IDNA can encode."""
    try:
        labels = host.encode("idna").decode().lower().removesuffix(".").split(".")
        if ":" in host or labels[-1].isdigit():
            return "%" not in host and bool(ip_address(host))
    except ValueError:
        return False
    return sum(map(len, labels)) + len(labels) <= _LONGEST_HOST and all(map(_LABEL.fullmatch, labels))


def _seen(value: object, info: ValidationInfo) -> object:
    """Return an empty text for a text without any letter or sign that a reader sees."""
    if not isinstance(value, str) or info.context == STORED or any(map(_is_seen, value)):
        return value
    return ""


def _is_seen(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "LNPS" and letter not in _BLANKS


HttpUrl = Annotated[str, Field(max_length=2_000), AfterValidator(_http_url)]
Phone = Annotated[str, BeforeValidator(_phone), Field(max_length=30, pattern=r"^[0-9+() -]*$")]
# after the field's length, so that the length is that of the text that readers see
SEEN = BeforeValidator(_seen)
