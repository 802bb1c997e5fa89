"""Random visits of known actions: a visitor's actions, counted beside the snippet."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from conftest import DEAD_S, SETTLED_S, frames, scroll_to, wait_in
from expectations import Cells, Elements, Expected
from playwright.async_api import Page

HEIGHT, PAGE_H, WIDTHS = 800, 3_000, (1_440, 1_100, 700)
SECTIONS = {"hero": 0, "price": 1_000, "faq": 2_000}
ROUTE = """lp => {
  history.pushState({}, '', '/' + lp);
  lpstream.page(lp);
  scrollTo(0, 0);  // the router's own
}"""


@dataclass
class Counts:
    """The counts of one page id in a visit."""

    pageviews: int = 1
    cells: Cells = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    elements: Elements = field(default_factory=Counter)
    goals: int = 0
    depth: int = HEIGHT


class RandomVisit:
    """One visit: it acts in the browser and counts its actions.

    `hide` is the script that hides or shows the tab.
    """

    def __init__(self, page: Page, lp_id: str, rng: random.Random, hide: str) -> None:
        self._page, self._rng, self._hide = page, rng, hide
        self._lp_id, self._routes = lp_id, 0
        self._y, self._width, self._column = 0, WIDTHS[0], 0
        self.counts = {lp_id: Counts()}
        self.log: list[str] = []

    @property
    def _here(self) -> Counts:
        return self.counts[self._lp_id]

    async def run(self, actions: int) -> None:
        """Act at random, and close the page."""
        kinds: list[Callable[[], Awaitable[None]]] = [
            *[self._scroll] * 3, *[self._press_nothing] * 2, self._press_button, self._press_bar, self._route,
            self._look_away, self._resize, self._goal, self._press_button_and_scroll,
        ]  # fmt: skip
        for _ in range(actions):
            action = self._rng.choice(kinds)
            self.log.append(action.__name__.strip("_"))
            await action()
        await self._page.close(run_before_unload=True)

    def expected(self) -> list[Expected]:
        """Return the expected rows of the tables, for each page id of the visit."""
        return [
            Expected(
                lp_id,
                {
                    "pageviews": one.pageviews,
                    "clicks": one.kinds.total(),
                    "dead_clicks": one.kinds["dead_click"],
                    "rage_clicks": 0,
                    **dict.fromkeys(("goals", "goals_custom", "conversions"), one.goals),
                },
                one.cells,
                Counter(dict.fromkeys(range(-(-one.depth // 100)), 1)),
                Counter({name: 1 for name, top in SECTIONS.items() if top < one.depth}),
                one.elements,
            )
            for lp_id, one in self.counts.items()
        ]

    async def _scroll(self) -> None:
        self._y = self._rng.randrange(0, (PAGE_H - HEIGHT) // 100) * 100
        await scroll_to(self._page, self._y)
        self._here.depth = max(self._here.depth, self._y + HEIGHT)

    async def _press(self, kind: str, x: int, y: int, element: str, *, fixed: bool = False) -> None:
        await self._page.mouse.click(x, y)
        place = y if fixed else y + self._y
        self._here.cells[kind, fixed, min(127, 128 * x // self._width), place // 16] += 1
        self._here.kinds[kind] += 1
        self._here.elements[element, kind] += 1

    async def _press_nothing(self) -> None:
        """Press an empty place, each time in another column, so that no two presses look like rage."""
        self._column = (self._column + 40) % 300
        y = self._rng.randrange(100, 700)
        section = max((top, name) for name, top in SECTIONS.items() if top <= y + self._y)[1]
        await self._press("dead_click", 360 + self._column, y, f"{section}>section:0")
        await wait_in(self._page, DEAD_S)

    async def _press_button(self) -> None:
        for number, top in enumerate((100, 1_800), 1):
            if 60 <= top - self._y <= HEIGHT - 60:
                await self._press("click", 200, top - self._y + 20, f">button:{number}")
                await wait_in(self._page, 0.05)  # the change comes before the next press

    async def _press_button_and_scroll(self) -> None:
        await self._press_button()
        await self._scroll()

    async def _press_bar(self) -> None:
        await self._press("click", self._rng.randrange(20, 300), 20, "bar", fixed=True)
        await wait_in(self._page, 0.05)

    async def _route(self) -> None:
        self._routes += 1
        self._lp_id = f"{self._lp_id.split('-')[0]}-{self._routes}"
        self.counts[self._lp_id] = Counts()
        await self._page.evaluate(ROUTE, self._lp_id)
        self._y = 0
        await frames(self._page)  # on a busy machine the event of the router's scrolling comes late
        await wait_in(self._page, 2 * SETTLED_S)

    async def _look_away(self) -> None:
        await self._page.evaluate(self._hide, "hidden")
        await asyncio.sleep(0.1)
        await self._page.evaluate(self._hide, "visible")

    async def _resize(self) -> None:
        self._width = self._rng.choice(WIDTHS)
        await self._page.set_viewport_size({"width": self._width, "height": HEIGHT})
        await frames(self._page)
        await wait_in(self._page, 0.3)

    async def _goal(self) -> None:
        await self._page.evaluate("lpstream.goal()")
        self._here.goals = 1  # once a pageview
