"""A seeded model of visitors who scroll down, leave, pause, rest the pointer and click hot spots.

The hot spots are known (`Page.hot_spots`), so tests can compare pictures and totals with them.
"""

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from schemas.heatmap import CLICK_LETTERS, DEVICES, KIND_BY_LETTER

SECTIONS = ("hero", "problems", "features", "benefits", "price", "faq", "closing")
SHARES = (0.16, 0.13, 0.2, 0.16, 0.12, 0.13, 0.1)
SIZES = {"mobile": (390, 844, 5_200), "tablet": (820, 1_180, 4_200), "desktop": (1_440, 900, 3_600)}
DEVICE_WEIGHTS = (0.68, 0.07, 0.25)
GO_ON = 0.82  # probability of another scroll step
BEACON_MS, MOST_EVENTS = 5_000, 100
# type, time in ms, x, y, dwell, fixed, element
Event = tuple[str, int, int, int, int, bool, str]


@dataclass(frozen=True, slots=True)
class HotSpot:
    """A place that visitors click: centre and spread in px, share of clicks, and element.

    `dead` is the part of the clicks that have no effect.
    """

    x: int
    y: int
    spread: float
    share: float
    element: str
    dead: float = 0.06


@dataclass(frozen=True, slots=True)
class Page:
    """A page on one device.

    `bar` has places that stay on screen, in px of the screen. `leave` adds to the probability of leaving while a
    section is in the middle of the screen.
    """

    lp_id: str
    device: str
    width: int
    height: int
    viewport_h: int
    sections: tuple[tuple[str, int, int], ...]
    hot_spots: tuple[HotSpot, ...]
    bar: tuple[HotSpot, ...] = ()
    leave: dict[str, float] = field(default_factory=dict)


def page_of(lp_id: str, device: str) -> Page:
    """Return the model's page on a device.

    Sections take fixed shares of its height. Calls to action are at the top, in the price list and at the end.
    """
    width, viewport_h, height = SIZES[device]
    sections, top = [], 0
    for name, share in zip(SECTIONS, SHARES, strict=True):
        bottom = top + round(height * share)
        sections.append((name, top, bottom))
        top = bottom
    middle = width // 2
    spots = (
        HotSpot(middle, round(height * 0.12), 14, 0.5, "hero-call"),
        HotSpot(middle, round(height * 0.71), 16, 0.2, "price-call"),
        HotSpot(middle, round(height * 0.95), 18, 0.3, "closing-call"),
    )
    bar = (HotSpot(round(width * 0.85), round(viewport_h * 0.92), 0, 0.06, "bar-call", 0.0),)
    return Page(lp_id, device, width, height, viewport_h, tuple(sections), spots, bar)


def head_of(page: Page, pageview_id: str, seq: int) -> dict[str, Any]:
    """Return the fields of a beacon that say where it comes from: page, pageview and sizes."""
    return {
        "schema": 1,
        "lp_id": page.lp_id,
        "pageview_id": pageview_id,
        "seq": seq,
        "device": page.device,
        "viewport_w": page.width,
        "viewport_h": page.viewport_h,
        "page_w": page.width,
        "page_h": page.height,
    }


def probe(lp_id: str, pageview_id: str) -> bytes:
    """Return a beacon with a single event, which has just happened on a phone."""
    event = {"type": "s", "dt": [0], "x": [0], "y": [0], "dwell": [0]}
    head = head_of(page_of(lp_id, "mobile"), pageview_id, 0)
    return msgspec.json.encode({**head, "t0": int(time.time() * 1000), "depth": 0, **event})


class Visit:
    """One pageview: a list of events, split into beacons as the snippet does."""

    def __init__(self, rng: random.Random, page: Page, start_ms: int) -> None:
        self._rng, self._page = rng, page
        self._pageview_id = str(UUID(int=rng.getrandbits(128), version=4))
        self._now = start_ms
        self._events: list[Event] = []
        self._converted = False
        self._walk()

    def _note(self, kind: str, x: float, y: float, dwell: int = 0, fixed: bool = False, element: str = "") -> None:
        self._events.append((kind, self._now, round(x), round(y), dwell, fixed, element))

    def _walk(self) -> None:
        page, rng = self._page, self._rng
        top, lowest = 0, page.height - page.viewport_h
        self._note("s", 0, 0)
        while True:
            self._look(top)
            if rng.random() > GO_ON - page.leave.get(self._middle(top), 0.0) or top >= lowest:
                return
            top = min(lowest, top + round(page.viewport_h * rng.uniform(0.4, 0.9)))
            self._now += rng.randint(200, 700)
            self._note("s", 0, top)

    def _middle(self, top: int) -> str:
        middle = top + self._page.viewport_h / 2
        return next((name for name, first, last in self._page.sections if first <= middle < last), "")

    def _look(self, top: int) -> None:
        page, rng = self._page, self._rng
        began = self._now
        for _ in range(rng.randint(1, 4)):
            self._now += rng.randint(500, 1_800)
            x, y = rng.gauss(page.width * 0.5, page.width * 0.16), top + rng.uniform(0.15, 0.85) * page.viewport_h
            self._note("m", max(0.0, x), y, rng.randint(500, 2_500))
        for spot in page.hot_spots:
            if top <= spot.y < top + page.viewport_h and rng.random() < spot.share * 0.5:
                self._click(spot)
        for spot in page.bar:
            if rng.random() < spot.share * 0.5:
                self._now += 120
                x, y = rng.gauss(spot.x, spot.spread), rng.gauss(spot.y, spot.spread * 0.6)
                self._note("c", x, y, fixed=True, element=spot.element)
        self._note("s", 0, top, self._now - began)

    def _click(self, spot: HotSpot) -> None:
        rng = self._rng
        x, y = rng.gauss(spot.x, spot.spread), rng.gauss(spot.y, spot.spread * 0.6)
        self._now += rng.randint(80, 400)
        kind = rng.random()
        if kind < 0.05:
            for letter in ("c", "c", "r", "r"):
                self._note(letter, x, y, element=spot.element)
                self._now += 180
            return
        dead = kind < 0.05 + spot.dead
        self._note("d" if dead else "c", x, y, element=spot.element)
        if not dead and rng.random() < 0.2 and not self._converted:
            self._converted = True
            self._now += 900
            self._note("v", 0, 0)
            self._note("g", 0, 0)

    def beacons(self) -> Iterator[dict[str, Any]]:
        """Yield the visit's beacons in order."""
        part: list[Event] = []
        seq, depth = 0, 0
        for event in self._events:
            if part and (event[1] - part[0][1] >= BEACON_MS or len(part) == MOST_EVENTS):
                yield self._beacon(part, seq, depth)
                depth = self._depth_after(part, depth)
                seq, part = seq + 1, []
            part.append(event)
        yield self._beacon(part, seq, depth)

    def _depth_after(self, part: Iterable[Event], depth: int) -> int:
        seen = [min(y + self._page.viewport_h, self._page.height) for kind, _, _, y, _, _, _ in part if kind == "s"]
        return max([depth, *seen])

    def _beacon(self, part: list[Event], seq: int, depth: int) -> dict[str, Any]:
        page, t0 = self._page, part[0][1]
        names = [event[6] for event in part if event[0] in CLICK_LETTERS]
        hits = [name if names.index(name) == at else names.index(name) for at, name in enumerate(names)]
        return {
            **head_of(page, self._pageview_id, seq),
            "t0": t0,
            "depth": depth,
            "type": "".join(event[0] for event in part),
            "dt": [event[1] - t0 for event in part],
            "x": [event[2] for event in part],
            "y": [event[3] for event in part],
            "dwell": [event[4] for event in part],
            "fixed": [index for index, event in enumerate(part) if event[5]],
            "sections": [list(section) for section in page.sections],
            "rate": 1.0,
            **({"elements": hits} if hits else {}),
        }


def visits(seed: int, lp_ids: list[str], count: int, start_ms: int, span_ms: int) -> Iterator[Visit]:
    """Yield `count` visits to the pages. Each starts at random within `span_ms` from `start_ms` (ms UTC)."""
    rng = random.Random(seed)
    pages = {(lp_id, device): page_of(lp_id, device) for lp_id in lp_ids for device in DEVICES}
    for _ in range(count):
        device = rng.choices(DEVICES, DEVICE_WEIGHTS)[0]
        yield Visit(rng, pages[rng.choice(lp_ids), device], start_ms + rng.randrange(max(1, span_ms)))


def tally(beacons: Iterable[dict[str, Any]]) -> Counter[str]:
    """Count events by the full names of their kinds."""
    letters: Counter[str] = Counter()
    for beacon in beacons:
        letters.update(beacon["type"])
    return Counter({KIND_BY_LETTER[letter].value: count for letter, count in letters.items()})
