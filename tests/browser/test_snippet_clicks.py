"""The snippet's clicks: one for each press, dead only without effect, and in the right pixels."""

import asyncio
import base64

import pytest
from conftest import DEAD_S, TAG, Site, Visit, frames, scroll_to
from playwright.async_api import Page

pytestmark = pytest.mark.asyncio(loop_scope="module")

BLANK = f"<!doctype html><meta charset=utf-8>{TAG}<body style='margin:0;height:3000px'>"


async def press(page: Page, selector: str = "#it", **options: object) -> None:
    """Press the middle of an element as a mouse does."""
    await page.mouse.click(*await middle(page, selector), **options)  # type: ignore[arg-type]


async def middle(page: Page, selector: str = "#it") -> tuple[float, float]:
    """Return the middle of an element, in pixels of the viewport."""
    box = await page.locator(selector).bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


async def clicked(site: Site, page: Page, count: int = 1) -> str:
    """Return the letters of all clicks, once the snippet has decided and posted `count`.

    The page's clock is Playwright's. Firefox may get a click a little after Playwright has sent it.
    """
    for _ in range(100):
        enough = len(site.events("crd")) >= count
        await frames(page)
        await page.clock.run_for(1_000 * DEAD_S)
        await page.evaluate("lpstream.flush()")
        if enough:
            break
    return "".join(event[0] for event in site.events("crd"))


HEADER = b"RIFF\x44\x03\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x40\x1f\0\0\1\0\x08\0data\x20\x03\0\0"
SILENCE = "data:audio/wav;base64," + base64.b64encode(HEADER + b"\x80" * 800).decode()
WORKING = {
    "tel": "<a id=it href='tel:0312345678'>電話</a>",
    "mailto": "<a id=it href='mailto:a@example.jp'>メール</a>",
    "download": "<a id=it download href='data:text/plain,x'>資料</a>",
    "blank": "<a id=it target=_blank href='/other'>別の窓</a>",
    "target": "<style>#m{display:none}#m:target{display:block}</style><a id=it href='#m'>開く</a><p id=m>品書き</p>",
    "shadow": "<div id=host></div><script>host.attachShadow({mode:'open'}).innerHTML = '<button id=it>数</button>';"
    "host.shadowRoot.firstChild.onclick = ({target}) => target.textContent += '1'</script>",
    "closed": "<x-box id=it style='display:block;width:99px;height:30px'></x-box><script>customElements.define('x-box',"
    "class extends HTMLElement { constructor() { super(); this.attachShadow({mode:'closed'}) } })</script>",
    "copy": "<button id=it onclick='navigator.clipboard.writeText(1)'>写す</button>",
    "popover": "<button id=it popovertarget=p>開く</button><p popover id=p>中身</p>",
    "details": "<details><summary id=it>詳しく</summary>中身</details>",
    "canvas": "<canvas id=it width=90 height=30></canvas>",
    "reset": "<form><input value=a id=f><button id=it type=reset>消す</button></form><script>f.value = 'b'</script>",
    "invalid": "<form><input required><button id=it>送る</button></form>",
    "copy rich": "<button id=it>写す</button><script>it.onclick = () =>"
    "navigator.clipboard.write([new ClipboardItem({'text/plain': 'x'})]).catch(() => 0)</script>",
    "another shadow": "<button id=it onclick='inner.textContent += 1'>足す</button><div id=host></div><script>"
    "const open = (host) => host.attachShadow({mode: 'open'}), box = document.createElement('div');"
    "open(host).append(box); const inner = open(box)</script>",
    "focus within": "<style>nav p{display:none} nav:focus-within p{display:block}</style>"
    "<nav><button id=it>品書き</button><p>中身</p></nav>",
    "seek": f"<audio id=a src='{SILENCE}'></audio><button id=it onclick='a.currentTime = 0'>頭</button>",
    "full screen": "<button id=it onclick='document.documentElement.requestFullscreen()'>全画面</button>",
    "print": "<button id=it onclick='dispatchEvent(new Event(`beforeprint`))'>印刷</button>",
    "checked": "<style>#b:checked + *{color:red}</style><input id=b type=checkbox hidden><label for=b id=it>印</label>",
}


@pytest.mark.parametrize("kind", WORKING)
async def test_a_click_that_may_work_is_not_dead(site: Site, visit: Visit, kind: str) -> None:
    page = await visit(clock=True, html=BLANK + WORKING[kind])
    await press(page)
    await page.bring_to_front()
    assert await clicked(site, page) == "c"


SLOW = {
    "link": "<a id=it href='/slow'>遅いリンク</a>",
    "svg": "<svg width=90 height=30><a href='/slow'><rect id=it width=90 height=30 /></a></svg>",
    "script": "<button id=it onclick='location.href = `/slow`'>遅い</button>",
    "form": "<form id=f action=/slow></form><button id=it onclick='f.submit()'>遅い</button>",
}


@pytest.mark.parametrize("kind", SLOW)
async def test_a_way_to_a_slow_server_is_not_dead(site: Site, visit: Visit, kind: str) -> None:
    page = await visit(clock=True, html=BLANK + SLOW[kind])
    pressing = asyncio.create_task(press(page))  # Playwright waits for the answer, which leaves the page as it is
    await asyncio.sleep(DEAD_S + 1)
    site.release()
    await pressing
    assert await clicked(site, page) == "c"


async def test_ctrl_clicks_on_links_are_not_dead(site: Site, visit: Visit) -> None:
    page = await visit(clock=True, html=BLANK + "<a id=it href='/other'>別の窓</a>")
    await page.keyboard.down("Control")
    await press(page)
    await page.keyboard.up("Control")
    await page.bring_to_front()
    assert await clicked(site, page) == "c"


async def test_the_middle_button_follows_links_and_the_right_button_does_nothing(site: Site, visit: Visit) -> None:
    body = (
        "<p id=text>文</p><button id=button oncontextmenu='return false'>動かない</button>"
        "<p><a id=it href='http://shop.test/buy'>買う</a></p>"
    )
    page = await visit(clock=True, html=BLANK + body)
    await press(page, "#text", button="middle")
    await press(page, "#button", button="right")
    await page.keyboard.press("Enter")
    await press(page, button="middle")
    await page.bring_to_front()
    assert await clicked(site, page) == "c"
    assert "".join(event[0] for event in site.events("vgfeot")) == "vo"


@pytest.mark.chromium_only("Playwright cannot touch in Firefox")
async def test_a_tap_on_a_page_that_handles_touches_itself_is_one_click(site: Site, visit: Visit) -> None:
    script = "<script>addEventListener('touchstart', (event) => event.preventDefault(), { passive: false })</script>"
    page = await visit(clock=True, html=BLANK + script, device={"has_touch": True})
    await page.touchscreen.tap(200, 300)
    assert await clicked(site, page) == "d"
    assert [event[1:3] for event in site.events("crd")] == [(200, 300)]


DEAD = {
    "text": "<p id=it>ただの文</p>",
    "button": "<button id=it>動かない</button>",
    "hash": "<a id=it href='#'>動かない</a>",
    "script": "<a id=it href='javascript:void 0'>動かない</a>",
    "prevented": "<a id=it href='/other' onclick='event.preventDefault()'>動かない</a>",
    "label": "<label id=it>何もない札</label>",
    "light element": "<my-island><p id=it>文</p></my-island>"
    "<script>customElements.define('my-island', class extends HTMLElement {})</script>",
}


@pytest.mark.parametrize("kind", DEAD)
async def test_a_click_without_any_effect_is_dead(site: Site, visit: Visit, kind: str) -> None:
    page = await visit(clock=True, html=BLANK + DEAD[kind])
    await press(page)
    assert await clicked(site, page) == "d"


@pytest.mark.firefox_too
async def test_selecting_and_unselecting_text_is_not_dead(site: Site, visit: Visit) -> None:
    page = await visit(clock=True, html=BLANK + "<p id=it style='margin:0'>えらぶ 文字 のある 段落</p>")
    await page.mouse.move(4, 10)
    await page.mouse.down()
    await page.mouse.move(90, 10)
    await page.mouse.up()
    await page.clock.run_for(1_200)  # otherwise the next click is one of a burst
    await page.mouse.click(500, 10)
    assert await clicked(site, page, 2) == "cc"


@pytest.mark.chromium_only("Playwright's double click selects nothing in Firefox")
async def test_a_double_click_on_a_word_is_not_dead(site: Site, visit: Visit) -> None:
    page = await visit(clock=True, html=BLANK + "<p id=it>えらぶ 文字</p>")
    await press(page, click_count=2)
    assert await clicked(site, page, 2) == "cc"


async def test_a_click_in_the_focused_field_is_not_dead(site: Site, visit: Visit) -> None:
    page = await visit(clock=True, html=BLANK + "<input id=it>")
    await page.focus("#it")
    await press(page)
    assert await clicked(site, page) == "c"


STEPPERS = [
    "<button id=it onclick='n.textContent += 1'>＋</button><output id=n></output>",
    "<button id=it onclick='n.value++'>＋</button><input type=number id=n value=1>",
]


@pytest.mark.parametrize("stepper", STEPPERS, ids=["text", "field"])
async def test_a_stepper_that_works_is_no_rage(site: Site, visit: Visit, stepper: str) -> None:
    page = await visit(clock=True, html=BLANK + stepper)
    for _ in range(5):
        await press(page)
    assert await clicked(site, page, 5) == "ccccc"


LABELS = ["<label id=it><input type=checkbox>同意</label>", "<label for=x id=it>同意</label><input id=x>"]


@pytest.mark.firefox_too
@pytest.mark.parametrize("page", LABELS, ids=["around", "beside"])
async def test_a_label_and_its_field_are_one_click(site: Site, visit: Visit, page: str) -> None:
    opened = await visit(clock=True, html=BLANK + page)
    box = await opened.locator("#it").bounding_box()
    assert box is not None
    await opened.mouse.click(box["x"] + box["width"] - 4, box["y"] + 8)
    assert await clicked(site, opened) == "c"


BAR = "position:fixed;top:300px;width:100%;height:50px"
STICKY = {
    # where a click at (600, 310) after a scroll of 1,000 px belongs
    "not stuck": ("<aside style='position:sticky;top:20px;margin-top:1200px;height:300px'>", (600, 1310, False)),
    "stuck": (
        "<div style='height:2900px'><aside style='position:sticky;top:300px;height:300px'></aside></div>",
        (600, 310, True),
    ),
    "fixed": (f"<div style='{BAR}'></div>", (600, 310, True)),
    "carried": (f"<div style='transform:translateX(0)'><div style='{BAR};top:1300px'>", (600, 1310, False)),
    "in shadow": (
        "<div id=host></div><script>host.attachShadow({mode:'open'}).innerHTML ="
        f" '<nav style=\"{BAR}\"><b>x</b></nav>'</script>",
        (600, 310, True),
    ),
}


@pytest.mark.parametrize("kind", STICKY)
async def test_only_elements_that_keep_their_place_are_fixed(site: Site, visit: Visit, kind: str) -> None:
    body, expected = STICKY[kind]
    page = await visit(clock=True, html=BLANK + body)
    await scroll_to(page, 1_000)
    await page.mouse.click(600, 310)
    await clicked(site, page)
    assert [(x, y, fixed) for _, x, y, _, fixed in site.events("crd")] == [expected]


# around a fixed element that these do not carry, and that these carry
CARRIERS = [
    "",
    "transform:translateX(0)",
    "translate:1px",
    "filter:blur(0)",
    "will-change:transform",
    "perspective:9px",
]


async def test_a_fixed_element_is_fixed_unless_an_element_around_carries_it(site: Site, visit: Visit) -> None:
    box = "<b style='position:{0};display:block;width:50px;height:50px'></b>"
    carried = "".join(
        f"<div style='position:absolute;top:1300px;left:{100 * at}px;{style}'>"
        + box.format(f"fixed;{'' if at else 'top:300px'}")
        + "</div>"
        for at, style in enumerate(CARRIERS)
    )
    sticky = (
        "<div style='position:absolute;left:600px;top:0;height:2900px;transform:translateX(0)'>"
        + box.format("sticky;top:300px")
        + "<p id=p popover=manual style='left:700px;top:300px;width:50px;height:50px;margin:0'></p></div>"
    )
    page = await visit(clock=True, html=BLANK + carried + sticky)
    await scroll_to(page, 1_000)
    await page.evaluate("p.showPopover()")
    for at in range(len(CARRIERS) + 2):
        await page.mouse.click(100 * at + 25, 320)
    await clicked(site, page, len(CARRIERS) + 2)
    fixed = [event[4] for event in sorted(site.events("crd"), key=lambda event: event[1])]
    assert fixed == [True, *[False] * (len(CARRIERS) - 1), True, True]


GOALS = {
    "tel": ("<a id=it href='tel:0312345678'>電話</a>", "vt"),
    "mail": ("<a id=it href='mailto:a@example.jp'>メール</a>", "ve"),
    "outbound": ("<a id=it target=_blank href='http://shop.test/buy'>買う</a>", "vo"),
    "line": ("<a id=it href='line://ti/p/x'>LINE</a>", "vo"),
    "same site": ("<a id=it href='#x'>中</a>", ""),
    "dialog": ("<dialog open><form method=dialog><button id=it>閉じる</button></form></dialog>", ""),
    "form": ("<form action='javascript:void 0'><button id=it>送る</button></form>", "vf"),
    "key": ("<a id=it href='tel:0312345678'>電話</a>", "vt"),
}


@pytest.mark.parametrize("kind", GOALS)
async def test_goals_are_told_apart_and_counted_once(site: Site, visit: Visit, kind: str) -> None:
    body, expected = GOALS[kind]
    page = await visit(clock=True, html=BLANK + body)
    if kind == "key":
        await page.focus("#it")
        await page.keyboard.press("Enter")
        await page.keyboard.press("Enter")
    else:
        x, y = await middle(page)
        for _ in range(2):  # Playwright's locators would wait for the application that `tel:` opens
            await page.mouse.click(x, y)
            await page.bring_to_front()
    await page.clock.run_for(10)  # the snippet decides about a link after the page's listeners
    await page.evaluate("lpstream.flush()")
    await site.until(lambda: len(site.events("vgfeot")) >= len(expected))
    assert "".join(event[0] for event in site.events("vgfeot")) == expected


@pytest.mark.firefox_too
async def test_two_kinds_of_goals_are_one_conversion(site: Site, visit: Visit) -> None:
    page = await visit(clock=True, html=BLANK + "<a id=it href='tel:0312345678'>電話</a>")
    await press(page)
    await page.clock.run_for(10)
    await page.evaluate("lpstream.goal(); lpstream.goal()")
    await page.evaluate("lpstream.flush()")
    await site.until(lambda: "g" in site.letters)
    assert "".join(event[0] for event in site.events("vgfeot")) == "vtg"
