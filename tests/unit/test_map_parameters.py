"""Heatmap parameters, entity tags, and the figures beside a map."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from aiohttp.test_utils import make_mocked_request

from processors.pictures.maps import Cells
from processors.pictures.summary import Reach, Spot, reach_of, spots_of
from streams.edge.http import revalidation
from streams.edge.http.errors import HttpError
from streams.edge.site.maps import query_of
from streams.edge.studio.maps import preset
from streams.pictures.maps import MapQuery, key_of

NOON = "2026-11-20T12:00:00Z"
GOOD: dict[str, str] = {"kind": "click", "device": "mobile", "from": NOON, "to": "2026-11-21T12:00:00Z"}


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kind": "nope"}, "kind"),
        ({"kind": "Click"}, "kind"),
        ({"device": "watch"}, "device"),
        ({"lang": "fr"}, "lang"),
        ({"from": "yesterday"}, "from"),
        ({"to": "99999999999999999999"}, "to"),
        ({"to": "2026-13-01"}, "to"),
        ({"from": "1969-01-01T00:00:00Z"}, "from"),
        ({"from": "2150-01-01T00:00:00Z"}, "from"),
        ({"from": GOOD["to"], "to": GOOD["from"]}, "from"),
        ({"from": GOOD["to"]}, "from"),
        ({"from": "2024-01-01T00:00:00Z"}, "from"),
        ({"top": "0"}, "top"),
        ({"top": "nan"}, "top"),
        ({"top": "1e400"}, "top"),
        ({"top": "1e-320"}, "top"),
        ({"top": "many"}, "top"),
    ],
)
def test_an_invalid_parameter_is_named(given: dict[str, str], named: str) -> None:
    with pytest.raises(HttpError) as caught:
        query_of("lp", GOOD | given)
    assert caught.value.status == 422 and caught.value.message.startswith(f"{named}: ")


@pytest.mark.parametrize(
    "text",
    [NOON, "2026-11-20T21:00:00+09:00", "2026-11-20T21:00:00 09:00", "1795176000000", "2026-11-20T12:00:00.900Z"],
)
def test_spellings_of_a_time_give_the_same_moment(text: str) -> None:
    assert query_of("lp", GOOD | {"from": text}).start == datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-11-20T21:00:00", "2026-11-20T21:00", "2026-11-20T12:00:00Z", "1795176000000"])
def test_a_time_without_a_zone_is_of_the_configured_zone(text: str) -> None:
    query = query_of("lp", {"from": text, "to": "2026-11-21"}, ZoneInfo("Asia/Tokyo"))
    assert (query.start, query.end) == (datetime(2026, 11, 20, 12, tzinfo=UTC), datetime(2026, 11, 20, 15, tzinfo=UTC))


def test_the_default_range_is_the_last_day() -> None:
    assert query_of("lp", {}) == MapQuery("lp")
    only_to = query_of("lp", {"to": NOON})
    assert only_to.start == datetime(2026, 11, 19, 12, tzinfo=UTC)


def test_the_cache_key_contains_every_parameter() -> None:
    base = query_of("lp", GOOD)
    changed: list[dict[str, str]] = [
        {"kind": "scroll"}, {"device": "desktop"}, {"device": ""}, {"from": "2026-11-20T12:00:01Z"},
        {"to": "2026-11-21T12:00:01Z"}, {"lang": "ja"}, {"top": "4"}, {"top": "4.5"},
    ]  # fmt: skip
    keys = {key_of(base, "png", "Asia/Tokyo"), key_of(base, "json", "Asia/Tokyo"), key_of(base, "png", "UTC")}
    keys |= {key_of(query_of("lp", GOOD | one), "png", "Asia/Tokyo") for one in changed}
    keys.add(key_of(query_of("lq", GOOD), "png", "Asia/Tokyo"))
    assert len(keys) == 4 + len(changed)
    assert key_of(query_of("lp", dict(GOOD)), "png", "Asia/Tokyo") == key_of(base, "png", "Asia/Tokyo")


@pytest.mark.parametrize(
    ("header", "same"),
    [('"a"', True), ('W/"a"', True), ('"b", "a"', True), ("*", True), ('"b"', False), ("", False), ("a", False)],
)
def test_entity_tags_are_compared_by_http_rules(header: str, same: bool) -> None:
    request = make_mocked_request("GET", "/", headers={"If-None-Match": header})
    assert revalidation.client_has(request, '"a"') is same


@pytest.mark.parametrize("name", ["1h", "24h", "7d", "30d"])
def test_a_preset_range_is_rounded_and_contains_now(name: str) -> None:
    now = datetime(2026, 11, 24, 16, 4, 59, tzinfo=UTC)
    found = preset(name, now)
    assert found.start < now < found.end and found == preset(name, now - timedelta(seconds=200))
    assert found.before().end == found.start


def cells(*places: tuple[int, int, int, int]) -> Cells:
    columns: Any = (np.array(one, dtype=np.int64) for one in zip(*places, strict=True))
    return Cells(*columns)


def test_the_hottest_places_are_listed_once() -> None:
    # One button over two cells, one far away, and one in the fixed layer.
    found = spots_of(cells((63, 100, 0, 30), (65, 101, 0, 30), (10, 300, 0, 25), (64, 100, 1, 15)))
    assert found == [Spot(50, 1_616, False, 0.6), Spot(8, 4_808, False, 0.25), Spot(50, 1_608, True, 0.15)]
    assert spots_of(Cells(*(np.zeros(0, dtype=np.int64) for _ in range(4)))) == []


def test_reach_gives_the_depth_of_75_50_and_25_percent() -> None:
    bands = np.arange(4)
    assert reach_of(bands, np.array([100, 80, 50, 20]), 100) == [Reach(75, 100), Reach(50, 200), Reach(25, 200)]
    assert reach_of(bands[:0], bands[:0], 0) == [Reach(75, None), Reach(50, None), Reach(25, None)]
