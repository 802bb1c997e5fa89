"""The snippet names the element of each click, never by its text or by typed text."""

import pytest
from conftest import TAG, Site, Visit
from playwright.async_api import Page
from test_snippet_clicks import BLANK, clicked, press

from schemas.heatmap import element_names

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMED = {
    "data-element": ("<div data-element=card><p id=it>文</p></div>", "card"),
    "the nearest data-element": ("<div data-element=card><b data-element=price><i id=it>円</i></b></div>", "price"),
    "id": ("<div id=card><button id=it>買う</button></div>", "it"),
    "a picture in a button": ("<button id=buy><b class=it>買う</b></button>", "buy"),
    "place": ("<main id=top><p>一</p><div><p class=it>二</p></div></main>", "top>p:2"),
    "place in a section": ("<section data-section=faq><p>一</p><h2 class=it>二</h2></section>", "faq>h2:1"),
    "a section itself": ("<section data-section=faq class=it style='height:90px'></section>", "faq>section:0"),
    "no name around it": ("<p>一</p><p class=it>二</p>", ">p:2"),
    "svg": ("<svg id=map width=90 height=90><g><circle class=it r=45 cx=45 cy=45 /></g></svg>", "map>circle:1"),
    "a tag of Word": ("<o:p class=it style='display:block'>文</o:p>", ">o:p:1"),
    "a form with a field named id": (
        "<form class=it style='height:90px'><input name=id hidden value=7></form>",
        ">form:1",
    ),
    "open shadow": (
        "<main id=top><x-a class=it></x-a></main><script>document.querySelector('x-a').attachShadow({mode: 'open'})"
        ".innerHTML = '<button>中</button>'</script>",
        "top>x-a:1",
    ),
    "data-element in an open shadow": (
        "<x-a class=it></x-a><script>document.querySelector('x-a').attachShadow({mode: 'open'})"
        ".innerHTML = '<button data-element=inner>中</button>'</script>",
        "inner",
    ),
    "closed shadow": (
        "<main id=top><x-a class=it></x-a></main><script>document.querySelector('x-a').attachShadow({mode: 'closed'})"
        ".innerHTML = '<button>中</button>'</script>",
        "top>x-a:1",
    ),
    "64 characters": (f"<p id=it data-element={'店😀' * 40}>文</p>", "店😀" * 32),
    "half a surrogate": (
        "<p class=it>文</p><script>document.querySelector('p').dataset.element = '\\ud83d'</script>",
        ">p:1",
    ),
    "half a surrogate before text": (
        "<p class=it>文</p><script>document.querySelector('p').dataset.element = '\\ud83dあ'</script>",
        "あ",
    ),
}


def names(site: Site) -> list[str]:
    """Return the names of all accepted clicks."""
    return [name for beacon in site.accepted for name in element_names(beacon.elements or ())]


async def tap(page: Page) -> None:
    """Press the element #it or .it."""
    await press(page, "#it, .it")


@pytest.mark.parametrize("kind", NAMED)
async def test_a_click_has_the_name_of_its_element(site: Site, visit: Visit, kind: str) -> None:
    body, name = NAMED[kind]
    page = await visit(clock=True, html=BLANK + body)
    await tap(page)
    assert len(await clicked(site, page)) == 1
    assert names(site) == [name]


async def test_no_text_and_no_typed_value_is_in_a_name(site: Site, visit: Visit) -> None:
    body = "<form><label>名前<input class=it name=secret value=ひみつ></label><button>送る</button></form>"
    page = await visit(clock=True, html=BLANK + body)
    await tap(page)
    await page.keyboard.type("たろう")
    await clicked(site, page)
    assert names(site) == [">input:1"]
    assert not any(word in post.body.decode() for post in site.posts for word in ("ひみつ", "たろう", "名前", "secret"))


async def test_a_name_is_sent_once_for_all_its_clicks(site: Site, visit: Visit) -> None:
    body = "<p id=one>一</p><br><p id=two style='margin-top:200px'>二</p>"
    page = await visit(clock=True, html=BLANK + body)
    for selector in ("#one", "#two", "#one"):
        await press(page, selector)
    await clicked(site, page, 3)
    assert names(site) == ["one", "two", "one"]
    assert sum(post.body.count(b'"one"') for post in site.posts) == 1


async def test_a_beacon_without_clicks_has_no_elements(site: Site, visit: Visit) -> None:
    page = await visit(html=BLANK)
    await page.evaluate("lpstream.flush()")
    await site.posted(1)
    assert b"elements" not in site.posts[0].body


async def test_an_element_that_leaves_at_its_press_has_a_name(site: Site, visit: Visit) -> None:
    body = "<main id=top><button class=it onclick='this.remove()'>消える</button></main>"
    page = await visit(clock=True, html=BLANK + body)
    await tap(page)
    assert await clicked(site, page) == "c"
    assert names(site) == ["top>button:1"]


@pytest.mark.chromium_only("Playwright cannot touch in Firefox")
async def test_a_tap_on_an_element_that_is_gone_is_counted(site: Site, visit: Visit) -> None:
    script = "<script>addEventListener('touchstart', (event) => { event.preventDefault(); event.target.remove() },"
    body = f"<main id=top><p class=it>消える</p></main>{script} {{ passive: false }})</script>"
    page = await visit(clock=True, html=BLANK + body, device={"has_touch": True})
    box = await page.locator(".it").bounding_box()
    assert box is not None
    await page.touchscreen.tap(box["x"] + 9, box["y"] + 9)
    assert len(await clicked(site, page)) == 1
    assert len(names(site)) == 1


async def test_pages_with_own_prototypes_send_elements(site: Site, visit: Visit) -> None:
    hooks = "Array.prototype.toJSON = function () { return 'x' }; Object.prototype.toJSON = () => 1;"
    page = await visit(
        clock=True, html=f"<!doctype html><meta charset=utf-8><script>{hooks}</script>{TAG}<p id=it>文</p>"
    )
    await tap(page)
    await clicked(site, page)
    assert names(site) == ["it"]
