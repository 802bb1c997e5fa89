"""Heatmap pictures: heat where the weight is, nowhere else, and a page that stays readable."""

import io

import numpy as np
from PIL import Image

from processors.picture import (
    BAND_H,
    CELL_COLUMNS,
    CELL_H,
    MARGIN_TOP,
    Canvas,
    heat_colours,
    render_bands,
    render_cells,
)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def cells(*places: tuple[int, int, bool, int]) -> tuple[np.ndarray, ...]:
    x, y, fixed, weight = zip(*places, strict=True)
    return (
        np.array(x, dtype=np.int64),
        np.array(y, dtype=np.int64),
        np.array(fixed, dtype=bool),
        np.array(weight, dtype=np.int64),
    )


def test_the_only_cell_is_the_only_warm_place() -> None:
    canvas = Canvas(640, 1_600, 800, "click map")
    at_x, at_y = 64, 50
    found = pixels(render_cells(canvas, *cells((at_x, at_y, False, 10)), unit="clicks"))
    warmth = found[:, :, 0] - found[:, :, 2]
    page = warmth[MARGIN_TOP : MARGIN_TOP + canvas.height, : canvas.width]
    y, x = (int(along.mean()) for along in np.nonzero(page > 60))
    assert abs(x - (at_x + 0.5) * canvas.width / CELL_COLUMNS) <= 6 and abs(y - (at_y + 0.5) * CELL_H) <= 6
    far = np.hypot(*np.mgrid[-y : page.shape[0] - y, -x : page.shape[1] - x]) > 120
    assert page[far].max() < 40 < page.max()


def test_an_empty_map_is_a_picture_too() -> None:
    nothing = np.array([], dtype=np.int64)
    found = pixels(render_cells(Canvas(390, 800, 0, "none"), nothing, nothing, nothing.astype(bool), nothing, unit="x"))
    assert found.shape[0] > 800 and found.shape[1] >= 390


def test_bands_fade_as_fewer_visitors_reach_them() -> None:
    canvas = Canvas(390, 1_000, 800, "scroll map")
    reached = np.array([100, 100, 100, 80, 60, 40, 30, 20, 10, 5, 0], dtype=np.int64)
    found = pixels(render_bands(canvas, reached, pageviews=100))
    middle = [found[MARGIN_TOP + band * BAND_H + 50, 5:385].mean(axis=0) for band in (0, 9)]
    assert np.abs(middle[0] - middle[1]).max() > 40


def test_colours_grow_lighter_with_heat() -> None:
    colours = heat_colours(np.linspace(0, 1, 50)).astype(float) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(colours) > -1).all() and colours[-1] - colours[0] > 150
