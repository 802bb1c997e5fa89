"""Limits of the work that one beacon can cause; edge and worker apply the same limits."""

from typing import Any

import msgspec
import pytest
from beacons import example_beacon
from hypothesis import given, settings
from hypothesis import strategies as st
from test_heatmap_fold import NOW_MS

from processors.heatmap.decode import decode
from processors.heatmap.fold import WORD_BYTES, Fold
from schemas.errors import DecodeError
from schemas.heatmap import MAX_ROWS, MAX_SPAN_MS, MAX_WINDOWS, decode_beacon

PLAIN = example_beacon(seq=7, fixed=[1])


COLUMNS = ("x", "y", "dwell")


def scrolling(events: int, every_ms: int, page_h: int, viewport_h: int = 844) -> dict[str, Any]:
    return PLAIN | {
        "type": "s" * events,
        "dt": [every_ms * at for at in range(events)],
        "fixed": [],
        **{name: [0] * events for name in COLUMNS},
        "page_h": page_h,
        "viewport_h": viewport_h,
    }


TOO_MUCH = {
    "days": ("dt", PLAIN | {"dt": [0, 120, 24 * 86_400_000 % 2**31]}),
    "over the span": ("dt", PLAIN | {"dt": [0, 0, MAX_SPAN_MS + 1]}),
    "a dwell of weeks": ("dwell", PLAIN | {"dwell": [0, 0, 2**31 - 1]}),
    "a dwell longer than a minute and the span": ("dwell", PLAIN | {"dwell": [0, 0, 60_481]}),
    "an event fixed twice": ("fixed", PLAIN | {"fixed": [1, 1]}),
    "an event fixed that is not there": ("fixed", PLAIN | {"fixed": [3]}),
    "many fixed": ("fixed", PLAIN | {"fixed": [1] * 5_000}),
    "the bomb": ("dt", scrolling(500, 5_000, 65_536, 65_536)),
    "half a minute of the tallest page": ("dt", scrolling(6, 5_000, 65_536)),
    "a page beyond all": ("dt", scrolling(6, 5_000, 2**31 - 1)),
    "more than a minute of a usual page": ("dt", scrolling(13, 5_000, 6_000)),
    "windows that do not follow each other": (
        "dt",
        PLAIN
        | {"type": "c" * 9, "dt": [10_000 * at for at in range(9)], "fixed": []}
        | dict.fromkeys(COLUMNS, [0] * 9),
    ),
    "a name without a click": ("elements", PLAIN | {"elements": ["a", "b"]}),
    "a name for a scroll": ("elements", PLAIN | {"type": "ssm", "elements": ["a"]}),
    "a later click's name": ("elements", PLAIN | {"type": "ccm", "elements": [1, "a"]}),
    "more elements than rows": (
        "dt",
        scrolling(490, 50, 65_536) | {"type": "s" + "c" * 489, "elements": [f"e{at}" for at in range(489)]},
    ),
    "clicks for more than a minute": ("dt", scrolling(13, 5_000, 6_000) | {"type": "c" * 13}),
}
HONEST = {
    "plain": PLAIN,
    "a minute on a usual page": scrolling(12, 5_000, 6_000) | {"sections": [["hero", 0, 900]] * 30},
    "a flush of the tallest page": scrolling(100, 52, 65_536),
    "a page that was asleep for four minutes": PLAIN | {"dt": [0, 1, 240_000], "dwell": [0, 0, 60_000]},
    "a stall on the tallest page": scrolling(2, 240_000, 65_536),
    "as many elements as clicks": scrolling(500, 52, 6_000) | {"type": "c" * 500, "elements": ["x" * 64, *[0] * 499]},
    "a rest of a minute": PLAIN | {"dwell": [0, 0, 60_480]},
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_a_beacon_over_a_limit_is_refused_with_its_field(name: str) -> None:
    field, beacon = TOO_MUCH[name]
    body = msgspec.json.encode(beacon)
    with pytest.raises(DecodeError) as refused:
        decode_beacon(body)
    assert refused.value.field == field
    rejected = decode([body], [NOW_MS]).rejected
    assert [(one.field, one.detail) for one in rejected] == [(field, refused.value.detail)]


@pytest.mark.parametrize("name", HONEST)
def test_beacons_that_browsers_send_are_accepted(name: str) -> None:
    body = msgspec.json.encode(HONEST[name])
    decode_beacon(body)
    decoded = decode([body, msgspec.json.encode(PLAIN)], [NOW_MS, NOW_MS])
    assert decoded.rejected == []
    assert decoded.columns.beacons == 2


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 300_000), min_size=1, max_size=8), st.integers(0, 4_999), st.sampled_from([6_000, 65_536])
)
def test_a_beacon_never_makes_more_rows_than_the_limit(times: list[int], phase: int, page_h: int) -> None:
    count = len(times)
    beacon = scrolling(count, 0, page_h, 65_536) | {"dt": times, "dwell": [1] * count, "t0": NOW_MS - 400_000 + phase}
    beacon |= {"type": "sc" * (count // 2) + "c" * (count % 2)}
    beacon |= {"elements": [f"e{at}" for at in range(count - count // 2)]}
    body = msgspec.json.encode(beacon | {"sections": [["a", 0, 65_536], ["b", 0, 65_536]]})
    try:
        decode_beacon(body)
    except DecodeError:
        return
    fold = Fold()
    fold.add(decode([body], [NOW_MS]).columns)
    tables = fold.tables()
    assert tables["heatmap_windows"].num_rows <= MAX_WINDOWS
    names = ("heatmap_scroll", "heatmap_sections", "heatmap_elements")
    assert sum(tables[name].num_rows for name in names if name in tables) <= MAX_ROWS


def test_parts_contain_the_tables_rows_in_order() -> None:
    """A retried part must equal the first: parts depend on the rows only."""
    bodies = [
        msgspec.json.encode(scrolling(5, 4_000, 6_000) | {"lp_id": f"lp_{n}", "dwell": [1] * 5}) for n in range(9)
    ]

    def folded(step: int) -> Fold:
        fold = Fold()
        for at in range(0, len(bodies), step):
            fold.add(decode(bodies[at : at + step], [NOW_MS] * len(bodies[at : at + step])).columns)
        return fold

    whole = folded(9).tables()
    for most in (1, 7, 100):
        parts = list(folded(9).parts(most))
        again = list(folded(2).parts(most))
        assert [(one.table, one.number, one.rows.to_pylist()) for one in parts] == [
            (one.table, one.number, one.rows.to_pylist()) for one in again
        ]
        for table, rows in whole.items():
            mine = [one for one in parts if one.table == table]
            assert [one.number for one in mine] == list(range(len(mine)))
            assert [row for one in mine for row in one.rows.to_pylist()] == rows.to_pylist()
            assert max(one.rows.num_rows for one in mine) <= most + 656
    assert len(list(folded(9).parts(100))) > len(whole)


@pytest.mark.parametrize("column", ["dt", "x", "y", "dwell"])
def test_a_number_equal_to_the_separator_harms_no_neighbour(column: str) -> None:
    """The decoder joins the arrays of a slice with the smallest int64 between them."""
    one, two = PLAIN | {"type": "c", "fixed": []}, PLAIN | {"type": "cc", "fixed": []}
    one |= {name: [1] for name in ("dt", *COLUMNS)} | {column: [1, -(2**63)]}
    two |= {name: [1, 2] for name in ("dt", *COLUMNS)} | {column: [5]}
    bodies = [msgspec.json.encode(beacon) for beacon in (one, two, PLAIN)]
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        decoded = decode([bodies[at] for at in order], [NOW_MS] * 3)
        assert len(decoded.rejected) == 2
        assert decoded.columns.beacons == 1


def test_the_folds_memory_is_a_running_sum() -> None:
    """The delivery reads the size before each slice, so the fold keeps a running sum."""
    fold, body = Fold(), msgspec.json.encode(PLAIN | {"sections": [["hero", 0, 900]]})
    sizes = []
    for _ in range(3):
        columns = decode([body], [NOW_MS]).columns
        sizes.append(columns.size)
        fold.add(columns)
    # Two words: one page id, and one section of one layout.
    assert fold.held == sum(sizes) + 2 * WORD_BYTES
    assert len(list(fold.parts(100))) == 4
    assert 0 < fold.held < 5_000
