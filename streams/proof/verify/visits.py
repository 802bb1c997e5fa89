"""Visits of the visitor model as byte templates, which a load driver can fill and send quickly.

A visitor of the model stays on the page after the last scroll. The snippet then reports every 5 s how long the
viewport has been there.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from streams.proof.visitors import DEVICE_WEIGHTS, DEVICES, Visit, page_of

LP = "@lp@"
SHORTEST, LONGEST = 6, 18  # beacons per visit: 30 to 90 s
EVERY_MS = 5_000


@dataclass(frozen=True, slots=True)
class Cut:
    """The template of a beacon, without page, pageview and time.

    `letters` counts its events by type; `span_ms` is the time from its first event to its last.
    """

    head: bytes
    middle: bytes
    tail: bytes
    end: bytes
    span_ms: int
    letters: "Counter[str]"

    def body(self, lp_id: bytes, pageview_id: bytes, now_ms: int) -> bytes:
        """Return a beacon of the page and pageview; its last event is at `now_ms`."""
        return b"%b%b%b%b%b%d%b" % (
            self.head, lp_id, self.middle, pageview_id, self.tail, now_ms - self.span_ms, self.end,
        )  # fmt: skip


def pool(seed: int, count: int) -> list[list[Cut]]:
    """Return `count` visits, each as a list of its beacons in order."""
    rng = random.Random(seed)
    return [[_cut(beacon) for beacon in _visit(rng)] for _ in range(count)]


def _visit(rng: random.Random) -> Iterator[dict[str, Any]]:
    device = rng.choices(DEVICES, DEVICE_WEIGHTS)[0]
    length = rng.randint(SHORTEST, LONGEST)
    beacons = list(Visit(rng, page_of(LP, device), 0).beacons())[:length]
    yield from beacons
    yield from _reading_on(beacons, length - len(beacons))


def _reading_on(beacons: Sequence[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    last = beacons[-1]
    tops = [y for beacon in beacons for kind, y in zip(beacon["type"], beacon["y"], strict=True) if kind == "s"]
    depth = min(last["page_h"], max(tops) + last["viewport_h"])
    alone = {"type": "s", "dt": [0], "x": [0], "y": [tops[-1]], "dwell": [EVERY_MS], "fixed": []}
    for number in range(1, count + 1):
        yield last | alone | {"seq": last["seq"] + number, "depth": depth}


def _cut(beacon: dict[str, Any]) -> Cut:
    body = msgspec.json.encode(beacon)
    head, rest = body.split(LP.encode(), 1)
    middle, rest = rest.split(beacon["pageview_id"].encode(), 1)
    tail, end = rest.split(b'"t0":', 1)
    end = end[len(str(beacon["t0"])) :]
    return Cut(head, middle, tail + b'"t0":', end, beacon["dt"][-1], Counter(beacon["type"]))
