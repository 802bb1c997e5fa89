"""Beacons in bulk, all of the same size, for benchmarks: realistic content, cheap to generate.

A seeded model makes a pool of bodies once. Each beacon is a body of the pool with a new pageview id.
"""

import random
from collections.abc import Iterator
from uuid import UUID

import msgspec

from streams.proof.visitors import DEVICE_WEIGHTS, DEVICES, Page, page_of

POOL = 2_000
KINDS, WEIGHTS = "msc", (0.62, 0.34, 0.04)
SPAN_MS = 5_000
PLACE = "00000000-0000-4000-8000-000000000000"


def beacons(
    size: int, count: int, *, lps: int = 200, seed: int = 1, now_ms: int, prefix: str = "lp_"
) -> Iterator[tuple[bytes, bytes]]:
    """Yield `count` pairs of (pageview_id, body) of `size` events each; all end before `now_ms`.

    The beacons are spread over `lps` pages, whose ids begin with `prefix`.
    """
    rng = random.Random(seed)
    pages = [page_of(f"{prefix}{number:05d}", device) for number in range(lps) for device in DEVICES]
    pool = [_body(rng, _page(rng, pages), size, now_ms).split(PLACE.encode()) for _ in range(min(POOL, count))]
    for _ in range(count):
        pageview_id = str(UUID(int=rng.getrandbits(128), version=4)).encode()
        head, tail = pool[rng.randrange(len(pool))]
        yield pageview_id, head + pageview_id + tail


def _page(rng: random.Random, pages: list[Page]) -> Page:
    device = rng.choices(range(len(DEVICES)), DEVICE_WEIGHTS)[0]
    return pages[rng.randrange(len(pages) // len(DEVICES)) * len(DEVICES) + device]


def _body(rng: random.Random, page: Page, size: int, now_ms: int) -> bytes:
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
    beacon = {
        "schema": 1,
        "lp_id": page.lp_id,
        "pageview_id": PLACE,
        "seq": 0 if rng.random() < 0.3 else rng.randrange(1, 12),
        "device": page.device,
        "viewport_w": page.width,
        "viewport_h": page.viewport_h,
        "page_w": page.width,
        "page_h": page.height,
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
    return msgspec.json.encode(beacon)
