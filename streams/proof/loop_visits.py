"""Visitors of an experiment over HTTP: they act at a known rate and record their pages and goals."""

import asyncio
import random
import re
import time
from dataclasses import dataclass, field

import aiohttp
import msgspec

from schemas.errors import LpstreamError
from schemas.heatmap import DEVICES
from streams.proof.posting import post
from streams.proof.visitors import DEVICE_WEIGHTS, Page, Visit

A_SECOND, AT_ONCE = 125, 16
RETURNING, RETRIED = 0.2, 0.05
ARM = re.compile(r'data-lp-id="?([\w.-]+)')
SAFARI = "AppleWebKit/605.1.15 Version/18.5 Mobile Safari/604.1"
AGENTS = {
    "mobile": f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) {SAFARI}",
    "tablet": f"Mozilla/5.0 (iPad; CPU OS 18_5 like Mac OS X) {SAFARI}",
    "desktop": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0.0.0 Safari/537.36",
}
Layouts = dict[str, dict[str, Page]]


class ShortVisit(Visit):
    """A pageview of a few seconds, with or without a click on the first call to action and a goal."""

    def __init__(self, rng: random.Random, page: Page, start_ms: int, *, goal: bool) -> None:
        self._goal = goal
        super().__init__(rng, page, start_ms)

    def _walk(self) -> None:
        page, rng = self._page, self._rng
        self._note("s", 0, 0)
        for _ in range(rng.randint(1, 2)):
            self._now += rng.randint(200, 900)
            self._note("m", rng.uniform(0.2, 0.8) * page.width, rng.uniform(0.2, 0.8) * page.viewport_h, 500)
        if self._goal:
            spot = page.hot_spots[0]
            self._now += rng.randint(100, 500)
            self._note("c", rng.gauss(spot.x, spot.spread), rng.gauss(spot.y, spot.spread * 0.6), element=spot.element)
            self._note("v", 0, 0)
            self._note("g", 0, 0)


@dataclass(slots=True)
class Seen:
    """A visit: its time (s UTC), its arm, and whether it reached a goal while the experiment ran."""

    at_s: float
    arm: str
    goal: bool
    running: bool


@dataclass(slots=True)
class Visitors:
    """The visitors of a page with their own record. `rates` has the true goals a visit of each arm."""

    edge_url: str
    lp_id: str
    layouts: Layouts
    rates: dict[str, float]
    rng: random.Random
    seen: list[Seen] = field(default_factory=list)
    cookies: list[str] = field(default_factory=list)
    moved: int = 0

    async def come(self, count: int) -> None:
        """Visit the page `count` times, A_SECOND a second at most."""
        began, numbers = time.monotonic(), iter(range(count))

        async def worker(session: aiohttp.ClientSession) -> None:
            for number in numbers:
                await asyncio.sleep(began + number / A_SECOND - time.monotonic())
                await self._visit(session)

        jar, connector = aiohttp.DummyCookieJar(), aiohttp.TCPConnector(limit=AT_ONCE)
        async with aiohttp.ClientSession(cookie_jar=jar, connector=connector) as session:
            await asyncio.gather(*(worker(session) for _ in range(AT_ONCE)))

    def record(self) -> dict[str, tuple[int, int]]:
        """Return the visits and the goals of each arm, as the visitors noted them."""
        return {
            arm: (sum(one.arm == arm for one in self.seen), sum(one.arm == arm and one.goal for one in self.seen))
            for arm in self.rates
        }

    async def _visit(self, session: aiohttp.ClientSession) -> None:
        rng = self.rng
        device = rng.choices(DEVICES, DEVICE_WEIGHTS)[0]
        cookie = rng.choice(self.cookies) if self.cookies and rng.random() < RETURNING else None
        arm, given, running = await self._page(session, device, cookie)
        if cookie is not None and running:
            self.moved += arm != cookie
        if given is not None:
            self.cookies.append(given)
        goal = rng.random() < self.rates[arm]
        visit = ShortVisit(rng, self.layouts[arm][device], int(time.time() * 1_000), goal=goal)
        for beacon in visit.beacons():
            body = msgspec.json.encode(beacon)
            for _ in range(1 + (rng.random() < RETRIED)):  # a retry must not count
                if not await post(session, f"{self.edge_url}/e/heatmap.events", body):
                    raise LpstreamError("the edge did not acknowledge a beacon after eight tries")
        self.seen.append(Seen(time.time(), arm, goal, running))

    async def _page(
        self, session: aiohttp.ClientSession, device: str, cookie: str | None
    ) -> tuple[str, str | None, bool]:
        """Return the arm that the page is, the arm in a new cookie, and whether the experiment is running."""
        headers = {"User-Agent": AGENTS[device], **({"Cookie": f"lpa={cookie}"} if cookie else {})}
        async with session.get(f"{self.edge_url}/lp/{self.lp_id}", headers=headers) as answer:
            html = await answer.text()
            if answer.status != 200 or (found := ARM.search(html)) is None or found[1] not in self.rates:
                raise LpstreamError(f"{self.lp_id}: the edge answered {answer.status} with a page that is no arm")
            given = answer.cookies.get("lpa")
            running = "no-store" in answer.headers.get("Cache-Control", "")
            return found[1], given.value if given is not None else None, running
