"""Visits as bytes that a load driver can send at once: the visitor model's beacons, cut where they differ.

A visitor of the model who has come to the end of reading stays a while, as people do: the snippet then tells every 5 s
how long the viewport stood where it is.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from streams.proof.visitors import DEVICE_WEIGHTS, DEVICES, Visit, page_of

LP = "@lp@"
SHORTEST, LONGEST = 6, 18  # beacons of a visit: half a minute to a minute and a half
EVERY_MS = 5_000


@dataclass(frozen=True, slots=True)
class Cut:
    """A beacon without its page, pageview and time. `letters` are its events by type, `span_ms` how long they took."""

    head: bytes
    middle: bytes
    tail: bytes
    end: bytes
    span_ms: int
    letters: "Counter[str]"

    def body(self, lp_id: bytes, pageview_id: bytes, now_ms: int) -> bytes:
        """The beacon of that pageview whose last event is now."""
        return b"%b%b%b%b%b%d%b" % (
            self.head, lp_id, self.middle, pageview_id, self.tail, now_ms - self.span_ms, self.end,
        )  # fmt: skip


def pool(seed: int, count: int) -> list[list[Cut]]:
    """So many visits, each as its beacons in order."""
    rng = random.Random(seed)
    return [[_cut(one) for one in _visit(rng)] for _ in range(count)]


def _visit(rng: random.Random) -> Iterator[dict[str, Any]]:
    device = rng.choices(DEVICES, DEVICE_WEIGHTS)[0]
    length = rng.randint(SHORTEST, LONGEST)
    told = list(Visit(rng, page_of(LP, device), 0).beacons())[:length]
    yield from told
    yield from _reading_on(told, length - len(told))


def _reading_on(told: Sequence[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    last = told[-1]
    seen = [y for one in told for kind, y in zip(one["type"], one["y"], strict=True) if kind == "s"]
    depth = min(last["page_h"], max(seen) + last["viewport_h"])
    alone = {"type": "s", "dt": [0], "x": [0], "y": [seen[-1]], "dwell": [EVERY_MS], "fixed": []}
    for number in range(1, count + 1):
        yield last | alone | {"seq": last["seq"] + number, "depth": depth}


def _cut(beacon: dict[str, Any]) -> Cut:
    body = msgspec.json.encode(beacon)
    head, rest = body.split(LP.encode(), 1)
    middle, rest = rest.split(beacon["pageview_id"].encode(), 1)
    tail, end = rest.split(b'"t0":', 1)
    end = end[len(str(beacon["t0"])) :]
    return Cut(head, middle, tail + b'"t0":', end, beacon["dt"][-1], Counter(beacon["type"]))
