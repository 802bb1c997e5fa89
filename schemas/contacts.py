"""Telephone numbers and web addresses as customers write them."""

import re
import unicodedata
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

_DASHES = re.compile("[‐‑‒–—―−─━ー－.．・･_]")
_PHONE_LABEL = re.compile(
    r"^(?:tel|phone|お?電話(?:番号)?|フリー(?:ダイヤル|コール)|代表(?:電話|番号)?|携帯(?:電話)?|☎|📞)\s*[:：.]?\s*"
    r"|\s*\(?(?:代表?|代表電話|フリー(?:ダイヤル|コール)|通話(?:料)?無料|直通|携帯)\)?$",
    re.IGNORECASE,
)
_KANJI_DIGITS = str.maketrans("〇零一二三四五六七八九", "00123456789")
LONGEST_PHONE, LEAST_DIGITS = 60, 6


def _phone(value: object) -> object:
    """Return a telephone number with half-width digits and plain hyphens, without the words around it."""
    if not isinstance(value, str) or len(value) > LONGEST_PHONE:
        return value
    number = unicodedata.normalize("NFKC", "".join(mark for mark in value if unicodedata.category(mark) != "Cf"))
    number = _DASHES.sub("-", _PHONE_LABEL.sub("", number.strip()).translate(_KANJI_DIGITS))
    digits = sum(mark.isdigit() for mark in number)
    if not re.fullmatch("[0-9+() -]*", number) or 0 < digits < LEAST_DIGITS:
        raise ValueError("give one telephone number, such as 03-1234-5678; write extensions and hours into facts.hours")
    return number


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("give an address that starts with https:// or http://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("give the address without a user name and password, because everybody can read the page")
    return value


HttpUrl = Annotated[str, Field(max_length=2_000), AfterValidator(_http_url)]
Phone = Annotated[str, BeforeValidator(_phone), Field(max_length=30, pattern=r"^[0-9+() -]*$")]
