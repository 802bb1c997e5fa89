"""The fold against counts by hand and against the brute-force count."""

import random
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from beacons import example_beacon
from brute_force import COLUMNS, count, skewed
from harness import scaled
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from processors.heatmap import fold as fold_module
from processors.heatmap.decode import TABLES, Fold, decode
from processors.heatmap.rows import COUNTERS, ELEMENT_COUNTERS
from processors.heatmap.tallies import Sums
from schemas.errors import DecodeError
from schemas.heatmap import INT32_MAX, MAX_EARLIER_MS, MAX_SPAN_MS, Beacon, check_beacon, decode_beacon

NOW_MS = 1_795_451_375_000
DAY_MS = 24 * 3600 * 1000

Row = tuple[Any, ...]


def rows_of(fold: Fold) -> dict[str, list[Row]]:
    """Return the rows of each table as tuples, in the order in which they are inserted."""
    return {name: list(zip(*plain(table).values(), strict=True)) for name, table in fold.tables().items()}


def plain(table: pa.Table) -> dict[str, list[Any]]:
    """Return the columns of a table, with a column for each counter of `countersMap`."""
    columns = table.to_pydict()
    if "countersMap.name" in columns:
        pairs = zip(columns.pop("countersMap.name"), columns.pop("countersMap.value"), strict=True)
        counters = [dict(zip(names, values, strict=True)) for names, values in pairs]
        columns |= {
            name: [row.get(name, 0) for row in counters]
            for name in (COUNTERS if "pageviews" in columns else ELEMENT_COUNTERS)
        }
    return columns


def folded(records: list[tuple[bytes, int]], sizes: list[int] | None = None) -> tuple[Fold, int]:
    """Return a fold of the records in slices of these sizes, and how many clocks were corrected."""
    fold, corrected, start = Fold(), 0, 0
    for size in [*(sizes or []), len(records)]:
        part = records[start : start + size]
        decoded = decode([value for value, _ in part], [time for _, time in part])
        assert decoded.rejected == []
        fold.add(decoded.columns)
        corrected += decoded.skewed
        start += size
    return fold, corrected


def one(**changes: Any) -> dict[str, list[Row]]:
    """Return the rows of a single beacon."""
    return rows_of(folded([(msgspec.json.encode(example_beacon(**changes)), NOW_MS)])[0])


def test_the_contracts_example_gives_the_contracts_rows() -> None:
    rows = one(fixed=[1], sections=[["hero", 0, 820], ["price", 820, 1640]], rate=1.0, elements=["cta"])
    key = ("lp_8f3a", (NOW_MS - 1000) // 5000 * 5, "mobile")
    assert rows["heatmap_cells"] == [(*key, "click", 1, 39, 21, 1, 0), (*key, "move", 0, 14, 56, 1, 350)]
    assert rows["heatmap_scroll"] == [(*key, band, 1, 0) for band in range(9)]
    assert rows["heatmap_sections"] == [(*key, "hero", 0, 1, 0), (*key, "price", 0, 1, 0)]
    assert rows["heatmap_windows"] == [(*key, 1, 3, 1, 0, 0, 1, 1, 0, *[0] * 16)]
    assert rows["heatmap_views"] == [(*key, 384, 5200, 384, 832, 1)]
    assert rows["heatmap_elements"] == [(*key, "cta", 1, 0, 0, 0, 0, 0)]
    assert tuple(rows) == TABLES


def test_columns_are_named_and_typed_for_clickhouse() -> None:
    beacon = example_beacon(sections=[["hero", 0, 820]], elements=["cta"])
    tables = folded([(msgspec.json.encode(beacon), NOW_MS)])[0].tables()
    assert {name: " ".join(plain(table)) for name, table in tables.items()} == COLUMNS
    types = {field.name: str(field.type) for table in tables.values() for field in table.schema}
    words = {types[name].split(",")[0] for name in ("lp_id", "device", "kind", "section", "element")}
    assert words == {"dictionary<values=string"}
    assert types["window_start"] == types["page_w"] == types["viewport_h"] == "uint32"
    assert (types["fixed"], types["x"], types["y"], types["band"]) == ("uint8", "uint8", "uint16", "uint16")
    assert {types[name] for name in ("hits", "dwell_ms", "reached", "exposure_ms", "events")} == {"uint64"}


def test_bands_above_the_earlier_depth_are_not_reached_again() -> None:
    rows = one(type="sss", y=[0, 400, 100], dwell=[10, 20, 40], viewport_h=300, dt=[0, 1, 2], x=[0, 0, 0], depth=150)
    bands = {row[3]: row[4:] for row in rows["heatmap_scroll"]}
    # The views in px of y: 0..300, then 400..700, then 100..400.
    assert bands == {0: (0, 10), 1: (0, 50), 2: (1, 50), 3: (1, 40), 4: (1, 20), 5: (1, 20), 6: (1, 20)}


def test_a_view_below_the_page_counts_nothing() -> None:
    rows = one(type="ss", y=[5200, 0], dwell=[70, 5], dt=[0, 1], x=[0, 0], sections=[["hero", 0, 100]])
    assert [row[3:] for row in rows["heatmap_scroll"]] == [(band, 1, 5) for band in range(9)]
    assert [row[3:] for row in rows["heatmap_sections"]] == [("hero", 0, 1, 5)]


def test_areas_with_one_name_count_a_pageview_click_and_stay_once() -> None:
    twice = [["a", 0, 100], ["a", 50, 200], ["a", 300, 400]]
    rows = one(type="sc", y=[0, 60], dwell=[70, 0], dt=[0, 1], x=[0, 0], sections=twice, elements=["cta"])
    assert [row[3:] for row in rows["heatmap_sections"]] == [("a", 1, 1, 70)]


def test_the_browser_says_which_sections_are_new() -> None:
    rows = one(sections=[["hero", 0, 820], ["price", 820, 1640]], new_sections=["price", "gone", "price"])
    assert [row[3:] for row in rows["heatmap_sections"]] == [("gone", 0, 1, 0), ("hero", 1, 0, 0), ("price", 0, 1, 0)]


def test_clicks_count_by_the_element_that_they_hit() -> None:
    six = dict.fromkeys(("dt", "x", "y", "dwell"), [0] * 6)
    rows = one(type="scrdcm", fixed=[1], elements=["price", 0, "tel", 2], sections=[["tel", 0, 90]], **six)
    assert [row[3:] for row in rows["heatmap_elements"]] == [("price", 2, 1, 0, 0, 0, 0), ("tel", 2, 0, 1, 0, 0, 0)]


def test_beacons_without_elements_count_beside_others() -> None:
    bodies = [example_beacon(), example_beacon(elements=["a"], seq=1), example_beacon(type="sss", elements=[], seq=2)]
    rows = rows_of(folded([(msgspec.json.encode(body), NOW_MS) for body in bodies])[0])
    assert [row[3:] for row in rows["heatmap_elements"]] == [("a", 1, 0, 0, 0, 0, 0)]
    assert rows["heatmap_windows"][0][5] == 2


def test_all_kinds_of_goals_count_as_goals_and_conversions_as_events() -> None:
    goals = dict.fromkeys(("dt", "x", "y", "dwell"), [0] * 6)
    assert one(type="vgfeot", **goals)["heatmap_windows"][0][4:19] == (6, 0, 0, 0, 0, 0, 5, 1, 1, 1, 1, 1, 1, 0, 0)


def test_each_goal_counts_in_the_column_of_its_kind() -> None:
    three = dict.fromkeys(("dt", "x", "y", "dwell"), [0] * 3)
    goals = {letter: one(type=f"{letter}ss", **three)["heatmap_windows"][0][11:18] for letter in "fteogv"}
    assert goals == {letter: tuple(int(at == place) for at in range(7)) for place, letter in enumerate("fteogv")}


@pytest.mark.parametrize(
    ("rate", "each"), [(1, 0), (0.5, 1000), (0.1, 9000), (0.3, 2333), (0.001, 999_000), (1e-300, 999_000)]
)
def test_sampled_events_and_pageviews_count_what_was_left_out(rate: float, each: int) -> None:
    windows = one(rate=rate)["heatmap_windows"]
    assert [(row[3], row[4], row[17], row[18], row[19]) for row in windows] == [(1, 3, 4 * each, each, 3 * each)]
    assert one(rate=rate, seq=1)["heatmap_windows"][0][17] == 3 * each


def test_each_measure_has_what_sampling_left_out_of_it() -> None:
    numbers = dict.fromkeys(("dt", "x", "y", "dwell"), [0] * 6)
    full = example_beacon(type="crdmst", elements=["a", 0, "b"], **numbers)
    tenth = {**full, "rate": 0.1, "type": "ccsvtt", "elements": ["b", 0], "seq": 1}
    for records in ([full, tenth], [tenth, full]):
        rows = rows_of(folded([(msgspec.json.encode(body), NOW_MS) for body in records])[0])
        (window,) = [dict(zip(COLUMNS["heatmap_windows"].split(), row, strict=True)) for row in rows["heatmap_windows"]]
        left_out = {name: window[f"left_out_{name}"] // 9000 for name in COLUMNS["heatmap_windows"].split()[3:11]}
        assert {name: number for name, number in left_out.items() if number} == {
            "events": 6, "clicks": 2, "scrolls": 1, "goals": 2,
        }  # fmt: skip
        assert (window["left_out_conversions"], window["sampled_out"]) == (9000, 54000)
        assert [row[3:] for row in rows["heatmap_elements"]] == [("a", 2, 1, 0, 0, 0, 0), ("b", 3, 0, 1, 18000, 0, 0)]


def test_events_of_a_beacon_fall_into_their_own_windows() -> None:
    start = NOW_MS // 5000 * 5000
    rows = one(t0=start - 1, type="cc", dt=[0, 1], x=[0, 0], y=[0, 0], dwell=[0, 0])
    assert [(row[1], row[3], row[4]) for row in rows["heatmap_windows"]] == [
        (start // 1000 - 5, 1, 1),
        (start // 1000, 0, 1),
    ]


@pytest.mark.parametrize(
    ("ahead_ms", "corrected"), [(5 * 60_000, 0), (5 * 60_000 + 1, 1), (-DAY_MS, 0), (-DAY_MS - 1, 1)]
)
def test_clock_skew_is_corrected_beyond_the_limits_only(ahead_ms: int, corrected: int) -> None:
    value = msgspec.json.encode(example_beacon(t0=NOW_MS + ahead_ms - 480))
    fold, found = folded([(value, NOW_MS)])
    assert found == corrected
    last = NOW_MS if corrected else NOW_MS + ahead_ms
    assert rows_of(fold)["heatmap_windows"][-1][1] == last // 5000 * 5


def test_events_before_1970_count_in_the_first_window() -> None:
    rows = rows_of(folded([(msgspec.json.encode(example_beacon(dt=[0, 0, MAX_SPAN_MS])), 1_000)])[0])
    assert [row[1] for row in rows["heatmap_windows"]] == [0]


def test_an_empty_fold_has_no_tables() -> None:
    fold = Fold()
    fold.add(decode([b"", b""], [NOW_MS, NOW_MS]).columns)
    assert (fold.tables(), fold.events, fold.beacons) == ({}, 0, 0)


def test_only_selected_beacons_are_counted() -> None:
    values = [msgspec.json.encode(example_beacon(seq=seq, sections=[[f"s{seq}", 0, 90]])) for seq in range(5)]
    keep = np.array([True, False, False, True, True])
    fold = Fold()
    fold.add(decode(values, [NOW_MS] * 5).columns.select(keep))
    expected = [(decode_beacon(values[index]), NOW_MS) for index in (0, 3, 4)]
    assert rows_of(fold) == count(expected)
    assert (fold.beacons, fold.events) == (3, 9)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.integers(0, 9),
                st.integers(0, 2**31),
                st.integers(0, 9).map(lambda n: n << 40 | n % 3),
                st.integers(2**62, 2**63 - 1),
            ),
            st.integers(-(2**40), 2**40),
        ),
        max_size=40,
    )
)
def test_sums_are_right_for_keys_of_any_width(pairs: list[tuple[int, int]]) -> None:
    keys, values = (np.array(column, dtype=np.int64) for column in (list(zip(*pairs, strict=True)) or [(), ()]))
    sums = Sums(keys, values.reshape(1, -1)).summed()
    expected: dict[int, int] = {}
    for key, value in pairs:
        expected[key] = expected.get(key, 0) + value
    assert list(zip(sums.keys.tolist(), sums.values[0].tolist(), strict=True)) == sorted(expected.items())


def _near(*edges: int) -> st.SearchStrategy[int]:
    return st.one_of(*[st.integers(edge - 2, edge + 2) for edge in edges])


def _pixels() -> st.SearchStrategy[int]:
    return st.one_of(
        st.integers(0, 6000), st.integers(0, 60).map(lambda n: n * 100), _near(0, 65_535, 16, -(2**50), 2**50)
    )


def _sizes(*edges: int) -> st.SearchStrategy[int]:
    return st.one_of(st.integers(1, 2000), _near(*edges).map(lambda n: min(max(1, n), INT32_MAX)))


@st.composite
def _beacons(draw: st.DrawFn) -> Beacon:
    events = draw(st.integers(1, 12))

    def each(values: st.SearchStrategy[int]) -> list[int]:
        return draw(st.lists(values, min_size=events, max_size=events))

    skew = st.sampled_from([0, 0, 0, 300_000, -DAY_MS, 400_000, -2 * DAY_MS, -NOW_MS])
    names = st.sampled_from(["hero", "price", "料金", 'a"b\\', "[x]"])
    letters = "".join(draw(st.lists(st.sampled_from("crdmssgfeotv"), min_size=events, max_size=events)))
    hits: list[str | int] = []
    for _ in range(sum(map(letters.count, "crd"))):
        hits.append(draw(st.integers(0, len(hits) - 1) | names if hits else names))
    return Beacon(
        schema=1,
        lp_id=draw(st.sampled_from(["lp_b", "lp_a", "Z", "_"])),
        pageview_id="0b7f9e58-3f0e-4c55-9a53-6a1c80a8f0d7",
        seq=draw(st.sampled_from([0, 0, 1, INT32_MAX])),
        device=draw(st.sampled_from(["mobile", "tablet", "desktop"])),
        viewport_w=draw(_sizes(16, INT32_MAX)),
        viewport_h=draw(_sizes(16, 100, 65_536, INT32_MAX)),
        page_w=draw(_sizes(128, INT32_MAX)),
        page_h=draw(_sizes(16, 100, 65_536, 70_000, INT32_MAX)),
        t0=max(0, NOW_MS + draw(st.integers(-6, 6)) * 2_499 + draw(skew)),
        depth=draw(st.one_of(st.just(0), st.integers(0, 3000), st.sampled_from([65_536, INT32_MAX]))),
        type=letters,
        dt=each(st.one_of(st.integers(0, 12_000), st.sampled_from([0, 5000, MAX_SPAN_MS]))),
        x=each(_pixels()),
        y=each(_pixels()),
        dwell=each(st.one_of(st.integers(0, 3), st.just(MAX_EARLIER_MS))),
        fixed=draw(st.lists(st.integers(0, events - 1), max_size=4, unique=True)),
        sections=draw(st.lists(st.tuples(names, _pixels(), _pixels()), max_size=5)),
        new_sections=draw(st.just(UNSET) | st.lists(names, max_size=4)),
        rate=draw(st.sampled_from([1.0, 0.5])),
        elements=draw(st.sampled_from([UNSET, hits])),
    )


def _is_allowed(beacon: Beacon) -> bool:
    try:
        return check_beacon(beacon) is beacon
    except DecodeError:
        return False


_allowed = _beacons().filter(_is_allowed)
_records = st.lists(st.tuples(_allowed, st.integers(-3_000, 3_000).map(lambda n: NOW_MS + n)), max_size=25)


@settings(
    max_examples=int(scaled(40, 300)),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(_records, st.lists(st.integers(0, 6), max_size=8), st.randoms(use_true_random=False))
def test_tables_equal_the_brute_force_count(
    records: list[tuple[Beacon, int]], sizes: list[int], shuffler: random.Random
) -> None:
    values = [(msgspec.json.encode(beacon), time) for beacon, time in records]
    shuffler.shuffle(values)
    fold, corrected = folded(values, sizes)
    assert rows_of(fold) == count(records)
    assert corrected == sum(skewed(beacon, time) for beacon, time in records)
    assert fold.events == sum(len(beacon.type) for beacon, _ in records)


@settings(max_examples=int(scaled(20, 60)), deadline=None, suppress_health_check=list(HealthCheck))
@given(_records, st.lists(st.integers(0, 6), max_size=8))
def test_chunks_and_merges_change_nothing(records: list[tuple[Beacon, int]], sizes: list[int]) -> None:
    values = [(msgspec.json.encode(beacon), time) for beacon, time in records]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fold_module, "CHUNK_WEIGHT", 13)
        patch.setattr(fold_module, "MERGE_ROWS", 20)
        patch.setattr(fold_module, "PAIRED_EVENTS", 3)
        fold, _ = folded(values, sizes)
        tables = fold.tables()
    assert {name: table.to_pylist() for name, table in tables.items()} == {
        name: table.to_pylist() for name, table in folded(values)[0].tables().items()
    }
    assert rows_of(fold) == count(records)
    for table in tables.values():
        assert table.num_rows
