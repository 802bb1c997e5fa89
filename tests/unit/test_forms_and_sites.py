"""A page's form posts only where a post is taken. Other addresses are links that name them."""

import tomllib
from collections import Counter
from importlib.resources import files

import html5lib
import pytest
from page_requests import BUSINESS, full, html_of, least

from processors.pages.brief import brief_of
from processors.pages.calls import call_of, outside_calls
from processors.pages.facts import listed_site, ways_of
from processors.pages.legal import page_warnings
from processors.pages.sites import site_of, way_of

POSTED = (
    "https://example.com/form", "https://example.com/contact/", "https://example.com/yoyaku/mail.cgi",
    "https://example.com/api/reserve", "https://formspree.io/f/abc", "https://form.run/api/v1/r/abc",
    "https://script.google.com/macros/s/abc/exec", "https://abc.execute-api.ap-northeast-1.amazonaws.com/prod/booking",
    "https://netflix.com/x", "https://notline.me.example.com/", "http://127.0.0.1:8080/taken",
)  # fmt: skip
HOSTED = (
    "https://forms.gle/abcd1234", "https://docs.google.com/forms/d/e/1/viewform", "https://form.run/@shop",
    "https://tayori.com/form/abc", "https://ws.formzu.net/dist/S1/", "https://ssl.form-mailer.jp/fms/abc",
    "https://forms.office.com/r/abc", "https://form.jotform.com/1", "https://abc.form.kintoneapp.com/public/x",
    "https://tally.so/r/abc", "https://FORMS.GLE./abcd", "https://my-shop.jimdofree.com/contact/",
    "https://peraichi.com/landing_pages/view/x", "https://bit.ly/3abc", "https://example.com/contact.html",
    "https://example.com/#contact",
)  # fmt: skip
BOOKED = (
    "https://www.hotpepper.jp/strJ0000/yoyaku/", "https://beauty.hotpepper.jp/slnH0/coupon/",
    "https://tabelog.com/tokyo/A1/",
    "https://airrsv.net/shop/calendar", "https://coubic.com/shop", "https://reserva.be/shop",
    "https://select-type.com/rsv/?id=x",
    "https://calendly.com/x", "https://calendar.app.google/abc", "https://yoyaku.toreta.in/x",
    "https://reserve.example.jp/",
    "https://example.com/reservation/", "https://example.com/予約/",
)  # fmt: skip
PAGES = {
    "https://www.instagram.com/ippai": "Instagram", "https://x.com/shop": "X",
    "https://www.facebook.com/shop": "Facebook",
    "https://note.com/shop": "note", "https://youtu.be/abc": "YouTube", "https://ameblo.jp/shop": "アメブロ",
    "https://maps.app.goo.gl/abc": "Googleマップ", "https://item.rakuten.co.jp/shop/1/": "楽天市場",
    "https://jp.indeed.com/cmp/x": "Indeed",
}  # fmt: skip


def page_of(purpose: str = "予約", **business: str) -> str:
    return html_of(least("居酒屋", purpose=purpose, business={"name": "いっぱい", **business}))


def closing(html: str) -> list[tuple[str, str]]:
    tree = html5lib.parse(html, namespaceHTMLElements=False)
    [section] = [one for one in tree.iter() if one.get("data-section") == "closing"]
    return [(one.get("href", ""), "".join(one.itertext())) for one in section.iter("a") if one.get("class") == "call"]


@pytest.mark.parametrize(
    ("url", "way"),
    [*((url, "form") for url in POSTED), *((url, "hosted") for url in HOSTED), *((url, "booking") for url in BOOKED),
     *((url, "page") for url in PAGES), ("https://lin.ee/abc", "line"), ("https://page.line.me/abc", "line")],
)  # fmt: skip
def test_the_use_of_a_forms_address_follows_from_its_site(url: str, way: str) -> None:
    assert way_of(url, is_form=True) == way


@pytest.mark.parametrize(
    ("url", "way"),
    [("https://example.com/reserve", "url"), ("https://my-shop.jimdofree.com/", "url"),
     ("https://shop.base.shop/", "url"),
     ("https://forms.gle/x", "hosted"), ("https://coubic.com/x", "booking"), ("https://tabelog.com/x", "page")],
)  # fmt: skip
def test_the_use_of_a_sites_address_follows_from_its_site(url: str, way: str) -> None:
    assert way_of(url, is_form=False) == way


@pytest.mark.parametrize(
    ("url", "words"), [(HOSTED[0], "フォームを開く"), (HOSTED[4], "フォームを開く"), (BOOKED[0], "予約ページへ")]
)
@pytest.mark.parametrize("purpose", ["予約", "集客", "販売", "採用"])
def test_a_hosted_form_or_booking_page_is_a_link(url: str, words: str, purpose: str) -> None:
    html = page_of(purpose, form_url=url)
    assert "<form" not in html and "<input" not in html and "ご記入の内容" not in html
    assert closing(html) == [(url, words)] and html.count(f"href={url}") >= 3, "hero, bar and end"


def test_a_form_of_the_customers_own_still_posts() -> None:
    html = page_of(form_url="https://example.com/form")
    assert "action=https://example.com/form" in html
    assert closing(html) == []


def test_a_booking_goes_to_the_booking_page_and_a_question_to_the_form() -> None:
    html = page_of(form_url="https://example.com/form", url="https://coubic.com/ippai")
    assert "<form" in html and closing(html) == [("https://coubic.com/ippai", "予約ページへ")]
    line = page_of("問い合わせ", form_url="https://forms.gle/abc", url="https://lin.ee/abc")
    assert [words for _, words in closing(line)] == ["フォームを開く", "LINEで問い合わせる"]


@pytest.mark.parametrize(("url", "name"), PAGES.items())
@pytest.mark.parametrize("field", ["url", "form_url"])
def test_a_page_on_a_named_site_is_no_official_site(url: str, name: str, field: str) -> None:
    html = page_of("問い合わせ", address="東京都港区芝1-2-3", **{field: url})
    assert closing(html) == [(url, f"{name}を見る")] and "公式サイト" not in html and "<form" not in html
    assert f"<dt>{name}</dt>" in html and '"sameAs"' in html and '"url"' not in html


def test_the_same_address_as_site_and_form_is_a_site() -> None:
    html = page_of("問い合わせ", url="https://example.com/", form_url="https://example.com/")
    assert "<form" not in html and closing(html) == [("https://example.com/", "公式サイトを見る")]


@pytest.mark.parametrize(
    ("form", "url"),
    [
        ("https://www.instagram.com/aoi/?igsh=abc123", "https://www.instagram.com/aoi/"),
        ("https://x.com/aoi", "https://twitter.com/aoi"),
    ],
)
def test_an_account_in_two_spellings_has_one_button(form: str, url: str) -> None:
    assert len(closing(page_of("問い合わせ", form_url=form, url=url))) == 1


@pytest.mark.parametrize(
    ("form", "url"),
    [
        ("https://example.com/", "https://example.com"), ("http://EXAMPLE.com", "https://www.example.com/"),
        ("https://www.example.com:443/index.html", "https://example.com/"),
        ("https://example.com/index.php", "https://example.com"),
        ("https://example.com./contact", "https://example.com/contact/"),
        ("https://example.com/%E5%BA%97/", "https://example.com/店"),
        ("https://xn--l8jer.jp/", "https://あおい.jp"),
        ("https://example.com/?utm_source=gbp&utm_medium=x", "https://example.com/"),
        ("https://example.com/?p=2&gclid=1", "https://example.com/?p=2"),
    ],
)  # fmt: skip
def test_an_address_is_the_same_in_each_spelling(form: str, url: str) -> None:
    business = {"name": "いっぱい", "form_url": form, "url": url}
    assert ways_of(least(business=business)) == {"url": url}


@pytest.mark.parametrize(
    ("form", "url"),
    [
        ("https://example.com/contact/", "https://example.com/"),
        ("https://example.com/?page_id=2", "https://example.com/"),
        ("https://example.com:8443/", "https://example.com/"), ("https://form.example.com/", "https://example.com/"),
    ],
)  # fmt: skip
def test_another_address_of_the_site_is_a_form_and_warned_of(form: str, url: str) -> None:
    request = full(business={**BUSINESS, "form_url": form, "url": url})
    assert ways_of(request) == {"form": form, "url": url}
    assert [one.code for one in page_warnings(request, brief_of(request))] == ["form_target"]


FORMS = (
    "https://aoi.test/send.php", "https://forms.gle/a", "https://beauty.hotpepper.jp/a", "https://lin.ee/a",
    "https://www.instagram.com/a",
)  # fmt: skip
SITES = (
    "https://aoi.test/", "https://tayori.com/b", "https://reserva.be/b", "https://lin.ee/b", "https://tabelog.com/b",
    "https://www.instagram.com/b",
)  # fmt: skip


@pytest.mark.parametrize("place", [{}, {"address": "東京都港区芝1-2-3"}])
@pytest.mark.parametrize("form", FORMS)
def test_every_given_address_is_on_the_page(form: str, place: dict[str, str]) -> None:
    for url in SITES:
        request = least("居酒屋", business={"name": "いっぱい", "form_url": form, "url": url, **place})
        calls = outside_calls(request, brief_of(request), call_of(request, brief_of(request), "送信する"))
        shown = {*(call.href for call in calls), ways_of(request).get("form"), listed_site(request)}
        assert {form, url} <= shown, url
        assert len({call.words for call in calls}) == len(calls), "each button has words of its own"


def test_a_second_address_has_a_button_of_its_own() -> None:
    twice = page_of(form_url="https://coubic.com/a", url="https://reserva.be/b")
    assert closing(twice) == [
        ("https://coubic.com/a", "予約ページへ"),
        ("https://reserva.be/b", "別の予約ページを開く"),
    ]
    pages = page_of("問い合わせ", form_url="https://www.instagram.com/a", url="https://tabelog.com/b")
    assert [words for _, words in closing(pages)] == ["Instagramを見る", "食べログを見る"]
    site = page_of(
        "問い合わせ", form_url="https://www.instagram.com/a", url="https://aoi.test/", address="東京都港区芝1"
    )
    assert [words for _, words in closing(site)] == ["公式サイトを見る", "Instagramを見る"]


@pytest.mark.parametrize(
    ("form", "url", "warned"),
    [
        ("https://example.com/form", "https://www.example.com/", True),
        ("https://form.example.com/", "https://example.com/", True),
        ("https://example.com/mail.cgi", "https://www.example.com/", False),
        ("https://www.example.com/contact/send.php?to=1", "https://example.com/", False),
        ("https://ssl.example.com/api/contact", "https://example.com/", False),
        ("https://example.com/contact/index.php", "https://example.com/", True),
        ("https://example.com/index.php/contact/", "https://example.com/", True),
        ("https://other.test/send.php", "https://example.com/", True),
        ("https://shop.netlify.app/contact", None, True), ("https://shop.s3.amazonaws.com/contact", None, True),
        ("https://webto.salesforce.com/servlet/servlet.WebToLead", None, True),
        ("https://a.execute-api.ap-northeast-1.amazonaws.com/prod/contact", None, False),
        ("https://formspree.io/f/x", None, False), ("https://forms.gle/x", None, False),
        ("https://lin.ee/x", None, False),
        ("https://other.test/form", "https://example.com/", True), ("https://other.test/form", None, True),
        ("https://notexample.com/form", "https://example.com/", True),
    ],
)  # fmt: skip
def test_an_unknown_target_of_a_form_is_warned_of(form: str, url: str | None, warned: bool) -> None:
    request = full(business={**BUSINESS, "form_url": form, "url": url})
    codes = [(one.code, one.detail.partition(":")[0]) for one in page_warnings(request, brief_of(request))]
    assert codes == ([("form_target", "business.form_url")] if warned else [])


def test_each_host_is_listed_once_and_found() -> None:
    table = tomllib.loads(files("processors").joinpath("pages", "sites.toml").read_text("utf-8"))
    hosts = Counter(host for listed in table.values() for host in listed)
    assert [host for host, times in hosts.items() if times > 1] == []
    for kind, listed in table.items():
        assert {site_of(f"https://{host}/x" if "/" not in host else f"https://{host}").kind for host in listed} == {
            kind
        }
