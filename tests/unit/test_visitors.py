"""The visitor model: valid beacons, reproducible by seed, split as a browser splits them."""

import random
from collections import defaultdict
from dataclasses import replace
from itertools import chain

import msgspec

from schemas.heatmap import decode_beacon
from streams.proof.loop_visits import ShortVisit
from streams.proof.visitors import BEACON_MS, MOST_EVENTS, Page, Visit, page_of, tally, visits


def some(seed: int = 3, count: int = 200) -> list[dict]:
    return list(
        chain.from_iterable(visit.beacons() for visit in visits(seed, ["a", "b"], count, 1_795_000_000_000, 60_000))
    )


def test_the_same_seed_gives_the_same_visits() -> None:
    assert some(3) == some(3) != some(4)


def test_beacons_are_valid_and_numbered_from_zero() -> None:
    views = defaultdict(list)
    for beacon in some():
        checked = decode_beacon(msgspec.json.encode(beacon))
        assert len(checked.type) <= MOST_EVENTS
        views[checked.pageview_id].append(checked)
    assert len(views) == 200
    for beacons in views.values():
        assert [beacon.seq for beacon in beacons] == list(range(len(beacons)))
        assert beacons[0].type[0] == "s" and beacons[0].depth == 0
        depths = [beacon.depth for beacon in beacons]
        assert depths == sorted(depths)
        assert all(beacon.dt == sorted(beacon.dt) and max(beacon.dt) <= BEACON_MS * 2 for beacon in beacons)


def test_clicks_concentrate_at_the_hot_spots() -> None:
    page = page_of("a", "mobile")
    near = total = 0
    for beacon in some(5, 1_000):
        if beacon["device"] != "mobile":
            continue
        for at, kind in enumerate(beacon["type"]):
            if kind == "c" and at not in beacon.get("fixed", []):
                total += 1
                near += any(
                    abs(beacon["x"][at] - spot.x) + abs(beacon["y"][at] - spot.y) < 120 for spot in page.hot_spots
                )
    assert total > 100 and near / total > 0.5


def test_the_tally_counts_every_event_once() -> None:
    beacons = some()
    assert tally(beacons).total() == sum(len(beacon["type"]) for beacon in beacons)


def test_visitors_leave_at_a_section_that_drives_them_away() -> None:
    def depth(page: Page) -> float:
        rng = random.Random(4)
        visits = [list(Visit(rng, page, 0).beacons()) for _ in range(200)]
        return sum(max(max(beacon["y"]) for beacon in beacons) for beacons in visits) / len(visits)

    page = page_of("a", "mobile")
    assert depth(replace(page, leave={"problems": 0.6})) < 0.8 * depth(page)


def test_a_visitor_of_an_experiment_reaches_a_goal_by_a_click_or_none() -> None:
    page, rng = page_of("a", "mobile"), random.Random(4)
    for goal in (True, False):
        [beacon] = [decode_beacon(msgspec.json.encode(each)) for each in ShortVisit(rng, page, 1, goal=goal).beacons()]
        assert beacon.type.endswith("cvg") is goal is ("g" in beacon.type)
