"""Presses whose effect is outside the document, goals of scripts, and unusual pages."""

from collections.abc import Iterable

import pytest
from conftest import HEIGHT, Site, Visit, scroll_to, wait_in
from harness import full_only
from test_snippet_clicks import BLANK, clicked, press

pytestmark = pytest.mark.asyncio(loop_scope="module")


def mostly_at_full_length(kinds: Iterable[str], short: str) -> list[object]:
    """Return the kinds as parameters, all but `short` at full length only."""
    return [kind if kind == short else pytest.param(kind, marks=full_only) for kind in kinds]


CODE = "<textarea id=t readonly>CODE</textarea><button id=it>写す</button>"
EFFECTS = {
    "window": "<button id=it onclick='window.open(`/other`)'>開く</button>",
    "message": "<button id=it onclick='alert(1)'>知らせる</button>",
    "file": "<label id=it>選ぶ<input type=file hidden></label>",
    "picture": "<input type=file id=f hidden><button id=it onclick='f.click()'>選ぶ</button>",
    "command": f"{CODE}<script>it.onclick = () => {{ t.select(); document.execCommand('copy') }}</script>",
    "hidden field": "<input type=radio id=r checked hidden><label id=it for=r>選ぶ</label>",
}


@pytest.mark.parametrize("kind", mostly_at_full_length(EFFECTS, "file"))
async def test_a_press_with_an_effect_outside_the_document_is_not_dead(site: Site, visit: Visit, kind: str) -> None:
    page = await visit(clock=True, html=BLANK + EFFECTS[kind])
    await press(page)
    await page.bring_to_front()
    assert await clicked(site, page) == "c"


BOX = "<svg width=90 height=30><a {}><rect id=it width=90 height=30 /></a></svg>"
WAYS = {
    "picture tel": (BOX.format("href='tel:0312345678'"), "vt"),
    "picture outbound": (BOX.format("target=_blank href='http://shop.test/buy'"), "vo"),
    "picture within": (BOX.format("href='#x'"), ""),
    "window": ("<button id=it onclick='window.open(`http://shop.test/buy`)'>買う</button>", "vo"),
    "own window": ("<button id=it onclick='window.open(`/other`)'>開く</button>", ""),
    "data": ("<a id=it download href='data:text/plain,x'>資料</a>", ""),
}


@pytest.mark.parametrize("kind", mostly_at_full_length(WAYS, "picture tel"))
async def test_goals_of_pictures_and_scripts_are_told_apart(site: Site, visit: Visit, kind: str) -> None:
    body, expected = WAYS[kind]
    page = await visit(clock=True, html=BLANK + body)
    await press(page)
    await page.bring_to_front()
    assert await clicked(site, page) == "c"
    assert "".join(event[0] for event in site.events("vgfeot")) == expected


SCRIPTS = {
    "location": ("<button id=it onclick='location.href = `tel:0312345678`'>電話</button>", "vt"),
    "link": ("<a id=a href='tel:0312345678'></a><button id=it onclick='a.click()'>電話</button>", "vt"),
}


@full_only
@pytest.mark.chromium_only("Firefox tells a page nothing of `tel:` addresses that a script opens")
@pytest.mark.parametrize("kind", SCRIPTS)
async def test_a_script_may_lead_to_a_goal_after_a_press(site: Site, visit: Visit, kind: str) -> None:
    body, expected = SCRIPTS[kind]
    page = await visit(clock=True, html=BLANK + body)
    box = await page.locator("#it").bounding_box()
    assert box is not None
    await page.mouse.click(box["x"] + 5, box["y"] + 5)
    await page.evaluate("lpstream.flush()")
    await site.until(lambda: len(site.events("vgfeot")) >= len(expected))
    assert "".join(event[0] for event in site.events("vgfeot")) == expected


NAMES = {
    "Blob": "class Blob { constructor(canvas) { canvas.draw() } }",
    "navigation": "var navigation = document.createElement('nav')",
}


@full_only
@pytest.mark.parametrize("name", NAMES)
async def test_a_page_may_use_names_of_the_browser(site: Site, visit: Visit, name: str) -> None:
    page = await visit(clock=True, html=f"<!doctype html><script>{NAMES[name]}</script>{BLANK}<p id=it>文</p>")
    await press(page)
    assert await clicked(site, page) == "d"


@full_only
async def test_a_document_that_its_script_empties_loses_no_click(site: Site, visit: Visit) -> None:
    # in such a handler, `open` is `document.open`
    page = await visit(html=BLANK + "<button id=it onclick='open(`/other`)'>開く</button>")
    await press(page)
    await wait_in(page, 2.7)
    await page.evaluate("lpstream.flush()")
    await site.until(lambda: site.events("crd"))
    assert {beacon.page_h for beacon in site.accepted} == {3_000}


@full_only
async def test_a_stuck_bar_below_a_root_of_one_screen_is_fixed(site: Site, visit: Visit) -> None:
    style = "<style>html{height:100%}</style><div style='height:5000px'></div>"
    bar = "<div style='position:sticky;bottom:0;height:100px'>申し込む</div>"
    page = await visit(clock=True, html=BLANK + style + bar)
    await scroll_to(page, 1_000)
    await page.mouse.click(300, HEIGHT - 50)
    await clicked(site, page)
    assert [event[1:3] + event[4:] for event in site.events("crd")] == [(300, HEIGHT - 50, True)]


@full_only
@pytest.mark.parametrize("direction", ["rtl", "ltr"])
async def test_the_element_that_scrolls_has_its_own_direction(site: Site, visit: Visit, direction: str) -> None:
    other = {"rtl": "ltr", "ltr": "rtl"}[direction]
    long = "<div style='width:3000px;height:2000px'></div>"
    shell = f"<main dir={direction} style='height:100vh;overflow:auto'>{long}</main>"
    page = await visit(html=BLANK.replace("height:3000px", f"direction:{other}") + shell)
    start = await page.evaluate("document.querySelector('main').clientWidth")
    await page.mouse.click(900, 200)
    await wait_in(page, 2.6)
    await page.evaluate("lpstream.flush()")
    await site.until(lambda: site.events("crd"))
    assert [event[1] for event in site.events("crd")] == [900 + (3_000 - start if direction == "rtl" else 0)]
