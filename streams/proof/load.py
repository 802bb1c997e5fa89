"""Beacons in bulk for load and benchmarks: realistic content, cheap to generate.

A seeded model makes a pool of templates once. Each beacon is a template with a new pageview id.
"""

import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import msgspec

from schemas.heatmap import DEVICES
from streams.proof.visitors import DEVICE_WEIGHTS, Page, head_of, page_of

POOL = 2_000
KINDS, WEIGHTS = "msc", (0.62, 0.34, 0.04)
SPAN_MS = 5_000
LP_MARK, PAGEVIEW_MARK = "@lp@", "@pageview@"
COLUMNS = {"c": "clicks", "m": "moves", "s": "scrolls"}


@dataclass(frozen=True, slots=True)
class Template:
    """A beacon's JSON, cut at its page, its pageview and its time.

    `letters` counts its events by type, `counts` by column of heatmap_windows. `span_ms` is the time from its first
    event to its last.
    """

    lp_id: bytes
    t0: int
    parts: tuple[bytes, bytes, bytes, bytes]
    span_ms: int
    letters: "Counter[str]"
    counts: "Counter[str]"

    @classmethod
    def of(cls, beacon: dict[str, Any]) -> Self:
        """Return the template of a beacon."""
        body = msgspec.json.encode({**beacon, "lp_id": LP_MARK, "pageview_id": PAGEVIEW_MARK})
        head, middle, rest = re.split(f"{LP_MARK}|{PAGEVIEW_MARK}".encode(), body)
        tail, end = rest.split(b'"t0":%d' % beacon["t0"], 1)
        letters = Counter[str](beacon["type"])
        counts = Counter({name: letters[letter] for letter, name in COLUMNS.items()})
        counts.update(events=letters.total(), pageviews=int(beacon["seq"] == 0))
        parts = (head, middle, tail + b'"t0":', end)
        return cls(beacon["lp_id"].encode(), beacon["t0"], parts, beacon["dt"][-1], letters, counts)

    def body(self, pageview_id: bytes, t0: int, lp_id: bytes | None = None) -> bytes:
        """Return the beacon of a pageview that begins at `t0`, of another page if `lp_id` names one."""
        head, middle, tail, end = self.parts
        return b"%b%b%b%b%b%d%b" % (head, lp_id or self.lp_id, middle, pageview_id, tail, t0, end)


def beacons(
    size: int, count: int, *, lps: int = 200, seed: int = 1, now_ms: int, prefix: str = "lp_"
) -> Iterator[tuple[bytes, bytes]]:
    """Yield `count` pairs of (pageview_id, body), as `drawn` draws them."""
    for pageview_id, template in drawn(size, count, lps=lps, seed=seed, now_ms=now_ms, prefix=prefix):
        yield pageview_id, template.body(pageview_id, template.t0)


def drawn(
    size: int, count: int, *, lps: int = 200, seed: int = 1, now_ms: int, prefix: str = "lp_"
) -> Iterator[tuple[bytes, Template]]:
    """Yield `count` pairs of (pageview_id, template) of `size` events each; all end before `now_ms`.

    The beacons are spread over `lps` pages, whose ids begin with `prefix`.
    """
    rng = random.Random(seed)
    pages = [page_of(f"{prefix}{number:05d}", device) for number in range(lps) for device in DEVICES]
    pool = [Template.of(_beacon(rng, _page(rng, pages), size, now_ms)) for _ in range(min(POOL, count))]
    for _ in range(count):
        pageview_id = str(UUID(int=rng.getrandbits(128), version=4)).encode()
        yield pageview_id, pool[rng.randrange(len(pool))]


def _page(rng: random.Random, pages: list[Page]) -> Page:
    device = rng.choices(range(len(DEVICES)), DEVICE_WEIGHTS)[0]
    return pages[rng.randrange(len(pages) // len(DEVICES)) * len(DEVICES) + device]


def _beacon(rng: random.Random, page: Page, size: int, now_ms: int) -> dict[str, Any]:
    letters = "s" + "".join(rng.choices(KINDS, WEIGHTS, k=size - 1))
    top, x, y, dwell = 0, [], [], []
    for letter in letters:
        if letter == "s":
            top = min(page.height - page.viewport_h, top + rng.randrange(page.viewport_h // 2))
            x.append(0)
            y.append(top)
            dwell.append(rng.choice((0, rng.randrange(2_000))))
        elif letter == "c":
            spot = rng.choice(page.hot_spots)
            x.append(max(0, round(rng.gauss(spot.x, spot.spread))))
            y.append(max(0, round(rng.gauss(spot.y, spot.spread))))
            dwell.append(0)
        else:
            x.append(max(0, round(rng.gauss(page.width * 0.5, page.width * 0.16))))
            y.append(top + rng.randrange(page.viewport_h))
            dwell.append(rng.randrange(500, 2_500))
    dt = sorted(rng.randrange(SPAN_MS) for _ in letters)
    fixed = [at for at, letter in enumerate(letters) if letter == "c" and rng.random() < 0.1]
    return {
        **head_of(page, "", 0 if rng.random() < 0.3 else rng.randrange(1, 12)),
        "t0": now_ms - SPAN_MS - rng.randrange(SPAN_MS),
        "depth": 0,
        "type": letters,
        "dt": [0, *dt[1:]],
        "x": x,
        "y": y,
        "dwell": dwell,
        **({"fixed": fixed} if fixed else {}),
        "sections": [list(section) for section in page.sections],
        "rate": 1.0,
    }
