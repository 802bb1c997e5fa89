"""A request may have only telephone numbers that can be dialled and addresses that a browser opens."""

import json
from typing import Any

import pytest
from page_requests import BUSINESS, full, html_of, least
from variant_pages import asked, source_of

from processors.pages.brief import brief_of
from processors.pages.legal import page_warnings
from processors.pages.variants import varied
from schemas.contacts import dialled
from schemas.errors import DecodeError
from schemas.generation import GenerationRequest, decode_model, encode_model, model_from_object
from schemas.plan import Source


def request_with(**business: str) -> GenerationRequest:
    return model_from_object(GenerationRequest, least().model_dump() | {"business": {"name": "麺屋", **business}})


@pytest.mark.parametrize(
    ("phone", "number"),
    [
        ("03-1234-5678", "0312345678"), ("090-1234-5678", "09012345678"), ("050-1234-5678", "05012345678"),
        ("0120-123-456", "0120123456"), ("0570-123-456", "0570123456"), ("0800-123-4567", "08001234567"),
        ("(代表)03-1234-5678", "0312345678"), ("（代表）03-1234-5678", "0312345678"),
        ("03-1234-5678(代)", "0312345678"),
        ("(TEL) 03-1234-5678", "0312345678"), ("【代表】03-1234-5678", "0312345678"),
        ("+81 03 1234 5678", "+81312345678"), ("+81 (0)3-1234-5678", "+81312345678"),
        ("+81-(03)-1234-5678", "+81312345678"), ("(+81) 03-1234-5678", "+81312345678"),
        ("+81(0)90-1234-5678", "+819012345678"), ("+81312345678", "+81312345678"),
        ("+39 06 1234 5678", "+390612345678"), ("+44 (0)20 7946 0000", "+442079460000"),
        ("+1 212 555 0100", "+12125550100"),
    ],
)  # fmt: skip
def test_a_number_is_dialled_as_a_telephone_needs_it(phone: str, number: str) -> None:
    assert dialled(request_with(phone=phone).business.phone or "") == number


@pytest.mark.parametrize(
    "phone",
    [
        "03-1234-5678 090-1234-5678", "03-1234-5678+9", "++81 3 1234 5678", "+03-1234-5678", "-", "()", "1234-5678",
        "03-1234-567", "03-1234-567890", "0081 3 1234 5678", "81-3-1234-5678", "000-1234-5678", "110",
        "(電話 03-1234-5678", "+81 3 1234", "+1234567890123456", "+81 3 1234 5678 9012",
    ],
)  # fmt: skip
def test_a_number_that_no_telephone_can_dial_is_an_error(phone: str) -> None:
    with pytest.raises(DecodeError, match="leave the field out") as raised:
        request_with(phone=phone)
    assert raised.value.field == "business.phone"


def test_an_empty_number_is_none() -> None:
    request = request_with(phone="")
    assert "tel:" not in html_of(request)
    sale = request.model_copy(update={"purpose": "販売"})
    assert any(one.detail.startswith("business.phone") for one in page_warnings(sale, brief_of(sale)))


@pytest.mark.parametrize(
    "url",
    [
        "https://exa mple.com/", "https://ex<b>.com/", "https://あ<b>.com/", "https://あ＜.com/", "https://example.com:99999/",
        "https://example.com:0/", "https://example.com:8o/", "https://.", "https://a..com/", "https:///evil.com",
        "https://\u200b/evil.com", "https://-a.com/", "https://example.com\\@evil.com/", "https://ex%61mple.com/",
        "https://999.999.999.999/", "https://[::1/", "https://[fe80::1%25a]/", f"https://{'a' * 64}.com/",
        f"https://{'a.' * 130}com/", "https://a\u3000b.com/", "example.com", "https://", "javascript:alert(1)",
    ],
)  # fmt: skip
@pytest.mark.parametrize("field", ["url", "form_url"])
def test_an_address_that_no_browser_can_open_is_an_error(url: str, field: str) -> None:
    with pytest.raises(DecodeError, match=r"give an address|without a user name") as raised:
        request_with(**{field: url})
    assert raised.value.field == f"business.{field}"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://example.com/", "https://example.com/"), ("HTTPS://Example.COM:8443/a b?x=<y>#z", None),
        ("https://日本語.jp/店", None), ("https://xn--wgv71a119e.jp", None), ("https://my_shop.example.com./", None),
        ("http://127.0.0.1:8080/taken", None), ("http://[::1]:80/", None), ("https://例え．jp/", None),
        ("https://exam\u200bple.com/\ufeff", "https://example.com/"), ("\u200b https://example.com/", "https://example.com/"),
        ("https://example.com:/", None),
    ],
)  # fmt: skip
def test_an_address_that_a_browser_opens_is_cleaned(url: str, kept: str | None) -> None:
    assert request_with(url=url).business.url == (kept or url)


def test_contacts_that_an_earlier_release_stored_are_read() -> None:
    odd = {**BUSINESS, "phone": "03-1234-5678 090-1234-5678", "url": "https://exa mple.com/", "form_url": "https://."}
    body = json.loads(encode_model(source_of(full())))
    body["request"]["business"] = odd
    stored = decode_model(Source, json.dumps(body).encode())
    assert stored.request.business.model_dump() == odd
    request, _ = varied(asked("copy"), stored)
    assert request.business == stored.request.business
    html_of(request)


UNSEEN = ["\u200b", "\u3000\u00a0 ", "\u2060\u200d\ufe0f", "\u3164", "\u2800\u00ad", "\x00", "\u202e\n"]


@pytest.mark.parametrize("unseen", UNSEEN)
@pytest.mark.parametrize(
    "field",
    [
        "industry", "keywords.0", "business.name", "business.address", "facts.hours", "facts.licences.0",
        "facts.prices.0.label", "facts.prices.0.text", "facts.testimonials.0.text", "facts.sale.shipping",
        "assets.picture_alt",
    ],
)  # fmt: skip
def test_a_text_that_shows_nothing_is_an_error(field: str, unseen: str) -> None:
    with pytest.raises(DecodeError) as raised:
        decode_model(GenerationRequest, json.dumps(with_text(field, unseen)).encode())
    assert raised.value.field == field
    stored = model_from_object(GenerationRequest, with_text(field, "\u200b"), stored=True)
    assert "\u200b" in stored.model_dump_json()
    assert decode_model(GenerationRequest, json.dumps(with_text(field, f"{unseen}湯 {unseen}")).encode())


def with_text(field: str, text: str) -> dict[str, Any]:
    body: dict[str, Any] = full().model_dump(mode="json")
    body["facts"]["prices"][0] |= {"yen": None, "text": "時価"}
    *way, last = field.split(".")
    inside: Any = body
    for step in way:
        inside = inside[int(step) if step.isdigit() else step]
    inside[int(last) if last.isdigit() else last] = text
    return body
