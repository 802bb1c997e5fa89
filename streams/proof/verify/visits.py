"""Visits as byte templates. A load driver fills a template faster than it encodes a beacon.

A visitor of the model stays on the page after the last scroll. The snippet then reports every 5 s how long the
viewport has been there.
"""

import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from schemas.heatmap import DEVICES
from streams.proof.load import Template
from streams.proof.visitors import DEVICE_WEIGHTS, Visit, page_of

SHORTEST, LONGEST = 6, 18  # beacons per visit: 30 to 90 s
EVERY_MS = 5_000


class Request(NamedTuple):
    """A visitor's request: a GET of a page, or a POST of a beacon."""

    kind: str
    path: str
    body: bytes = b""


Step = Request | float
"""The next action of a visitor: a request, or seconds to wait."""


def pool(seed: int, count: int) -> list[list[Template]]:
    """Return `count` visits, each as a list of its beacons in order."""
    rng = random.Random(seed)
    return [[Template.of(beacon) for beacon in _visit(rng)] for _ in range(count)]


def _visit(rng: random.Random) -> Iterator[dict[str, Any]]:
    device = rng.choices(DEVICES, DEVICE_WEIGHTS)[0]
    length = rng.randint(SHORTEST, LONGEST)
    beacons = list(Visit(rng, page_of("", device), 0).beacons())[:length]
    yield from beacons
    yield from _reading_on(beacons, length - len(beacons))


def _reading_on(beacons: Sequence[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    last = {name: value for name, value in beacons[-1].items() if name != "elements"}
    tops = [y for beacon in beacons for kind, y in zip(beacon["type"], beacon["y"], strict=True) if kind == "s"]
    depth = min(last["page_h"], max(tops) + last["viewport_h"])
    alone = {"type": "s", "dt": [0], "x": [0], "y": [tops[-1]], "dwell": [EVERY_MS], "fixed": []}
    for number in range(1, count + 1):
        yield last | alone | {"seq": last["seq"] + number, "depth": depth}
