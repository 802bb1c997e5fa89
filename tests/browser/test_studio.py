"""The studio in Chromium.

By mouse, by keyboard, without scripts, in both languages, without axe violations.

Its maps are compared with the calls to action that a browser shows. Screenshots go to out/studio/.
"""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from cached_finding import SENTENCE, find
from engines import context_of
from font_browser import CHROMIUM, launched, write_fonts
from harness import full_only
from patience import PATIENCE_S
from picture_files import encoded, logo, photo
from PIL import Image
from playwright.async_api import Browser, BrowserContext, Page, expect
from rings import weak_rings
from visited_page import VisitedPage, publish, visited_page

from infra.embedded.stack import Stack
from processors.pictures.maps import GROUND, MARGIN_TOP
from streams.local.installation import Installation

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]
SCREENSHOTS = Path(__file__).parents[2] / "out" / "studio"
DESKTOP, PHONE = (1_360, 900), (390, 844)
VISITS = 250
LINE_PX = 64  # of the largest heading
# The preview contains the snippet, which its sandbox blocks. The sandbox has no origin that axe could post to.
EXPECTED = re.compile("Blocked script execution in .*/preview|'postMessage' .* recipient window's origin \\('null'\\)")
# Links within text may be as small as the text.
SMALL_TARGETS = """() => [...document.querySelectorAll("a,button,summary,select,input,textarea")]
  .filter(one => one.offsetParent && !one.closest(".skip,p,li,td,th,figcaption,.crumbs,label"))
  .map(one => [one.outerHTML.slice(0, 60), one.getBoundingClientRect()])
  .filter(([, box]) => box.height < 44 && box.width > 1).map(([name]) => name)"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on the path")
    async with launched(write_fonts(tmp_path_factory.mktemp("fonts"))) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def home(stack: Stack, installation: Installation, chromium: Browser) -> VisitedPage:
    return await visited_page(stack, installation, chromium, VISITS)


async def opened(context: BrowserContext, complaints: list[str]) -> Page:
    page = await context.new_page()
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", lambda came: complaints.append(f"{came.url} {came.status}") if came.status >= 400 else None)
    return page


async def log_in_to_studio(page: Page, installation: Installation) -> None:
    await page.goto(f"{installation.api_url}/studio")
    await page.locator("#token").fill(installation.token)
    await page.keyboard.press("Enter")
    await expect(page.locator(".nav")).to_be_visible()  # the login keeps the address


async def clean(page: Page, name: str) -> None:
    """Assert no axe violations, no overflow and large enough targets; take a screenshot."""
    found = await Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert await page.evaluate(SMALL_TARGETS) == []
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await page.screenshot(path=SCREENSHOTS / f"{name}.png")


async def shown(page: Page) -> None:
    """Assert that all maps are loaded."""
    for picture in await page.locator(".view img").all():
        await picture.evaluate("one => one.decode()")
        assert await picture.evaluate("one => one.naturalWidth") > 100


@pytest.mark.parametrize(("size", "locale"), [(DESKTOP, "ja-JP"), pytest.param(PHONE, "en-GB", marks=full_only)])
async def test_a_page_can_be_requested_followed_and_inspected(
    chromium: Browser, installation: Installation, home: VisitedPage, size: tuple[int, int], locale: str
) -> None:
    width, height = size
    context = await context_of(chromium, viewport={"width": width, "height": height}, locale=locale)
    complaints: list[str] = []
    page = await opened(context, complaints)
    name = "desktop" if size == DESKTOP else "phone"
    await page.goto(f"{installation.api_url}/studio")
    assert await page.locator("html").get_attribute("lang") == locale[:2]
    await clean(page, f"{name}-door")
    await log_in_to_studio(page, installation)
    await clean(page, f"{name}-home")
    await page.goto(f"{installation.api_url}/studio/new")
    await clean(page, f"{name}-new")
    await page.locator("#name").fill("サロン 凪")
    await page.locator("#industry").fill("美容")
    await page.locator("#phone").fill("03-0000-0000")
    await page.locator("#prices").fill("カット 5500\nカラー 7,700円")
    for field, body in (("picture", encoded(photo(900, 600), "JPEG")), ("logo", encoded(logo(400, 120), "PNG"))):
        await page.locator(f"#{field}").set_input_files({"name": field, "mimeType": "image/png", "buffer": body})
        await expect(page.locator(f"#{field}-told")).to_contain_text("×")
    await page.locator("#picture_alt").fill("店の入り口")
    await page.locator("form.stack .call").click()
    await page.wait_for_url("**/requests/*")
    await expect(page.locator(".preview iframe")).to_be_visible()
    preview = page.frame_locator(".preview iframe")
    await expect(preview.locator("header .logo img")).to_have_attribute("alt", "サロン 凪")
    await expect(preview.locator(".hero img")).to_have_attribute("alt", "店の入り口")
    await expect(preview.locator(".prices")).to_contain_text("7,700")
    await expect(preview.locator("img").first).to_have_js_property("complete", True)
    assert await preview.locator("img").first.evaluate("one => one.naturalWidth") > 0
    await clean(page, f"{name}-page")
    await page.goto(f"{installation.api_url}/studio")
    row = page.locator("tr", has_text=home.lp_id)
    assert "API" in await row.inner_text()
    await row.locator("th a").first.click()
    for kind in ("click", "dead", "attention", "scroll") if size == DESKTOP else ("scroll",):
        await page.locator(f".tabs a[href*='kind={kind}']").click()
        await page.wait_for_url(f"**kind={kind}*")
        await shown(page)
        await clean(page, f"{name}-{kind}")
    await page.locator("#compare").select_option("previous")
    await page.locator("form.filters .call").click()
    await expect(page.locator(".view img")).to_have_count(2)
    await shown(page)
    await clean(page, f"{name}-compare")
    assert [one for one in complaints if not EXPECTED.search(one)] == []
    await context.close()


def on_a_placeholder(picture: np.ndarray) -> bool:
    """Return whether the map is drawn on the placeholder instead of a screenshot."""
    return bool((picture == np.array(GROUND)).all(axis=2).mean() > 0.5)


@pytest.mark.parametrize("device", ["mobile", pytest.param("desktop", marks=full_only)])
async def test_the_map_is_hot_on_the_pages_calls_to_action(
    installation: Installation, home: VisitedPage, device: str
) -> None:
    headers = {"Authorization": f"Bearer {installation.token}", "Cache-Control": "no-cache"}
    address = f"{installation.api_url}/heatmaps/{home.lp_id}.png?kind=click&device={device}"
    picture = np.zeros(0)
    async with aiohttp.ClientSession(headers=headers) as session, asyncio.timeout(PATIENCE_S):
        while not picture.size or on_a_placeholder(picture):  # a busy machine may take longer than a request waits
            async with session.get(address) as answer:
                body = await answer.read()
            picture = np.asarray(Image.open(io.BytesIO(body)).convert("RGB")).astype(int)[MARGIN_TOP:]
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    (SCREENSHOTS / f"map-{device}.png").write_bytes(body)
    place = home.places[device]
    # without a Japanese font on the machine, the screenshot's own font may break a heading into another line
    assert picture.shape[1] == place.width and abs(picture.shape[0] - place.height) <= LINE_PX, (
        "the map has the size of the page"
    )
    yellow = picture[:, :, 1] - picture[:, :, 2]
    spot = place.hot_spots[0]
    assert yellow[spot.y - 6 : spot.y + 6, spot.x - 6 : spot.x + 6].mean() > 70
    # Only a small part is hot; elsewhere the page shows through.
    heat = (yellow > 60).sum() / yellow.size
    assert 0 < heat < 0.02


@full_only
async def test_the_studios_focus_rings_have_a_contrast_of_three(
    chromium: Browser, installation: Installation, home: VisitedPage
) -> None:
    context = await context_of(chromium, viewport={"width": 1_360, "height": 900}, locale="ja-JP")
    page = await context.new_page()
    await page.goto(f"{installation.api_url}/studio")
    found = {"login": await weak_rings(page)}
    await log_in_to_studio(page, installation)
    for path in ("", "/new", f"/maps/{home.lp_id}"):
        await page.goto(f"{installation.api_url}/studio{path}")
        found[path] = await weak_rings(page)
    assert {path: weak for path, (_, weak) in found.items() if weak} == {}
    assert all(stops >= 4 for stops, _ in found.values())
    await context.close()


async def test_an_experiment_is_started_and_stopped_in_few_clicks(
    chromium: Browser, installation: Installation
) -> None:
    _, lp_id = await publish(installation, industry="飲食")
    _, arm = await publish(installation, industry="飲食", door="studio")
    context = await context_of(chromium, viewport={"width": 390, "height": 844}, locale="ja-JP")
    complaints: list[str] = []
    page = await opened(context, complaints)
    await log_in_to_studio(page, installation)
    box = page.locator(f"[name='arm:{arm}']")
    async with asyncio.timeout(PATIENCE_S):  # the list of pages may be some seconds old
        while not await box.count():
            await page.goto(f"{installation.api_url}/studio?q={lp_id}")
            if await (row := page.locator("tr", has_text=lp_id)).count():
                await row.get_by_role("link", name="A/Bテスト").click()
                await expect(page.locator("main h1")).to_contain_text("A/Bテスト")
    await clean(page, "test-start")
    await box.check()
    await page.locator("#q").fill(lp_id)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**q=*")
    assert not re.search("[?&]form=", page.url), "the token of the form is in no address"
    await expect(box).to_be_checked()
    await page.locator(".start .call").click()
    await expect(page.locator(".status.running")).to_be_visible()
    await clean(page, "test-running")
    await page.locator(".end-test summary").click()
    await page.locator(".end-test button").click()
    await expect(page.locator(".status.stopped")).to_be_visible()
    await expect(page.locator("main")).to_contain_text("手動で終了しました")
    assert complaints == []
    await context.close()


@pytest.fixture
def quick_optimizer(installation: Installation) -> Iterator[None]:
    """Let the optimizer look each second."""
    installation.children["optimizer"].stop()
    installation.launch("optimizer", {"LPSTREAM_EXPERIMENT_INTERVAL_S": "1"})
    yield
    installation.children["optimizer"].stop()
    installation.launch("optimizer")


async def test_autopilot_is_switched_on_and_its_variant_approved(
    chromium: Browser, stack: Stack, installation: Installation, quick_optimizer: None
) -> None:
    _, lp_id = await publish(installation, industry="飲食")
    await find(stack, lp_id)
    context = await context_of(chromium, viewport={"width": 1_280, "height": 900}, locale="ja-JP")
    complaints: list[str] = []
    page = await opened(context, complaints)
    await log_in_to_studio(page, installation)
    await page.goto(f"{installation.api_url}/studio/experiments/{lp_id}")
    await expect(page.get_by_role("checkbox", name="人が承認する")).to_be_checked()
    await clean(page, "autopilot-off")
    await page.get_by_role("button", name="自動改善をオンにする").click()
    await expect(page.locator(".pilot .status")).to_have_text("オン")
    mark = page.locator(".row-acts a", has_text="承認待ち").and_(page.locator(f"[href$='{lp_id}']"))
    async with asyncio.timeout(PATIENCE_S):
        while not await mark.count():
            await page.goto(f"{installation.api_url}/studio")
            await asyncio.sleep(0.3)
    await clean(page, "autopilot-home")
    await page.locator(f"section.waiting [href$='{lp_id}']").click()
    await expect(page.locator(".pilot")).to_contain_text(SENTENCE)
    for width in (1_280, 390):
        await page.set_viewport_size({"width": width, "height": 900})
        await clean(page, f"autopilot-waits-{width}")
    await page.get_by_role("link", name="別案を見る").click()
    await expect(page.frame_locator(".preview iframe").locator("h1")).to_be_visible()
    await page.go_back()
    await page.get_by_role("button", name="承認してテストする").click()
    async with asyncio.timeout(PATIENCE_S):
        while not await page.locator(".status.running", has_text="実施中").count():
            await page.goto(f"{installation.api_url}/studio/experiments/{lp_id}")
    await expect(page.locator(".pilot")).to_contain_text("別案をテストしています")
    await clean(page, "autopilot-testing")
    await page.locator(".pilot summary").click()
    await clean(page, "autopilot-change")
    await page.get_by_role("button", name="自動改善をオフにする").click()
    await expect(page.locator(".pilot .status")).to_have_text("オフ")
    await expect(page.locator(".status.stopped")).to_be_visible()
    assert [one for one in complaints if not EXPECTED.search(one)] == []
    await context.close()


async def test_back_keeps_what_was_typed(chromium: Browser, installation: Installation) -> None:
    context = await context_of(chromium, locale="ja-JP")
    page = await context.new_page()
    await log_in_to_studio(page, installation)
    await page.goto(f"{installation.api_url}/studio/new")
    typed = {"#name": "サロン 凪", "#industry": "美容", "#prices": "カット 5500"}
    for field, text in typed.items():
        await page.locator(field).fill(text)
    addresses = []
    for keyword in ("髪質改善", "ショート"):
        await page.locator("#keywords").fill(keyword)
        await page.locator("form.stack .call").click()
        await page.wait_for_url("**/requests/*")
        addresses.append(page.url)
        await page.go_back()
        assert {field: await page.locator(field).input_value() for field in typed} == typed
    assert addresses[0] != addresses[1], "the changed form is a page of its own"
    await context.close()


async def test_the_studio_works_with_the_keyboard(
    chromium: Browser, installation: Installation, home: VisitedPage
) -> None:
    context = await context_of(chromium, viewport={"width": 1_360, "height": 900}, locale="en-US")
    page = await context.new_page()
    await page.goto(f"{installation.api_url}/studio")
    assert await page.evaluate("document.activeElement.id") == "token"
    await page.keyboard.type(installation.token)
    await page.keyboard.press("Enter")
    await expect(page.locator(".nav")).to_be_visible()  # the login keeps the address
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.className") == "skip"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "main"
    await page.goto(f"{installation.api_url}/studio/maps/{home.lp_id}")
    await page.locator(".tabs [aria-current]").focus()
    for _ in range(3):  # past the clicks without effect and the repeated clicks
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**kind=attention*")
    await shown(page)
    view = page.locator(".view")
    await view.focus()
    async with asyncio.timeout(PATIENCE_S):
        while await view.evaluate("one => one.scrollTop") < 100:  # a map that is not drawn yet ignores keys
            await page.keyboard.press("End")
            await asyncio.sleep(0.2)
    await context.close()


async def test_the_studio_works_without_scripts(
    chromium: Browser, installation: Installation, home: VisitedPage
) -> None:
    context = await context_of(chromium, java_script_enabled=False, locale="ja-JP")
    page = await context.new_page()
    await log_in_to_studio(page, installation)
    await page.goto(f"{installation.api_url}/studio/new")
    await page.locator("#name").fill("麺屋 一")
    await page.locator("#industry").fill("飲食")
    await page.locator("#prices").fill("無料です")
    await page.locator("form.stack .call").click()
    await expect(page.locator("#prices-error")).to_be_visible()
    assert await page.locator("#name").input_value() == "麺屋 一", "the typed text is kept"
    assert await page.locator("#prices").get_attribute("aria-invalid") == "true"
    await page.locator("#prices").fill("")
    await page.locator("form.stack .call").click()
    async with asyncio.timeout(PATIENCE_S):
        while not await page.locator(".preview iframe").count():
            await page.get_by_role("link", name="更新する").click()
    await page.goto(f"{installation.api_url}/studio/maps/{home.lp_id}?kind=click&range=24h")
    await expect(page.locator(".view img")).to_have_js_property("complete", True)
    await page.get_by_role("link", name="English").click()
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    assert "range=24h" in page.url
    await page.goto(f"{installation.api_url}/studio")
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await page.get_by_role("button", name="Log out").click()
    await expect(page.locator("#token")).to_be_visible()
    await page.goto(f"{installation.api_url}/studio/new")
    await expect(page.locator("[role=alert]")).to_contain_text("session is over")
    await context.close()
