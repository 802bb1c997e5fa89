"""Heat from counted cells: spread, levels, colours; arrays in, arrays out.

Colours are "inferno", whose lightness grows evenly with heat, also for eyes that do not tell red from green; a
polynomial fitted by Matt Zucker (https://www.shadertoy.com/view/WlfXRN).
"""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

CELL_COLUMNS, CELL_H, BAND_H = 128, 16, 100
STEP_PX = 4  # the field is this much coarser than the page: a spot is many times wider
LEAST_SPREAD_PX, SPREADS_IN_WIDTH = 18.0, 60.0
SIZE_STEP_PX = 16  # sizes of pages and screens are counted floored to this
COMMON_WIDTHS = (320, 360, 375, 390, 412, 430, 480, 600, 768, 820, 834, 1_024, 1_280, 1_366, 1_440, 1_536, 1_920)
COOLEST = 0.12  # below, a spot is not drawn: the page shows through
INFERNO = np.array(
    [
        [0.00021894, 0.0016510, -0.019480],
        [0.10651034, 0.5639564, 3.9327123],
        [11.6024930, -3.9728539, -15.9423941],
        [-41.703996, 17.4363989, 44.354145],
        [77.162935, -33.402358, -81.807309],
        [-71.319428, 32.626064, 73.209519],
        [25.131126, -12.242669, -23.070325],
    ]
)


def likely_width(floored: int) -> int:
    """The width of screens that a counted width stands for: a common one of its sixteen, or their middle."""
    within = range(floored, floored + SIZE_STEP_PX)
    return next((one for one in COMMON_WIDTHS if one in within), floored + SIZE_STEP_PX // 2)


def likely_height(floored: int) -> int:
    """The height that a counted one stands for: the middle of its sixteen."""
    return floored + SIZE_STEP_PX // 2


def spread_px(width: int) -> float:
    """Standard deviation of a spot on a page of that width, CSS pixels: a finger's, and more than a cell is wide."""
    return max(LEAST_SPREAD_PX, width / SPREADS_IN_WIDTH)


def field_of(x: Ints, y: Ints, weight: Ints, width: int, height: int, scale: float = 1.0, blur: float = 1.0) -> Floats:
    """Cells spread by a gaussian, a value for each STEP_PX x STEP_PX of the picture: shape (rows, columns).

    x is a column 0..127 of the width, y a row of 16 px; what lies beyond the page's height is left out. Sizes are CSS
    pixels, `scale` the picture's pixels to one, `blur` makes spots wider. A value is the weight around that place,
    each cell's by its distance: a lone cell is as high as its weight.
    """
    step = STEP_PX / scale
    rows, columns = math.ceil(height / step), math.ceil(width / step)
    at_x = ((x + 0.5) * width / CELL_COLUMNS / step).astype(np.int64)
    at_y = ((y + 0.5) * CELL_H / step).astype(np.int64)
    inside = (at_x >= 0) & (at_x < columns) & (at_y >= 0) & (at_y < rows)
    places = at_y[inside] * columns + at_x[inside]
    counted = np.bincount(places, weights=weight[inside], minlength=rows * columns)
    field: Floats = counted.astype(np.float32).reshape(rows, columns)
    kernel = _kernel(blur * spread_px(width) / step)
    return _spread(_spread(field, kernel).T, kernel).T


def _kernel(deviation: float) -> Floats:
    reach = math.ceil(3 * deviation)
    kernel: Floats = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2).astype(np.float32)
    return kernel


def _spread(field: Floats, kernel: Floats) -> Floats:
    """Along the columns, by a sum of shifted copies: with kernels this short it beats a transform, and has no noise."""
    reach, length = len(kernel) // 2, len(field)
    padded = np.pad(field, ((reach, reach), (0, 0)))
    found = np.zeros_like(field)
    for at, share in enumerate(kernel):
        found += share * padded[at : at + length]
    return found


def levels_of(field: Floats, top: float) -> Floats:
    """Heat 0..1 by the square root of its share of `top`, so that what is a quarter as hot is half as high."""
    found: Floats = np.sqrt(np.clip(field / np.float32(top), 0, 1)) if top > 0 else np.zeros_like(field)
    return found


def reached_levels(reached: Ints, pageviews: int, height: int) -> Floats:
    """Share of the pageviews, 0..1, that saw each band of 100 px of a page: shape (bands,)."""
    share: Floats = np.zeros(max(1, math.ceil(height / BAND_H)), dtype=np.float32)
    known = min(len(share), len(reached))
    share[:known] = np.clip(reached[:known] / max(1, pageviews), 0, 1)
    return share


def colours(values: npt.NDArray[np.floating]) -> Bytes:
    """RGB of values 0..1, shape (..., 3). The darkest part of the map is left out: on a page it would be ink."""
    t = 0.18 + 0.82 * np.clip(values, 0, 1)[..., None]
    colour = np.zeros((*values.shape, 3))
    for coefficients in INFERNO[::-1]:
        colour = colour * t + coefficients
    found: Bytes = (np.clip(colour, 0, 1) * 255).astype(np.uint8)
    return found


def opacity(values: npt.NDArray[np.floating]) -> Bytes:
    """How much of the page a spot covers, 0..255: nothing where it is cool, never all of it."""
    share = np.clip((values - COOLEST) / (0.5 - COOLEST), 0, 1)
    found: Bytes = (share * 0.82 * 255).astype(np.uint8)
    return found
