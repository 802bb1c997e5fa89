"""The form of a new page: the fields that a browser posts, and the request made from them."""

import re
from typing import Any
from uuid import UUID

import msgspec

from processors.pictures.words import Language
from schemas.codec import decode_request
from schemas.errors import DecodeError
from schemas.generation import GenerationRequest

FIELDS = ("name", "industry", "purpose", "keywords", "tone", "quality", "phone", "address", "url", "form_url", "hours",
          "access", "prices", "picture", "picture_alt", "logo")  # fmt: skip
EMPTY = dict.fromkeys(FIELDS, "") | {"purpose": "集客", "tone": "friendly", "quality": "fast"}
INDUSTRIES: dict[Language, tuple[str, ...]] = dict.fromkeys(
    ("ja", "en"), ("飲食", "美容", "不動産", "医療", "教育", "EC", "士業")
)
_ENGLISH = {"集客": "Come by", "予約": "Book", "問い合わせ": "Ask", "販売": "Buy", "採用": "Apply for a job"}
PURPOSES: dict[Language, list[tuple[str, str]]] = {
    "ja": [(purpose, purpose) for purpose in _ENGLISH],
    "en": [(purpose, f"{english}（{purpose}）") for purpose, english in _ENGLISH.items()],
}
SEPARATORS = re.compile(r"[,、，\n]+")
# used on short lines only, because its time grows with the square of the length
PRICE = re.compile(r"(?P<label>.*?\S)[\s　:：]+[¥￥]?(?P<yen>[0-9０-９][0-9０-９,，]{0,23})\s*円?")
# a price that is no whole number, as the customer writes it: 5,500円〜（税込）
PRICE_TEXT = re.compile(r"(?P<label>.*?\S)[\s　:：]+(?P<text>[約¥￥]?[0-9０-９][^\n]{0,12}円[^\n]{0,40}|応相談|時価)")
LONGEST, LONGEST_PRICE, MOST_DIGITS = 5_000, 240, 13
CHOSEN = ("tone", "quality")  # a browser sends only the form's own values


def read(form: dict[str, str], tenant_id: str) -> tuple[dict[str, str], GenerationRequest | None, dict[str, str]]:
    """Return the fields, the request or None, and the key of the error text for each wrong field."""
    given = EMPTY | {name: form[name].strip()[:LONGEST] for name in FIELDS if name in form}
    prices = _prices(given["prices"])
    if prices is None:
        return given, None, {"prices": "error_prices"}
    values = _values(given, prices, form.get("request_id", ""), tenant_id)
    try:
        return given, decode_request(msgspec.json.encode(values)), {}
    except DecodeError as error:
        name = _field_of(error.field)
        return given, None, {name or "other": f"error_{name}" if name and name not in CHOSEN else "error_other"}


def _values(given: dict[str, str], prices: list[dict[str, Any]], request_id: str, tenant_id: str) -> dict[str, Any]:
    known = {name: given[name] or None for name in FIELDS}
    return {
        "schema": 1,
        "request_id": _uuid(request_id),
        "tenant_id": tenant_id,
        "industry": given["industry"],
        "purpose": given["purpose"],
        "keywords": [word.strip() for word in SEPARATORS.split(given["keywords"]) if word.strip()],
        "business": {name: known[name] for name in ("name", "phone", "address", "url", "form_url")},
        "facts": {"prices": prices, "hours": known["hours"], "access": known["access"]},
        "assets": {name: known[name] for name in ("picture", "picture_alt", "logo")},
        "tone": given["tone"],
        "quality": given["quality"],
    }


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""


def _prices(text: str) -> list[dict[str, Any]] | None:
    """Return the label and the price of each line, or None if a line has not both."""
    prices = [_price(line.strip()) for line in filter(str.strip, text.splitlines())]
    return None if None in prices else [price for price in prices if price]


def _price(line: str) -> dict[str, Any] | None:
    if len(line) > LONGEST_PRICE:
        return None
    if (match := PRICE.fullmatch(line)) is not None:
        digits = re.sub("[,，]", "", match["yen"])
        return {"label": match["label"], "yen": int(digits)} if len(digits) <= MOST_DIGITS else None
    match = PRICE_TEXT.fullmatch(line)
    return match and {"label": match["label"], "text": match["text"]}


def _field_of(path: str) -> str | None:
    """Return the form's field for a path in the request, such as `name` for `business.name`."""
    parts = [re.sub(r"\[\d+\]", "", part) for part in path.split(".")]
    return next((part for part in reversed(parts) if part in FIELDS), None)
