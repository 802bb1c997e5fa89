"""The head of an arm's page."""

import html5lib
import pytest
from page_requests import BUSINESS, full, html_of

from processors.experiments.head import dressed

PAGE = (
    b"<!doctype html><html lang=ja><head><title>A</title><link rel=canonical href=https://x.test/lp/demo-a>"
    b'<meta property=og:title content="A > all"><meta name="twitter:card" content=summary>'
    b'<meta property="og:url" content="https://x.test/lp/demo-a"></head><body><h1>A</h1></body></html>'
)
ARM = (
    b'<!doctype html><html lang=ja><head><title>B</title><meta name=description content="rel=canonical of B">'
    b'<link href="https://x.test/lp/demo-b" rel="canonical"><meta content="B" property="og:title">'
    b'<script type=application/ld+json>{"url":"https://x.test/lp/demo-b","next":"https://x.test/lp/demo-b2"}</script>'
    b"<script async src=https://x.test/t.js data-lp-id=demo-b></script></head>"
    b'<body><a href="https://x.test/lp/demo-b">B</a><meta property="og:title" content="in the body"></body></html>'
)
ADDRESSES = (b"https://x.test/lp/demo-b", b"https://x.test/lp/demo-a")


def test_an_arm_has_the_address_and_the_cards_of_the_page() -> None:
    head = dressed(ARM, PAGE, *ADDRESSES).partition(b"</head>")[0]
    assert head.count(b"canonical href=https://x.test/lp/demo-a>") == 1
    assert head.count(b"og:title") == 1 and b'og:title content="A > all"' in head
    assert b"twitter:card" in head
    assert b'"url":"https://x.test/lp/demo-a"' in head and b"/lp/demo-b2" in head


def test_an_arm_keeps_its_title_its_snippet_and_its_body() -> None:
    html = dressed(ARM, PAGE, *ADDRESSES)
    assert b"<title>B</title>" in html and b"rel=canonical of B" in html
    assert b"data-lp-id=demo-b>" in html
    assert html.partition(b"</head>")[2] == ARM.partition(b"</head>")[2]


def test_html_without_a_head_stays_as_it_is() -> None:
    for html in (b"", b"<h1>B</h1>", b"<body><head></head></body>", b"\xff" * 300_000):
        assert dressed(html, PAGE, *ADDRESSES) == html
        assert dressed(ARM, html, *ADDRESSES).partition(b"</head>")[2] == ARM.partition(b"</head>")[2]


def test_a_head_that_never_ends_is_handled() -> None:
    for html in (
        b"<head>" + b"<meta " * 100_000,
        b"<head><meta content='" + b"a" * 400_000,
        b"<head>" + b"<link '" * 50_000,
        b"<head>" + b"<title>" * 40_000,
        b"<head><meta " + b"a" * 250_000 + b"></head>",
    ):
        assert dressed(html, PAGE, *ADDRESSES).startswith(b"<head>")


@pytest.mark.parametrize(
    "name",
    [
        '<meta name="og:x" http-equiv=refresh content="0;url=//other.test">',
        "<link rel=canonical href=//other.test>",
        '<meta name=og: content="',
        "</head><body>",
    ],
)
def test_a_tag_in_a_title_is_text(name: str) -> None:
    own, other = (html_of(full(business={**BUSINESS, "name": each})).encode() for each in (name, "Ramen"))
    for arm, page in ((own, other), (other, own)):
        html = dressed(arm, page, *(b"http://edge.test/lp/t1-1",) * 2).decode()
        tags = html5lib.parse(html, namespaceHTMLElements=False)
        assert [one.get("href") for one in tags.iter("link") if one.get("rel") == "canonical"] == [
            "http://edge.test/lp/t1-1"
        ]
        assert [one for one in tags.iter("meta") if one.get("http-equiv")] == []
        assert sum(1 for _ in tags.iter("main")) == 1
