"""Heatmap pictures.

Heat at the right places on every width, the fold line, the scale, and bounded sizes.
"""

import io
import itertools
import random
from functools import cache
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from processors.pictures.heat import (
    CELL_COLUMNS,
    CELL_H,
    STEP_PX,
    colours,
    field_of,
    levels_of,
    likely_width,
    spread_px,
)
from processors.pictures.maps import (
    FOLD,
    LEAST,
    MARGIN_TOP,
    MOST_H,
    MOST_PIXELS,
    MOST_W,
    Canvas,
    Cells,
    frame_of,
    peak_of,
    render_bands,
    render_cells,
)
from processors.pictures.words import WORDS
from schemas.heatmap import DEVICES
from streams.proof.visitors import Visit, page_of


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def page_part(png: bytes) -> np.ndarray:
    found = pixels(png)
    return found[MARGIN_TOP:]


def warmth(part: np.ndarray) -> np.ndarray:
    """Return red minus blue: high for heat, about zero for paper."""
    return part[:, :, 0] - part[:, :, 2]


def cells(*places: tuple[int, int, int, int]) -> Cells:
    x, y, fixed, weight = (
        (np.array(one, dtype=np.int64) for one in zip(*places, strict=True))
        if places
        else (np.zeros(0, dtype=np.int64) for _ in range(4))
    )
    return Cells(x, y, fixed, weight)


def blank(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "white").save(out, "PNG")
    return out.getvalue()


@cache
def beacons(device: str) -> list[dict[str, Any]]:
    """Return the beacons of 700 visits to a page from one kind of device."""
    rng = random.Random(3)
    return [beacon for _ in range(700) for beacon in Visit(rng, page_of("p", device), 0).beacons()]


@cache
def counted(device: str, letters: str) -> Cells:
    """Return the cells of these visits as the contract defines them: 128 columns, rows of 16 px."""
    page = page_of("p", device)
    found: dict[tuple[int, int, int], int] = {}
    for beacon in beacons(device):
        for at, letter in enumerate(beacon["type"]):
            if letter in letters:
                x = min(127, max(0, 128 * beacon["x"][at] // page.width))
                key = (x, beacon["y"][at] // 16, int(at in beacon["fixed"]))
                found[key] = found.get(key, 0) + (beacon["dwell"][at] if letter == "m" else 1)
    return cells(*((x, y, fixed, weight) for (x, y, fixed), weight in found.items()))


@pytest.mark.parametrize("width", [360, 390, 1_440])
def test_a_single_cell_is_the_only_warm_place_on_every_width(width: int) -> None:
    canvas = Canvas(width, 1_600, 800, "clicks", shot=blank(width, 1_600))
    at_x, at_y = 80, 60
    part = warmth(page_part(render_cells(canvas, cells((at_x, at_y, 0, 10)), unit="clicks")))
    y, x = (along.mean() for along in np.nonzero(part > 60))
    assert abs(x - (at_x + 0.5) * width / CELL_COLUMNS) <= STEP_PX and abs(y - (at_y + 0.5) * CELL_H) <= STEP_PX
    far = np.hypot(*np.mgrid[-round(y) : part.shape[0] - round(y), -round(x) : width - round(x)]) > 4 * spread_px(width)
    assert part[far].max() < 15 < 60 < part.max()


@pytest.mark.parametrize("device", DEVICES)
def test_hot_spots_are_where_the_visitor_model_clicks(device: str) -> None:
    page = page_of("p", device)
    canvas = Canvas(page.width, page.height, page.viewport_h, "clicks", shot=blank(page.width, page.height))
    part = page_part(render_cells(canvas, counted(device, "crd"), unit="clicks"))
    coloured = part.max(axis=2) - part.min(axis=2)  # paper has no colour
    for spot in page.hot_spots:
        around = coloured[spot.y - 70 : spot.y + 70, spot.x - 90 : spot.x + 90]
        y, x = (along.mean() for along in np.nonzero(around > 40))
        assert abs(y - 70) <= 8 and abs(x - 90) <= 8, spot
    first = page.hot_spots[0]
    assert warmth(part)[first.y - 10 : first.y + 10, first.x - 10 : first.x + 10].mean() > 60, "half of all clicks"
    assert coloured[round(page.height * 0.3) : round(page.height * 0.6)].max() < 15, (
        "no visitor clicks between the calls to action"
    )


@pytest.mark.parametrize(("device", "at"), [("mobile", (331, 776)), ("desktop", (1_224, 828))])
def test_the_fixed_layer_is_drawn_in_the_first_view(device: str, at: tuple[int, int]) -> None:
    page = page_of("p", device)
    all_cells = counted(device, "c")
    only = all_cells.fixed == 1
    fixed = Cells(all_cells.x[only], all_cells.y[only], all_cells.fixed[only], all_cells.weight[only])
    assert len(fixed.x)
    canvas = Canvas(page.width, page.height, page.viewport_h, "clicks", shot=blank(page.width, page.height))
    part = warmth(page_part(render_cells(canvas, fixed, unit="clicks")))
    y, x = (along.mean() for along in np.nonzero(part > 60))
    assert abs(x - at[0]) <= 8 and abs(y - at[1]) <= 10 and y < page.viewport_h


def test_the_fold_line_is_drawn_at_the_viewport_height() -> None:
    part = page_part(render_cells(Canvas(390, 2_000, 844, "clicks", shot=blank(390, 2_000)), cells(), unit="clicks"))
    blue = (part == np.array(FOLD)).all(axis=2)
    rows = np.flatnonzero(blue.sum(axis=1) > 100)
    assert len(rows) and abs(rows.mean() - 844) <= 2
    none = page_part(render_cells(Canvas(390, 2_000, 0, "clicks", shot=blank(390, 2_000)), cells(), unit="clicks"))
    assert not (none == np.array(FOLD)).all(axis=2).any()


def test_the_map_is_drawn_over_the_screenshot() -> None:
    shot = Image.new("RGB", (400, 1_000), "white")
    ImageDraw.Draw(shot).rectangle((100, 500, 300, 600), fill=(0, 90, 0))
    out = io.BytesIO()
    shot.save(out, "PNG")
    for width in (400, 800):  # the screenshot is scaled to the map's width
        part = page_part(
            render_cells(Canvas(width, width * 5 // 2, 0, "t", shot=out.getvalue()), cells(), unit="clicks")
        )
        green = (part[:, :, 1] - part[:, :, 0]) > 40
        ys, xs = np.nonzero(green)
        assert abs(xs.min() - width // 4) <= 2 and abs(xs.max() - 3 * width // 4) <= 2
        assert abs(ys.min() - 500 * width // 400) <= 2


def test_a_shared_scale_makes_maps_comparable() -> None:
    few, many = cells((64, 20, 0, 10)), cells((64, 20, 0, 40))
    canvas = Canvas(390, 800, 0, "t", shot=blank(390, 800))
    assert peak_of(many, 390, 800) == pytest.approx(40, rel=0.01)
    own = [page_part(render_cells(canvas, one, unit="clicks")) for one in (few, many)]
    assert (own[0] == own[1]).all(), "without `top`, each map uses its own peak"
    shared = [page_part(render_cells(canvas, one, unit="clicks", top=40.0)) for one in (few, many)]
    assert (shared[1] == own[1]).all() and not (shared[0] == shared[1]).all()
    level = levels_of(field_of(few.x, few.y, few.weight, 390, 800), 40.0)
    assert level.max() == pytest.approx(0.5, abs=0.01), "a quarter as hot is half as high"


def test_an_empty_map_is_a_picture_with_a_message() -> None:
    nothing = cells()
    for reason in (key for key in WORDS["en"] if key.startswith("no_shot")):
        picture = pixels(render_cells(Canvas(390, 800, 0, "t", no_shot=reason), nothing, unit="clicks"))
        assert picture.shape == (800 + MARGIN_TOP, 390, 3)
    assert WORDS["en"].keys() == WORDS["ja"].keys()


def test_scroll_bands_fade_as_fewer_visitors_reach_them() -> None:
    reached = np.array([100, 100, 100, 80, 60, 40, 30, 20, 10, 5, 0], dtype=np.int64)
    part = page_part(render_bands(Canvas(390, 1_000, 800, "t", shot=blank(390, 1_000)), reached, pageviews=100))
    light = part @ [0.2126, 0.7152, 0.0722]
    rows = [light[band * 100 + 50, 150:250].mean() for band in range(10)]
    assert all(a >= b - 1 for a, b in itertools.pairwise(rows)) and rows[0] - rows[9] > 60
    # The line of 50 % lies at the end of the fifth band.
    dark = [y for y in range(part.shape[0]) if (part[y, 150:250].sum(axis=1) < 120).mean() > 0.4]
    assert any(abs(y - 500) <= 2 for y in dark) and not any(abs(y - 600) <= 2 for y in dark)


@pytest.mark.parametrize(("width", "height"), [(390, 65_536), (1_440, 65_536), (65_535, 65_536), (1, 1), (320, 30)])
def test_a_picture_is_bounded_for_any_page_size(width: int, height: int) -> None:
    frame = frame_of(max(LEAST, width), max(LEAST, height))
    assert frame.width <= MOST_W and frame.height <= MOST_H and frame.width * frame.height <= MOST_PIXELS * 1.01
    rng = np.random.default_rng(1)
    some = Cells(*(rng.integers(0, most, 500) for most in (128, 4_096, 2, 50)))
    picture = Image.open(io.BytesIO(render_cells(Canvas(width, height, 800, "t"), some, unit="clicks")))
    assert picture.size == (frame.width, frame.height + MARGIN_TOP)
    assert Image.open(io.BytesIO(render_bands(Canvas(width, height, 800, "t"), some.y, pageviews=9))).size[0] > 0


def test_colours_get_lighter_with_heat() -> None:
    found = colours(np.linspace(0, 1, 50)).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(found) > -1).all() and found[-1] - found[0] > 150


@pytest.mark.parametrize(("screen", "counted_as"), [(360, 352), (390, 384), (412, 400), (820, 816), (1_440, 1_440)])
def test_a_counted_width_maps_to_the_common_screen_width(screen: int, counted_as: int) -> None:
    assert screen // 16 * 16 == counted_as and likely_width(counted_as) == screen


def test_an_uncommon_width_maps_to_the_middle_of_its_step() -> None:
    assert likely_width(1_600) == 1_608
