"""The form of a new page: the fields that a browser posts, and the request made from them."""

import json
import re
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from pydantic import ValidationError

from processors.pictures.words import Language
from schemas.generation import Facts, GenerationRequest

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
LONGEST, LONGEST_PRICE, MOST_DIGITS, LONGEST_WORD = 20_000, 240, 13, 20
MOST_PRICES = next(limit.max_length for limit in Facts.model_fields["prices"].metadata)
CHOSEN = ("tone", "quality")  # a browser sends only the form's own values


class Wrong(NamedTuple):
    """The key of a field's error text; the numbers of its wrong lines, or its wrong keywords."""

    text: str
    lines: tuple[int, ...] = ()
    words: tuple[str, ...] = ()


def read(form: dict[str, str], tenant_id: str) -> tuple[dict[str, str], GenerationRequest | None, dict[str, Wrong]]:
    """Return the fields, the request or None, and the errors by field in the form's order."""
    given = EMPTY | {name: form[name].strip()[:LONGEST] for name in FIELDS if name in form}
    prices = {number: _price(line) for number, line in _lines(given["prices"])}
    bad = {number for at, (number, price) in enumerate(prices.items()) if price is None or at >= MOST_PRICES}
    good = {number: price for number, price in prices.items() if number not in bad}
    values = _values(given, list(good.values()), form.get("request_id", ""), tenant_id)
    request: GenerationRequest | None = None
    paths: list[tuple[int | str, ...]] = []
    try:
        request = GenerationRequest.model_validate_json(json.dumps(values))
    except ValidationError as error:
        paths = [one["loc"] for one in error.errors(include_url=False, include_input=False, include_context=False)]
    bad |= {list(good)[place] for field, place in map(_place, paths) if field == "prices" and place is not None}
    errors = _errors(paths, sorted(bad), values["keywords"])
    return given, None if errors else request, errors


def id_for(request: GenerationRequest) -> UUID:
    """Return an id made from the form's id and its fields.

    The same form posted twice is one request. A form whose fields were changed after `Back` is another.
    """
    return uuid5(request.request_id, request.model_dump_json(exclude={"request_id"}))


def _errors(paths: Iterable[tuple[int | str, ...]], lines: list[int], keywords: list[str]) -> dict[str, Wrong]:
    wrong: dict[str, list[int]] = {"prices": []} if lines else {}
    for field, place in map(_place, paths):
        wrong.setdefault(field, []).extend([] if place is None else [place])
    errors = {}
    for name in sorted(wrong, key=(*FIELDS, "other").index):
        text = f"error_{name}" if name not in CHOSEN else "error_other"
        words = [keywords[at] for at in wrong[name]] if name == "keywords" else []
        shown = tuple(word if len(word) <= LONGEST_WORD else word[:LONGEST_WORD] + "…" for word in words)
        errors[name] = Wrong(text, tuple(lines) if name == "prices" else (), shown)
    return errors


def _values(given: dict[str, str], prices: list[Any], request_id: str, tenant_id: str) -> dict[str, Any]:
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
        "door": "studio",
    }


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""


def _lines(text: str) -> list[tuple[int, str]]:
    """Return the lines that are not empty, with their numbers."""
    return [(number, line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _price(line: str) -> dict[str, Any] | None:
    if len(line) > LONGEST_PRICE:
        return None
    if (match := PRICE.fullmatch(line)) is not None:
        digits = re.sub("[,，]", "", match["yen"])
        return {"label": match["label"], "yen": int(digits)} if len(digits) <= MOST_DIGITS else None
    match = PRICE_TEXT.fullmatch(line)
    return match and {"label": match["label"], "text": match["text"]}


def _place(path: tuple[int | str, ...]) -> tuple[str, int | None]:
    """Return the form's field for a path in the request, and the index in its list.

    The path business.name has the field `name`.
    """
    field = next((part for part in reversed(path) if part in FIELDS), "other")
    return str(field), next((part for part in path if isinstance(part, int)), None)
