"""Planted faults are named by findings, sound pages are silent.

`lpstream bench --only findings` counts more pages.
"""

import msgspec
import pytest
from harness import full_only

from schemas.heatmap import decode_beacon
from streams.proof.bench.findings import judged, shown
from streams.proof.planted import habit_visits, planted, sound, sound_pages

QUICK = ("dead hero button", "call below the fold", "section that drives away", "slow control")


def test_visits_of_a_model_make_valid_beacons() -> None:
    visits = list(habit_visits(sound(1), "page", 1, 100, 1_795_392_000_000, 60_000))
    beacons = [decode_beacon(msgspec.json.encode(beacon)) for visit in visits for beacon in visit.beacons()]
    assert len({beacon.pageview_id for beacon in beacons}) == 100
    assert len({beacon.viewport_w for beacon in beacons}) > 5, "screens differ"


@pytest.mark.parametrize("name", QUICK)
def test_a_planted_fault_is_named_after_500_visits(name: str) -> None:
    page = next(page for page in planted(2) if page.name == name)
    assert judged(page, 500, 1).right


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_sound_page_is_silent_after_500_visits(at: int) -> None:
    assert judged(sound_pages(2)[at], 500, at).other == []


@full_only
def test_all_planted_faults_are_named_after_5000_visits() -> None:
    verdicts = [judged(page, 5_000, at) for at, page in enumerate(planted(1))]
    assert [shown(verdict) for verdict in verdicts if not verdict.right] == []


@full_only
def test_all_sound_pages_are_silent_after_5000_visits() -> None:
    verdicts = [judged(page, 5_000, at) for at, page in enumerate(sound_pages(1))]
    assert [shown(verdict) for verdict in verdicts if verdict.other] == []
