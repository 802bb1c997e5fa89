"""Heat from counted cells: spread, levels, colours; arrays in, arrays out.

The colours are "inferno", whose lightness grows evenly with heat, also for readers who cannot tell red from green. They
are a polynomial fitted by Matt Zucker (https://www.shadertoy.com/view/WlfXRN).
"""

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]

CELL_COLUMNS, CELL_H, BAND_H = 128, 16, 100
STEP_PX = 4  # pixels per value of the field; a spot is many times wider
LEAST_SPREAD_PX, SPREADS_IN_WIDTH = 18.0, 60.0
SIZE_STEP_PX = 16  # stored sizes of pages and screens are rounded down to a multiple of this
COMMON_WIDTHS = (320, 360, 375, 390, 412, 430, 480, 600, 768, 820, 834, 1_024, 1_280, 1_366, 1_440, 1_536, 1_920)
COOLEST = 0.12  # below this level, a spot is not drawn and the page shows through
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
    """Return the likely screen width for a stored width.

    It is a common width of the 16 px that were rounded to it, or their middle.
    """
    within = range(floored, floored + SIZE_STEP_PX)
    return next((width for width in COMMON_WIDTHS if width in within), floored + SIZE_STEP_PX // 2)


def likely_height(floored: int) -> int:
    """Return the likely height for a stored height: the middle of the 16 px that were rounded to it."""
    return floored + SIZE_STEP_PX // 2


def spread_px(width: int) -> float:
    """Return the standard deviation of a spot on a page of that width, CSS pixels.

    It is about a finger's width, and larger than a cell.
    """
    return max(LEAST_SPREAD_PX, width / SPREADS_IN_WIDTH)


def field_of(x: Ints, y: Ints, weight: Ints, width: int, height: int, scale: float = 1.0, blur: float = 1.0) -> Floats:
    """Return the cells spread by a gaussian: shape (rows, columns).

    There is one value per STEP_PX x STEP_PX pixels of the picture. x is a column 0..127 of the width, y a row of 16 px;
    cells below `height` are ignored. Sizes are CSS pixels, `scale` is picture pixels per CSS pixel, `blur` makes spots
    wider. A value is the sum of the weights around that place, each reduced by its distance: the peak of a single cell
    is its weight.
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
    """Convolve each column with the kernel, as a sum of shifted copies.

    For such short kernels this is faster than a Fourier transform, and it has no rounding noise.
    """
    reach, length = len(kernel) // 2, len(field)
    padded = np.pad(field, ((reach, reach), (0, 0)))
    spread = np.zeros_like(field)
    for at, share in enumerate(kernel):
        spread += share * padded[at : at + length]
    return spread


def levels_of(field: Floats, top: float) -> Floats:
    """Return a level from 0 to 1 for each value: the square root of value / `top`.

    A place that is a quarter as hot has half the level.
    """
    levels: Floats = np.sqrt(np.clip(field / np.float32(top), 0, 1)) if top > 0 else np.zeros_like(field)
    return levels


def reached_levels(reached: Ints, pageviews: int, height: int) -> Floats:
    """Return the share of pageviews, 0..1, that saw each band of 100 px of a page: shape (bands,)."""
    share: Floats = np.zeros(max(1, math.ceil(height / BAND_H)), dtype=np.float32)
    known = min(len(share), len(reached))
    share[:known] = np.clip(reached[:known] / max(1, pageviews), 0, 1)
    return share


def colours(values: npt.NDArray[np.floating]) -> Bytes:
    """Return the RGB of values 0..1, shape (..., 3).

    The darkest part of the colour map is not used: on a page it would look like text.
    """
    t = 0.18 + 0.82 * np.clip(values, 0, 1)[..., None]
    colour = np.zeros((*values.shape, 3))
    for coefficients in INFERNO[::-1]:
        colour = colour * t + coefficients
    rgb: Bytes = (np.clip(colour, 0, 1) * 255).astype(np.uint8)
    return rgb


def opacity(values: npt.NDArray[np.floating]) -> Bytes:
    """Return the opacity of heat over the page, 0..255: 0 for cool places, always below 255."""
    share = np.clip((values - COOLEST) / (0.5 - COOLEST), 0, 1)
    alpha: Bytes = (share * 0.82 * 255).astype(np.uint8)
    return alpha
