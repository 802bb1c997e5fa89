"""Model pages with and without planted faults, and visitors who meet the faults.

The visitors of `streams.proof.visitors` with more habits: screens of several sizes, visitors who leave after a click,
sections that take different times to read, and clicks on texts.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from schemas.heatmap import DEVICES
from streams.proof.visitors import DEVICE_WEIGHTS, Page, Visit

NAMES = ("hero", "problems", "solution", "benefits", "testimonials", "price", "flow", "faq", "information", "closing")
SCREENS = {
    "mobile": ((360, 660), (375, 667), (390, 844), (393, 760), (412, 800), (430, 932)),
    "tablet": ((768, 1_024), (820, 1_180)),
    "desktop": ((1_366, 650), (1_440, 800), (1_536, 730), (1_920, 950)),
}
USUAL_W = {"mobile": 390, "tablet": 820, "desktop": 1_440}
OUTSIDE = 0.5  # part of the effective clicks that lead to another page
NOISE = 0.01  # probability of a click on a text, per view


@dataclass(frozen=True, slots=True)
class Target:
    """A thing in a section that visitors click: its height in the section, 0..1, and its clicks per view.

    Parts of the clicks are dead, or bursts of rage. `rests` are pointer rests per view.
    """

    section: str
    at: float
    clicks: float
    dead: float = 0.03
    rage: float = 0.02
    rests: float = 0.0
    across: float = 0.5
    devices: tuple[str, ...] = DEVICES


@dataclass(frozen=True, slots=True)
class Model:
    """A page: heights of its sections on a phone of 390 px, targets, and the habits of its visitors.

    `leave` adds to the probability of leaving while a section is in the middle of the screen. `read` multiplies time.
    """

    sections: tuple[tuple[str, int], ...]
    targets: tuple[Target, ...]
    go_on: float = 0.84
    leave: dict[str, float] = field(default_factory=dict)
    read: dict[str, float] = field(default_factory=dict)

    def height_of(self, name: str, device: str) -> int:
        """Return a section's height on a device. Wide screens need less of it."""
        return round(dict(self.sections)[name] * {"mobile": 1.0, "tablet": 0.8, "desktop": 0.7}[device])


@dataclass(frozen=True, slots=True)
class Planted:
    """A model, and the findings that name its fault.

    A sound page has no kinds.
    """

    name: str
    model: Model
    kinds: tuple[str, ...] = ()
    section: str | None = None
    device: str | None = None


def sound(seed: int) -> Model:
    """Return a page without a fault. Pages differ in sections, heights, buttons and visitors."""
    rng = random.Random(seed)
    inner = list(NAMES[1:-1])
    for name in rng.sample(inner[:3] + inner[5:], rng.randint(0, 2)):
        inner.remove(name)
    rng.shuffle(inner)
    names = ["hero", *inner, "closing"]
    heights = {name: rng.randint(420, 900) for name in names} | {"hero": rng.randint(640, 800)}
    targets = [Target("hero", rng.uniform(0.6, 0.8), rng.uniform(0.06, 0.14)), Target("closing", 0.7, 0.15)]
    targets += [Target(name, 0.8, rng.uniform(0.03, 0.08)) for name in rng.sample(inner, 2)]
    if "faq" in inner:
        targets += [Target("faq", at, 0.06, dead=0.0) for at in (0.3, 0.5, 0.7)]
    return Model(
        tuple((name, heights[name]) for name in names),
        tuple(targets),
        rng.uniform(0.82, 0.88),
        {name: rng.uniform(-0.03, 0.03) for name in names},
        {name: rng.uniform(0.75, 1.3) for name in names},
    )


def planted(seed: int) -> list[Planted]:
    """Return ten pages with a fault each, made from sound pages."""
    rng = random.Random(seed)
    base = [sound(seed * 100 + at) for at in range(10)]
    middle = [rng.choice(_middle(one)) for one in base]
    low = replace(base[7], targets=tuple(one for one in base[7].targets if one.section == "closing"))
    long = tuple((name, height * 3) for name, height in base[8].sections)
    away = replace(base[2], leave=base[2].leave | {middle[2]: 0.4})
    picture = Target(middle[4], 0.4, 0.1, dead=1.0, rage=0.0, rests=0.6, across=0.3)
    slow = Target(middle[6], 0.5, 0.2, dead=0.02, rage=0.4)
    calls = ("first_view_without_call", "call_too_low")
    long_read = ("read_not_clicked", "sought_too_low")
    return [
        Planted("dead hero button", _changed(base[0], "hero", dead=1.0), ("dead_clicks",), "hero"),
        Planted("call below the fold", _first_call_later(base[1]), calls),
        Planted("section that drives away", away, ("section_left",), middle[2]),
        Planted("long read, no click", _read_not_clicked(base[3], middle[3]), long_read, middle[3]),
        Planted("picture like a link", _with(base[4], picture), ("dead_clicks", "attention_without_link"), middle[4]),
        Planted("broken on phones only", _not_on_phones(base[5]), ("device_gap", calls[0]), None, "mobile"),
        Planted("slow control", _with(base[6], slow), ("rage_clicks",), middle[6]),
        Planted("no call in the first view", low, calls),
        Planted("very long page", replace(base[8], sections=long), ("page_too_long",)),
        Planted("hidden price", _hidden_price(base[9]), ("sought_too_low",), "price"),
    ]


def sound_pages(seed: int) -> list[Planted]:
    """Return ten pages without a fault."""
    return [Planted("sound", sound(seed * 100 + 50 + at)) for at in range(10)]


def _middle(model: Model) -> list[str]:
    """Return sections without a button, from the third of the page on and before its last two."""
    used = {target.section for target in model.targets}
    names = [name for name, _ in model.sections]
    return [name for name in names[2:-2] if name not in used and name != "price"][:3]


def _changed(model: Model, section: str, dead: float) -> Model:
    return replace(
        model, targets=tuple(replace(one, dead=dead) if one.section == section else one for one in model.targets)
    )


def _with(model: Model, target: Target) -> Model:
    return replace(model, targets=(*model.targets, target))


def _first_call_later(model: Model) -> Model:
    names = [name for name, _ in model.sections]
    targets = tuple(one for one in model.targets if names.index(one.section) > 3)
    return replace(model, targets=(Target(names[2], 0.7, 0.12), *targets))


def _read_not_clicked(model: Model, section: str) -> Model:
    return replace(model, read=model.read | {section: 4.0})


def _not_on_phones(model: Model) -> Model:
    hero = model.targets[0]
    return replace(model, targets=(replace(hero, clicks=0.14, devices=("tablet", "desktop")), *model.targets[1:]))


def _hidden_price(model: Model) -> Model:
    rest = [one for one in model.sections if one[0] not in ("price", "closing")]
    price, closing = (next(one for one in model.sections if one[0] == name) for name in ("price", "closing"))
    targets = (*(one for one in model.targets if one.section != "price"), Target("price", 0.5, 0.1))
    return replace(model, sections=(*rest, price, closing), targets=targets, read=model.read | {"price": 4.0})


@dataclass(frozen=True, slots=True)
class ModelPage(Page):
    """A model on a screen."""

    model: Model = field(default_factory=lambda: sound(0))


def page_on(model: Model, lp_id: str, device: str, screen: tuple[int, int]) -> ModelPage:
    """Return the model's page on a screen. A narrow phone needs more lines."""
    width, viewport_h = screen
    longer = (USUAL_W[device] / width) ** 0.3
    sections, top = [], 0
    for name, _ in model.sections:
        bottom = top + round(model.height_of(name, device) * longer)
        sections.append((name, top, bottom))
        top = bottom
    return ModelPage(lp_id, device, width, top + 240, viewport_h, tuple(sections), (), model=model)


class HabitVisit(Visit):
    """A pageview of a model's page."""

    _page: ModelPage

    def _walk(self) -> None:
        page, rng = self._page, self._rng
        top, lowest = 0, max(0, page.height - page.viewport_h)
        patience = rng.lognormvariate(0, 0.5)
        self._note("s", 0, 0)
        while True:
            if self._see(top, patience):
                return
            leave = 1 - page.model.go_on + page.model.leave.get(self._middle(top), 0.0)
            if rng.random() < leave or top >= lowest:
                return
            top = min(lowest, top + round(page.viewport_h * rng.uniform(0.4, 0.9)))
            self._now += rng.randint(200, 700)
            self._note("s", 0, top)

    def _see(self, top: int, patience: float) -> bool:
        """Read the view; return whether the visitor has left the page by a click."""
        page, rng = self._page, self._rng
        began, gone = self._now, False
        shown = [
            (name, max(0, min(last, top + page.viewport_h) - max(first, top)) / page.viewport_h)
            for name, first, last in page.sections
        ]
        reading = sum(share * page.model.read.get(name, 1.0) for name, share in shown)
        time_ms = int(max(400, 4_000 * patience * reading * rng.lognormvariate(0, 0.4)))
        for _ in range(rng.randint(0, 1) if page.device == "mobile" else rng.randint(1, 4)):
            x, y = rng.gauss(page.width * 0.5, page.width * 0.18), top + rng.uniform(0.1, 0.9) * page.viewport_h
            self._note("m", max(0.0, x), y, rng.randint(500, 2_500))
        self._now += time_ms
        for target in page.model.targets:
            gone = self._meet(target, top) or gone
        if rng.random() < NOISE:
            x, y = rng.uniform(0.1, 0.9) * page.width, top + rng.uniform(0.1, 0.9) * page.viewport_h
            self._note("d", x, y, element="main>p:1")
        if rng.random() < 0.01:
            self._note("c", page.width * 0.9, page.viewport_h * 0.94, fixed=True, element="bar-call")
        self._note("s", 0, top, min(55_000, self._now - began))
        return gone

    def _meet(self, target: Target, top: int) -> bool:
        page, rng = self._page, self._rng
        place = next((one for one in page.sections if one[0] == target.section), None)
        if place is None or page.device not in target.devices:
            return False
        y = place[1] + target.at * (place[2] - place[1])
        if not top <= y < top + page.viewport_h:
            return False
        x = page.width * target.across
        if rng.random() < target.rests and page.device == "desktop":
            self._note("m", rng.gauss(x, 30), rng.gauss(y, 20), rng.randint(600, 3_000))
        return rng.random() < target.clicks and self._press(target, x, y)

    def _press(self, target: Target, x: float, y: float) -> bool:
        rng = self._rng
        x, y, kind = rng.gauss(x, 16), rng.gauss(y, 9), rng.random()
        if kind < target.rage:
            for letter in ("c", "c", *("r" for _ in range(rng.randint(1, 4)))):
                self._note(letter, x, y, element=target.section)
                self._now += 220
            return False
        if kind < target.rage + target.dead:
            for _ in range(rng.choice((1, 1, 1, 2))):
                self._note("d", x, y, element=target.section)
                self._now += 2_000
            return False
        self._note("c", x, y, element=target.section)
        if rng.random() > OUTSIDE:
            return False
        if not self._converted and target.section in ("hero", "closing", "price"):
            self._converted = True
            self._note("v", 0, 0)
            self._note("g", 0, 0)
        return True


def habit_visits(model: Model, lp_id: str, seed: int, count: int, start_ms: int, span_ms: int) -> Iterator[Visit]:
    """Yield `count` visits to a model's page, at random within `span_ms` from `start_ms` (ms UTC)."""
    rng = random.Random(seed)
    pages = {
        (device, screen): page_on(model, lp_id, device, screen) for device in DEVICES for screen in SCREENS[device]
    }
    for _ in range(count):
        device = rng.choices(DEVICES, DEVICE_WEIGHTS)[0]
        page = pages[device, rng.choice(SCREENS[device])]
        yield HabitVisit(rng, page, start_ms + rng.randrange(max(1, span_ms)))
